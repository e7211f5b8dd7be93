// Copies ids and tracebacks; without it there are no buttons for that.

function copyBySelection(text) {
    // On plain HTTP there is no navigator.clipboard.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "cq-copied-text";
    field.readOnly = true;
    document.body.append(field);
    field.select();
    try {
        return document.execCommand("copy");
    } finally {
        field.remove();
    }
}

async function copy(text) {
    if (navigator.clipboard) {
        try {
            await navigator.clipboard.writeText(text);
            return true;
        } catch {
            // It may be forbidden to this page.
        }
    }
    return copyBySelection(text);
}

for (const button of document.querySelectorAll(".cq-copy[data-done]")) {
    const label = button.textContent;
    let timer = 0;
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
        const source = document.getElementById(button.dataset.source);
        if (await copy(source ? source.textContent : button.dataset.text)) {
            button.textContent = button.dataset.done;
            clearTimeout(timer);
            timer = setTimeout(() => { button.textContent = label; }, 2000);
        }
        button.focus();
    });
}
