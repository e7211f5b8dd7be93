// Keeps the overview, and the list of workers, as they are now: the server is asked for
// the parts that change, when a socket says that they have, else every ten seconds. A page
// that nobody sees asks for nothing.
import { fetched } from "./fetched.js";
import { socket } from "./live-socket.js";
import { morph } from "./morph.js";
import { remember, remembered } from "./remembered.js";

const ASK = 10000;
const AT_MOST = 2000;
const SPREAD = 1000; // of pages that were told at one moment
const SILENT = 70000; // a socket tells once in a minute, or is dead
const PAUSED = "cq-live-paused";
const PARTS = "cq-parts";

function start(box) {
    const [button, note] = box.children;
    let paused = remembered(PAUSED);
    let timer = 0;
    let silence = 0;
    let told = false; // by a socket, when there is something to ask for
    let rung = false;
    let asking = false;
    let last = performance.now(); // when an answer came
    let took = 0;

    const resting = () => paused || document.hidden;

    async function ask() {
        const began = performance.now();
        rung = false;
        asking = true;
        const page = await fetched(location.href, { "CQ-Part": PARTS });
        asking = false;
        last = performance.now();
        took = last - began;
        if (resting()) {
            return;
        }
        const fresh = page?.getElementById(PARTS);
        if (fresh) {
            morph(document.getElementById(PARTS), fresh);
        }
        note.textContent = fresh ? "" : box.dataset.lost;
        plan(!fresh);
    }

    function plan(failed = false) {
        clearTimeout(timer);
        if (resting() || asking || (told && !rung && !failed)) {
            return;
        }
        const wait = Math.max(rung && !failed ? AT_MOST : ASK, 5 * took);
        const spread = Math.random() * Math.max(SPREAD, took);
        timer = setTimeout(ask, Math.max(0, last + wait - performance.now()) + spread);
    }

    function lose() {
        clearTimeout(silence);
        told = false;
        plan();
    }

    const line = box.dataset.socket && socket(
        box.dataset.socket,
        () => ({ watch: box.dataset.watch }),
        {
            hear() {
                clearTimeout(silence);
                silence = setTimeout(lose, SILENT);
                told = rung = true;
                plan();
            },
            silent: lose,
        },
    );

    function go() {
        if (line) {
            line.close();
            if (!resting()) {
                line.open();
            }
        }
        lose();
    }

    function show() {
        button.setAttribute("aria-checked", String(!paused));
        note.textContent = paused ? box.dataset.paused : "";
        go();
    }

    button.addEventListener("click", () => {
        paused = !paused;
        remember(PAUSED, paused);
        show();
    });
    document.addEventListener("visibilitychange", go);
    box.hidden = false;
    show();
}

const box = document.getElementById("cq-live-page");
if (box && document.getElementById(PARTS)) {
    start(box);
}
