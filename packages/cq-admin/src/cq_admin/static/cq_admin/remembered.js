// What somebody has switched, in their browser. Storage may be forbidden: then it holds for
// one page.

export function remembered(key) {
    try {
        return localStorage.getItem(key) === "1";
    } catch {
        return false;
    }
}

export function remember(key, value) {
    try {
        localStorage.setItem(key, value ? "1" : "0");
    } catch {
        // See above.
    }
}
