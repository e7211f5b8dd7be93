// A socket that comes back: one that fails is tried again, after pauses that double up to a
// minute. What it failed by may be over by then: a deploy, a proxy, a network.

const FIRST = 2000;
const LONGEST = 60000;
const LIVED = 10000; // so long, and the next pause is the first again
const REFUSED = 4400; // from here on it says that it is not for this person

// said: gives what to send when it opens. hear: takes each message. silent: called each time
// that it ends, or has not begun.
export function socket(path, said, { hear, silent }) {
    let ws = null;
    let timer = 0;
    let pause = FIRST;
    let after = 0; // when it may be tried again, whoever opens it

    function open() {
        const wait = after - performance.now();
        if (wait > 0) {
            timer = wait < Infinity ? setTimeout(open, wait) : 0;
            silent();
            return;
        }
        const address = new URL(path, location.href);
        address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
        const mine = new WebSocket(address);
        let opened = Infinity;
        ws = mine;
        mine.onopen = () => {
            opened = performance.now();
            mine.send(JSON.stringify(said()));
        };
        mine.onmessage = ({ data }) => mine === ws && hear(JSON.parse(data));
        mine.onclose = ({ code }) => {
            if (mine !== ws) {
                return;
            }
            const now = performance.now();
            if (now - opened > LIVED) {
                pause = FIRST;
            }
            after = code >= REFUSED ? Infinity : now + pause * (0.5 + Math.random() / 2);
            pause = Math.min(2 * pause, LONGEST);
            ws = null;
            open();
        };
    }

    return {
        open,
        close() {
            clearTimeout(timer);
            const mine = ws;
            ws = null;
            mine?.close();
        },
    };
}
