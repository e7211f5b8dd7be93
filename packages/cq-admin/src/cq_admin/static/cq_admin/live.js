// Keeps the page of an open task as it is now: by a socket where one answers, else by
// asking. Without it the page stays as it was loaded.
import { follow } from "./live-source.js";
import { remember, remembered } from "./remembered.js";

const box = document.getElementById("cq-live");

// What cannot be seen, or turns the direction of what can.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const LEVELS = { 10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL" };
const TONES = [[50, "critical"], [40, "error"], [30, "warning"], [20, "info"]];
const MOST_ROWS = 2000;
const SECONDS_BETWEEN_WORDS = 10;
const PAUSED = "cq-live-paused";

function visible(text) {
    return text.replace(UNSEEN, (char) => {
        const code = char.charCodeAt(0);
        return code < 256
            ? `\\x${code.toString(16).padStart(2, "0")}`
            : `\\u${code.toString(16).padStart(4, "0")}`;
    });
}

function filled(text, values) {
    return text.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
}

// Only what has changed is touched: a selection elsewhere, or an unchanged text, stays.
function put(element, text) {
    if (element && element.textContent !== text) {
        element.textContent = text;
    }
}

function made(tag, className, text = "") {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
}

function number(value) {
    const lang = document.documentElement.lang || undefined;
    return new Intl.NumberFormat(lang, {
        maximumFractionDigits: 2, useGrouping: false,
    }).format(value);
}

function clock(zone) {
    const parts = {
        hour: "2-digit", minute: "2-digit", second: "2-digit",
        fractionalSecondDigits: 3, hourCycle: "h23",
    };
    try {
        return new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: zone });
    } catch {
        return new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: "UTC" });
    }
}

function start() {
    const words = JSON.parse(box.dataset.words);
    const said = document.getElementById("cq-live-said");
    const [button, note, reload] = box.querySelectorAll("button, span, a");
    const log = document.getElementById("cq-log");
    const times = clock(box.dataset.zone);
    const place = (name) => document.querySelector(`.cq-top [data-live="${name}"]`);
    let paused = remembered(PAUSED);
    let status = place("status")?.textContent;
    let news = 0;
    let lastWords = -Infinity;
    let timer = 0;

    // At most one sentence in ten seconds, and the last one is never lost.
    function announce(text) {
        const wait = SECONDS_BETWEEN_WORDS * 1000 - (performance.now() - lastWords);
        clearTimeout(timer);
        if (wait > 0) {
            timer = setTimeout(() => announce(text), wait);
            return;
        }
        lastWords = performance.now();
        said.textContent = text();
        news = 0;
    }

    function sentence() {
        const parts = [filled(words.status, { status })];
        if (news) {
            parts.push(filled(words.lines, { n: number(news) }));
        }
        return parts.join(" ");
    }

    function showProgress({ done, total, message, left }) {
        const rate = number((total - done) / left * 60);
        const n = number(left < 120 ? left : left / 60);
        put(place("left"), left ? filled(words[left < 120 ? "s" : "min"], { n, rate }) : "");
        const target = place("progress");
        if (!target) {
            return;
        }
        let bar = target.querySelector("progress");
        if (!total) {
            if (!bar) {
                put(target, visible(message));
            }
            return;
        }
        if (!bar) {
            const whole = made("span", "cq-progress");
            bar = made("progress", "");
            whole.append(bar, " ", made("span", ""));
            target.replaceChildren(whole);
        }
        bar.max = total;
        bar.value = Math.min(done, total);
        const text = `${number(done)} / ${number(total)} ${visible(message)}`.trimEnd();
        put(bar.parentElement.querySelector("span"), text);
    }

    function showStatus(state) {
        const [label, tone] = words.statuses[state.status] ?? [visible(state.status), "quiet"];
        const shown = place("status")?.querySelector(".cq-state");
        if (shown && shown.textContent !== label) {
            shown.textContent = label;
            shown.className = `cq-state cq-state-${tone}`;
            status = label;
            announce(sentence);
        }
        if (state.tries) {
            put(place("tries"), filled(words.tries, { n: state.tries, most: words.most }));
        }
        const error = document.querySelector(".cq-top .cq-error bdi");
        if (error && state.error) {
            put(error, visible(state.error));
        }
    }

    function cell(line, name) {
        if (name === "t") {
            const time = made("time", "cq-time", times.format(new Date(line.t)));
            time.dateTime = time.title = line.t;
            const found = made("td", "");
            found.append(time);
            return found;
        }
        if (name === "level") {
            const found = made("td", "");
            const tone = TONES.find(([least]) => line.level >= least)?.[1] ?? "debug";
            const text = LEVELS[line.level] ?? `Level ${line.level}`;
            found.append(made("span", `cq-level cq-level-${tone}`, text));
            return found;
        }
        if (name === "attempt") {
            return made("td", "", String(line.attempt));
        }
        if (name === "text") {
            const found = made("td", "cq-line", visible(line.text));
            found.dir = "auto";
            return found;
        }
        const found = made("td", "cq-name");
        if (line.of !== box.dataset.task) {
            const link = made("a", "", visible(line.name));
            link.href = `../../${line.of}/change/`;
            found.append(link);
        }
        return found;
    }

    function showLines(lines, gap) {
        const section = log?.closest("section");
        if (!section || !lines.length) {
            return;
        }
        section.hidden = false;
        const columns = [...log.querySelectorAll("thead th")].map((th) => th.dataset.live);
        const body = log.querySelector("tbody");
        const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
        const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
        const rows = lines.map((line) => {
            const row = document.createElement("tr");
            row.append(...columns.map((name) => cell(line, name)));
            return row;
        });
        if (gap) {
            const row = document.createElement("tr");
            const left = made("td", "cq-quiet", words.cut);
            left.colSpan = columns.length;
            row.append(left);
            rows.unshift(row);
        }
        body.append(...rows);
        // Who reads further up is left where they are, and so is who asked for rest.
        if (atEnd && !calm) {
            while (body.rows.length > MOST_ROWS) {
                body.rows[0].remove();
            }
            log.scrollTop = log.scrollHeight;
        }
        news += lines.length;
        announce(sentence);
    }

    function end() {
        put(note, words.ended);
        reload.hidden = false;
        reload.href = location.href;
        put(reload, words.reload);
        button.hidden = true;
    }

    const source = follow({
        url: box.dataset.url,
        socket: box.dataset.socket,
        task: box.dataset.task,
        after: Number(box.dataset.after),
        isOpen: (state) => words.open.includes(state.status),
        show(state) {
            showStatus(state);
            showProgress(state.progress);
            showLines(state.log, state.gap);
            put(note, words.live);
        },
        lost: () => put(note, words.lost),
        end,
    });

    function pause() {
        put(button, paused ? words.resume : words.pause);
        put(note, paused ? words.paused : words.live);
        source.pause(paused);
    }

    button.addEventListener("click", () => {
        paused = !paused;
        remember(PAUSED, paused);
        pause();
    });
    box.hidden = false;
    pause();
}

if (box) {
    start();
}
