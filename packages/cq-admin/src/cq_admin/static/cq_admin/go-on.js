// Takes an operation further without a click, a batch each time the page is loaded. It
// waits while nobody looks, and for a click of who has come back by the back button.
const form = document.querySelector("form.cq-go-on");
const [entry] = performance.getEntriesByType("navigation");

function goOn() {
    if (document.visibilityState === "visible") {
        document.removeEventListener("visibilitychange", goOn);
        form.requestSubmit();
    }
}

if (form && entry?.type !== "back_forward") {
    document.addEventListener("visibilitychange", goOn);
    goOn();
}
