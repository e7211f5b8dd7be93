// Shortcuts of one key, which a switch turns off: rows are walked by their links, so the
// focus is where the reader is. None while something is typed, or with a modifier.
import { remember, remembered } from "./remembered.js";

const OFF = "cq-keys-off";
const FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
const ROWS = "#result_list tbody tr, .cq-sorted tbody tr";

function here() {
    return document.activeElement?.closest(ROWS);
}

function linkOf(row) {
    return row?.querySelector("th a, td a");
}

function walk(by) {
    const rows = [...document.querySelectorAll(ROWS)].filter(linkOf);
    const at = rows.indexOf(here());
    const next = at < 0 ? rows.at(by > 0 ? 0 : -1) : rows[at + by];
    linkOf(next)?.focus();
}

function retry() {
    // A button would do it at once.
    const mine = document.querySelector('.object-tools a[href$="/retry/"], form[action$="/retry/"]');
    if (mine) {
        location.assign(mine.href ?? mine.action);
    } else if (document.querySelector('option[value="retry_selected"]')) {
        const link = linkOf(here());
        if (link) {
            location.assign(new URL("../retry/", link.href));
        }
    }
}

function start(box) {
    const opener = document.getElementById("cq-keys-open");
    const switched = box.querySelector("[role=switch]");
    const places = new Map(
        [...box.querySelectorAll("a[data-key]")].map((link) => [link.dataset.key, link.href]),
    );
    let off = remembered(OFF);
    let going = false; // the last key was "g", just now
    let timer = 0;

    const doing = {
        "/": () => document.querySelector("#searchbar, main [type=search]")?.focus(),
        "?": () => (box.open ? box.close() : box.showModal()),
        j: () => walk(1),
        k: () => walk(-1),
        o: () => linkOf(here())?.click(),
        x: () => here()?.querySelector("input.action-select")?.click(),
        r: retry,
    };

    document.addEventListener("keydown", (event) => {
        const { key, target } = event;
        const typed = event.isComposing || event.ctrlKey || event.metaKey || event.altKey
            || event.defaultPrevented || target.closest?.(FIELDS);
        if (off || typed || key === "Shift" || (box.open && key !== "?")) {
            going &&= !typed;
            return;
        }
        const place = going && places.get(key);
        going = !going && key === "g";
        clearTimeout(timer);
        timer = setTimeout(() => { going = false; }, 1000);
        if (place) {
            location.assign(place);
        } else if (doing[key]) {
            doing[key]();
        } else if (!going) {
            return;
        }
        event.preventDefault();
    });

    switched.setAttribute("aria-checked", String(!off));
    switched.addEventListener("click", () => {
        off = !off;
        remember(OFF, off);
        switched.setAttribute("aria-checked", String(!off));
    });
    opener.addEventListener("click", () => box.showModal());
    opener.hidden = false;
}

const box = document.getElementById("cq-keys");
if (box) {
    start(box);
}
