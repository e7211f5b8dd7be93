// Says, while a schedule is being typed, when it would come.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("cq-coming");
    const form = document.getElementById("repeatingtask_form");
    if (!place || !place.dataset.url || !form) {
        return;
    }
    const named = /^(crontab|interval|at(_\d)?|timezone|start_after(_\d)?|end_after(_\d)?|jitter)$/;
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
        const answer = await fetch(`${place.dataset.url}?${query}`);
        const text = await answer.text();
        // Not an answer to what has been typed over since.
        if (answer.ok && number === asked) {
            place.innerHTML = text;
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
});
