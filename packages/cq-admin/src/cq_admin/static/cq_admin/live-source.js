// The states of a task, one after the other: by a socket while one answers, else asked for
// every two seconds, and every ten after a minute without a change. A hidden page asks for
// nothing. Lines are numbered, so that none is missed or shown twice whatever happens.
import { socket as connect } from "./live-socket.js";

const ASK = 2000;
const ASK_SELDOM = 10000;
const QUIET = 60000;
const ASK_BESIDE = 30000; // a socket, which may die without a word

export function follow({ url, socket, task, after, isOpen, show, lost, end }) {
    let asked = 0;
    let timer = 0;
    let etag = "";
    let changed = performance.now();
    let paused = true;
    let over = false;
    let told = false; // by a socket, and nothing was missed

    const resting = () => paused || over || document.hidden;

    function take(state) {
        changed = performance.now();
        const lines = state.log.filter((line) => line.n > after);
        if (lines.length) {
            after = lines.at(-1).n;
        }
        show({ ...state, log: lines });
        if (!isOpen(state) && !state.more) {
            over = true;
            stop();
            end();
        }
    }

    // --- asking -----------------------------------------------------------------------

    async function ask() {
        clearTimeout(timer);
        const turn = ++asked;
        let soon = false;
        try {
            const headers = etag ? { "If-None-Match": etag } : {};
            const answer = await fetch(`${url}?after=${after}`, { headers, redirect: "error" });
            if (turn !== asked || resting()) {
                return;
            }
            if (answer.status === 200) {
                // Another one, of which no socket has told.
                told &&= !etag;
                etag = answer.headers.get("ETag") ?? "";
                const state = await answer.json();
                take(state);
                soon = state.more;
            } else if (answer.status !== 304) {
                throw new Error(String(answer.status));
            }
        } catch {
            if (turn !== asked) {
                return;
            }
            lost();
        }
        if (!resting()) {
            const seldom = performance.now() - changed > QUIET;
            const wait = told ? ASK_BESIDE : seldom ? ASK_SELDOM : ASK;
            timer = setTimeout(ask, soon ? 500 : wait);
        }
    }

    // --- a socket ---------------------------------------------------------------------

    const line = socket && connect(socket, () => ({ watch: task, after }), {
        hear(state) {
            if (resting()) {
                return;
            }
            clearTimeout(timer);
            asked += 1;
            told = true;
            etag = "";
            timer = setTimeout(ask, ASK_BESIDE);
            take(state);
        },
        silent() {
            told = false;
            if (!resting()) {
                ask();
            }
        },
    });

    // --- both -------------------------------------------------------------------------

    function stop() {
        clearTimeout(timer);
        told = false;
        asked += 1;
        if (line) {
            line.close();
        }
    }

    function go() {
        stop();
        if (resting()) {
            return;
        }
        if (line) {
            // One that never says whether it is there is not waited for.
            timer = setTimeout(ask, ASK_SELDOM);
            line.open();
        } else {
            ask();
        }
    }

    document.addEventListener("visibilitychange", go);
    return {
        pause(value) {
            paused = value;
            go();
        },
    };
}
