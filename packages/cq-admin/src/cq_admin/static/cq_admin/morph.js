// Makes an element like a newer one, and touches only what is another: the focus stays, and
// so does what is open, scrolled or selected.

const isText = (node) => node.nodeType === Node.TEXT_NODE;

// What tells an element from its neighbours: of rows, their heads.
function key(node) {
    const head = node.nodeName === "TR" && (node.querySelector("th") ?? node.cells[0]);
    return node.id || (head && head.textContent) || "";
}

function isSame(old, fresh) {
    return old.nodeName === fresh.nodeName && key(old) === key(fresh);
}

// Whether something in it is selected: that waits until nothing is.
function isHeld(node) {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(node, true);
}

function putAttributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) {
            old.setAttribute(name, value);
        }
    }
    for (const { name } of [...old.attributes]) {
        // Who has opened something has it open.
        if (name !== "open" && !fresh.hasAttribute(name)) {
            old.removeAttribute(name);
        }
    }
}

function put(old, fresh) {
    if (isText(old)) {
        if (old.data !== fresh.data && !isHeld(old)) {
            old.data = fresh.data;
        }
    } else if (old.nodeType === Node.ELEMENT_NODE && !old.isEqualNode(fresh)) {
        putAttributes(old, fresh);
        putChildren(old, fresh);
    }
}

function putChildren(old, fresh) {
    const left = [...old.childNodes];
    const pairs = [...fresh.childNodes].map((node) => {
        const at = left.findIndex((one) => isSame(one, node));
        return [at < 0 ? null : left.splice(at, 1)[0], node];
    });
    for (const node of left) {
        if (!isHeld(node)) {
            node.remove();
        }
    }
    let place = old.firstChild;
    for (const [kept, node] of pairs) {
        if (!kept) {
            old.insertBefore(document.adoptNode(node), place);
            continue;
        }
        if (kept === place) {
            place = kept.nextSibling;
        } else if (!isHeld(kept)) {
            old.insertBefore(kept, place);
        }
        put(kept, node);
    }
}

export function morph(old, fresh) {
    const focused = document.activeElement;
    const around = focused?.parentElement?.closest("[tabindex]");
    put(old, fresh);
    // A row that was moved, or is gone.
    if (document.activeElement !== focused) {
        old.tabIndex = -1; // takes it where nothing else does
        const next = [focused, around].find((one) => one?.isConnected) ?? old;
        next.focus({ preventScroll: true });
    }
}
