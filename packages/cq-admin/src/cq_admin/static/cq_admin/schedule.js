// Says, while a schedule is being typed, when it would come.
import { fetched } from "./fetched.js";

const place = document.getElementById("cq-coming");
const form = document.getElementById("repeatingtask_form");
const named = /^(crontab|interval|at(_\d)?|timezone|start_after(_\d)?|end_after(_\d)?|jitter)$/;

if (place?.dataset.url && form) {
    let asked = 0;
    let timer = 0;

    async function show() {
        const number = ++asked;
        const query = new URLSearchParams();
        for (const [name, value] of new FormData(form)) {
            if (named.test(name)) {
                query.append(name, value);
            }
        }
        const answer = await fetched(`${place.dataset.url}?${query}`);
        // Not an answer to what has been typed over since.
        if (answer && number === asked) {
            place.replaceChildren(...answer.body.childNodes);
        }
    }

    function soon() {
        clearTimeout(timer);
        timer = setTimeout(show, 300);
    }

    form.addEventListener("input", soon);
    form.addEventListener("change", soon);
    // The calendar's links write into their fields without an event.
    form.addEventListener("click", soon);
}
