// A page of the server as a document, or null where it does not come. By no text that is
// made into HTML here: a policy of trusted types has nothing against it.

export function fetched(address, headers = {}) {
    const url = new URL(address, location.href);
    url.hash = "";
    return new Promise((done) => {
        const asked = new XMLHttpRequest();
        asked.open("GET", url);
        asked.responseType = "document";
        asked.timeout = 30000;
        for (const [name, value] of Object.entries(headers)) {
            asked.setRequestHeader(name, value);
        }
        // Elsewhere is the page to log in again.
        asked.onloadend = () => {
            const came = asked.status === 200 && asked.responseURL === url.href;
            done(came ? asked.response : null);
        };
        asked.send();
    });
}
