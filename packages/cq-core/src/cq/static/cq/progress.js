// <cq-progress>: what the server has written into it is kept up to date, until it is done.

const OFTEN = 2000; // milliseconds between two looks
const SELDOM = 10000; // and after a minute without a change, or an answer
const SILENT = 30000; // and where a socket tells of changes
const AGAIN = 5000; // the first wait for a socket that failed; each is twice the last
const LONGEST = 60000;
const MOST_LINES = 200;
const MOST_BARS = 20; // on one socket

// The socket of all bars. They ask until it tells them something, so it may fail in any way.
const line = {
  bars: new Map(), // by their tasks
  wait: AGAIN,

  add(bar) {
    const { socket, task } = bar.dataset;
    if (!socket || (this.bars.size >= MOST_BARS && !this.bars.has(task))) return;
    // Of two of one task the newer has it: often the older is about to go.
    this.bars.get(task)?.unheard();
    this.bars.set(task, bar);
    if (this.ws) this.watch(bar);
    else this.open();
  },

  remove(bar) {
    const { task } = bar.dataset;
    if (this.bars.get(task) !== bar) return;
    this.bars.delete(task);
    this.say({ unwatch: task });
    // Not at once: what is swapped goes before what follows it.
    setTimeout(() => this.bars.size || this.close(), 0);
  },

  open() {
    if (this.ws || this.off || this.held || document.hidden || !this.bars.size) return;
    const [bar] = this.bars.values();
    const address = new URL(bar.dataset.socket, location.href);
    address.protocol = location.protocol.replace("http", "ws");
    const mine = (this.ws = new WebSocket(address));
    this.since = Infinity;
    mine.onopen = () => {
      this.since = Date.now();
      this.bars.forEach((bar) => this.watch(bar));
    };
    mine.onmessage = ({ data }) => {
      const state = JSON.parse(data);
      this.bars.get(state.of)?.hear(state);
    };
    mine.onclose = ({ code }) => mine === this.ws && this.lose(code);
  },

  lose(code) {
    this.ws = null;
    this.off = code >= 4400; // it says that it is not for them
    if (Date.now() - this.since > 10000) this.wait = AGAIN; // it was well
    this.held = true;
    setTimeout(() => {
      this.held = false;
      this.open();
    }, this.wait * (0.5 + Math.random() / 2));
    this.wait = Math.min(2 * this.wait, LONGEST);
    this.bars.forEach((bar) => bar.unheard());
  },

  close() {
    const mine = this.ws;
    this.ws = null;
    mine?.close();
  },

  watch(bar) {
    const { task, token, seen } = bar.dataset;
    this.say({ watch: task, token, after: Number(seen) });
  },

  say(message) {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
  },
};

const open = new Set(); // all bars that ask or are told

// A page that nobody sees does neither.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return line.close();
  line.open();
  open.forEach((bar) => bar.plan(0));
});

class CqProgress extends HTMLElement {
  connectedCallback() {
    // htmx asks for it itself; what was done when it came is not looked at again.
    if (this.classList.contains("cq-over") || this.hasAttribute("hx-get")) return;
    this.changed = Date.now();
    this.pressed = (event) => this.cancel(event);
    this.addEventListener("submit", this.pressed);
    open.add(this);
    this.plan(OFTEN);
    line.add(this);
  }

  disconnectedCallback() {
    this.stop();
  }

  stop() {
    clearTimeout(this.timer);
    this.told = false;
    open.delete(this);
    line.remove(this);
    this.removeEventListener("submit", this.pressed);
  }

  plan(delay) {
    clearTimeout(this.timer);
    if (open.has(this)) this.timer = setTimeout(() => this.look(), delay);
  }

  // What the socket tells is good until it is silent for long, or has missed something.
  hear(state) {
    this.told = true;
    this.show(state);
    this.plan(SILENT);
  }

  unheard() {
    this.told = false;
    this.plan(0);
  }

  async look() {
    if (document.hidden || this.looking) return;
    this.looking = true;
    let next = Date.now() - this.changed < 60000 ? OFTEN : SELDOM;
    try {
      const headers = { Accept: "application/json" };
      if (this.etag) headers["If-None-Match"] = this.etag;
      const answer = await fetch(`${this.dataset.url}?after=${this.dataset.seen}`, {
        headers,
        cache: "no-store",
        credentials: "same-origin",
      });
      if (answer.status === 404) {
        this.lose();
      } else if (answer.ok) {
        this.etag = answer.headers.get("ETag");
        const state = await answer.json();
        if (state.more) next = 0;
        if (this.show(state)) this.told = false;
      } else if (answer.status !== 304) {
        next = SELDOM;
      }
    } catch {
      next = SELDOM; // no network, or the site is being deployed
    } finally {
      this.looking = false;
    }
    this.plan(this.told ? SILENT : next);
  }

  async cancel(event) {
    if (!event.target.matches(".cq-cancel")) return;
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
        credentials: "same-origin",
      });
      if (answer.status === 404) this.lose();
      else if (answer.ok) this.plan(0);
      else button.disabled = false;
    } catch {
      button.disabled = false;
    }
  }

  // Tells whether anything is another.
  show(state) {
    if (!open.has(this)) return false;
    const progress = state.progress;
    if (progress.fraction === null) this.part("bar")?.removeAttribute("value");
    else this.part("bar")?.setAttribute("value", progress.fraction);
    this.write("text", state.done ? "" : state.text);
    this.write("amount", state.amount);
    this.write("outcome", state.done ? state.text : "");
    this.append(state.log || []);
    const before = this.said;
    this.said = JSON.stringify([state.status, state.text, state.amount, this.dataset.seen]);
    if (this.said === before) return false;
    this.changed = Date.now();
    if (state.done) this.end(state);
    else this.tell("cq:progress", state);
    return true;
  }

  end(state) {
    this.stop();
    this.classList.add("cq-over");
    this.classList.toggle("cq-failed", !state.ok);
    this.part("cancel")?.remove();
    this.part("refresh")?.remove();
    const next = this.part("next");
    if (next && state.ok) next.hidden = false;
    if (!state.ok) this.tell("cq:failed", state);
    const stays = this.tell("cq:done", state);
    const target = state.ok && stays && this.target();
    if (target) location.assign(target);
  }

  lose() {
    this.stop();
    this.classList.add("cq-lost");
    this.write("text", this.dataset.lost);
    this.part("cancel")?.remove();
  }

  target() {
    if (!this.dataset.redirect) return null;
    const found = new URL(this.dataset.redirect, location.href);
    return found.origin === location.origin && found.href;
  }

  append(lines) {
    const log = this.part("log");
    const follows = log && log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    for (const line of lines) {
      if (line.n <= Number(this.dataset.seen)) continue;
      this.dataset.seen = line.n;
      if (!log) continue;
      const item = document.createElement("li");
      item.dir = "auto";
      item.textContent = line.text;
      log.append(item);
      if (log.children.length > MOST_LINES) log.firstElementChild.remove();
    }
    if (follows) log.scrollTop = log.scrollHeight;
  }

  write(name, text) {
    const part = this.part(name);
    if (part && part.textContent !== text) part.textContent = text;
  }

  part(name) {
    return this.querySelector(`.cq-${name}`);
  }

  tell(name, detail) {
    return this.dispatchEvent(
      new CustomEvent(name, { detail, bubbles: true, cancelable: true }),
    );
  }
}

if (!customElements.get("cq-progress")) customElements.define("cq-progress", CqProgress);
