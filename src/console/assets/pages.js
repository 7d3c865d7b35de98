// Comfort for pages that are whole without it. It builds nodes and writes no markup; a page of our own server is read as one by
// the policy that its headers name. What templates may say:
//
//   <time datetime>            the reader's zone, how long ago, UTC in the title
//   data-copy, data-copy="…"   a button copies its text, or this one
//   <pre data-json>            can be folded, as it is written
//   data-live                  (list) can follow what comes in: l
//   data-progress              is fetched anew as long as the page has it so, seldom when nothing changes
//   data-select                (table with a box in each row) all, x, Shift+x, Shift+click; data-selected="TABLE-ID" says how many
//   data-key="o"               (link) g o goes there; data-press="r" is pressed by r; rel="next", "prev": n, p
"use strict";
(() => {
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const one = (what, where = document) => where.querySelector(what);
  const make = (name, text, more = {}) => {
    const node = document.createElement(name);
    if (text) node.textContent = text;
    for (const [key, value] of Object.entries(more)) node.setAttribute(key, value);
    return node;
  };
  const keep = (store, key, value) => {
    try {
      if (value === undefined) return store().getItem(key);
      if (value) store().setItem(key, value); else store().removeItem(key);
    } catch { /* a browser that keeps nothing */ }
    return null;
  };
  const root = document.documentElement;
  const local = () => localStorage;
  const session = () => sessionStorage;
  const trusted = window.trustedTypes?.createPolicy("pages", { createHTML: (page) => page });

  // The theme, as early as this runs.
  const THEMES = ["", "light", "dark"];
  let theme = keep(local, "theme") || "";
  const paint = () => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  paint();
  let themeButton;
  const turn = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep(local, "theme", theme);
    paint();
    if (themeButton) themeButton.textContent = `Theme: ${theme || "system"}`;
  };

  // Moments.
  const DAY = 86400e3;
  const exact = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
  const since = (ms) => {
    const abs = Math.abs(ms);
    if (abs < 60e3) return ago.format(Math.round(ms / 1e3), "second");
    if (abs < 3600e3) return ago.format(Math.round(ms / 60e3), "minute");
    if (abs < DAY) return ago.format(Math.round(ms / 3600e3), "hour");
    return ago.format(Math.round(ms / DAY), "day");
  };
  const tell = (where) => {
    for (const time of all("time[datetime]", where)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.dataset.utc ||= time.textContent;
      const text = exact.format(at);
      const gone = since(at - Date.now());
      const inCell = time.closest("td, .timeline") !== null;
      const near = Math.abs(at - Date.now()) < DAY;
      time.textContent = !inCell ? `${text} (${gone})` : near ? gone : text;
      time.title = `${text} · ${time.dataset.utc}`;
    }
  };

  // Copying.
  const copying = (where) => {
    for (const from of all("[data-copy]", where)) {
      if (!navigator.clipboard || from.nextElementSibling?.classList.contains("copy")) continue;
      const button = make("button", "Copy", { type: "button", class: "copy" });
      const about = from.getAttribute("aria-label") || from.dataset.copyName;
      if (about) button.setAttribute("aria-label", `Copy ${about}`);
      button.addEventListener("click", async () => {
        try {
          const text = from.tagName === "PRE" ? from.textContent : from.textContent.trim();
          await navigator.clipboard.writeText(from.dataset.copy || text);
          button.textContent = "Copied";
        } catch { button.textContent = "Not allowed"; }
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      from.after(button);
    }
  };

  // JSON, folded. The text is cut into its words and put together again; what is no JSON stays as it is.
  const DEPTH = 60;
  const tree = (text) => {
    JSON.parse(text);
    const words = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
    let at = 0;
    const value = (depth, label) => {
      if (depth > DEPTH) throw new RangeError("deep");
      const word = words[at++];
      const named = label ? [label, ": "] : [];
      if (word !== "{" && word !== "[") {
        const line = make("div");
        line.append(...named, make("span", word, { class: word[0] === '"' ? "text" : "plain" }));
        return line;
      }
      const end = word === "{" ? "}" : "]";
      const rows = make("div");
      while (words[at] !== end) {
        let key;
        if (word === "{") { key = make("span", words[at], { class: "key" }); at += 2; }
        rows.append(value(depth + 1, key));
        if (words[at] === ",") at += 1;
      }
      at += 1;
      const count = rows.childElementCount;
      const fold = make("details");
      fold.open = depth < 3 && count <= 50;
      const summary = make("summary");
      summary.append(...named, word, make("span", ` ${count} … ${end}`, { class: "soft" }));
      fold.append(summary, rows, make("span", end));
      if (count) return fold;
      const line = make("div");
      line.append(...named, word + end);
      return line;
    };
    return value(0);
  };
  const folding = (where) => {
    for (const pre of all("pre[data-json]", where)) {
      if (pre.dataset.json === "told") continue;
      pre.dataset.json = "told";
      let folded;
      try { folded = tree(pre.textContent); } catch { continue; }
      if (folded.tagName !== "DETAILS") continue;
      const name = pre.getAttribute("aria-label") || "JSON";
      const shown = make("div", "", { class: "json", tabindex: "0", role: "region", "aria-label": `${name}, folded` });
      shown.append(folded);
      const button = make("button", "As it came", { type: "button", class: "quiet", "aria-pressed": "false" });
      button.addEventListener("click", () => {
        pre.hidden = !pre.hidden;
        shown.hidden = !pre.hidden;
        button.setAttribute("aria-pressed", String(!pre.hidden));
      });
      pre.hidden = true;
      pre.before(button, shown);
    }
  };

  // Choosing rows.
  const boxes = (table) => all('tbody input[type="checkbox"]', table);
  const chosen = () => all("table[data-select] tbody input:checked").length;
  let last;
  const choose = (box, range) => {
    const list = boxes(box.closest("table"));
    const [from, to] = [list.indexOf(last), list.indexOf(box)];
    if (range && from >= 0) {
      for (const other of list.slice(Math.min(from, to), Math.max(from, to) + 1)) other.checked = box.checked;
    }
    last = box;
    count(box.closest("table"));
  };
  const count = (table) => {
    const list = boxes(table);
    const number = list.filter((box) => box.checked).length;
    for (const box of list) box.closest("tr").classList.toggle("picked", box.checked);
    for (const said of all("[data-selected]")) {
      if (said.dataset.selected === table.id) said.textContent = number ? `${number} selected` : "";
    }
    const every = one("thead input", table);
    if (every) {
      every.checked = number > 0 && number === list.length;
      every.indeterminate = number > 0 && number < list.length;
    }
  };
  const choosing = (where) => {
    for (const table of all("table[data-select]", where)) {
      const corner = one("thead th", table);
      if (!corner || one("input", corner) || !boxes(table).length) continue;
      const every = make("input", "", { type: "checkbox", "aria-label": "Select all on this page" });
      every.addEventListener("change", () => {
        for (const box of boxes(table)) box.checked = every.checked;
        count(table);
      });
      corner.append(every);
      count(table);
    }
  };
  document.addEventListener("click", (event) => {
    if (event.target.matches?.('table[data-select] tbody input[type="checkbox"]')) choose(event.target, event.shiftKey);
  });

  const dress = (where) => { tell(where); copying(where); folding(where); choosing(where); };

  // What goes on while one looks: the same page, fetched again; of it, one part put in the other's place.
  const again = async () => {
    // That nobody has clicked: a page that is left open keeps no session.
    const headers = { "x-posthaste-again": "1" };
    const answer = await fetch(location.href, { headers, credentials: "same-origin", signal: AbortSignal.timeout(10e3) });
    if (!answer.ok || answer.redirected) throw new Error(`${answer.status}`);
    const text = await answer.text();
    return new DOMParser().parseFromString(trusted ? trusted.createHTML(text) : text, "text/html");
  };
  const part = (name, page = document) => one(`[${name}]`, page);
  const put = (name, page) => {
    const [old, next] = [part(name), part(name, page)];
    if (!old || !next) return false;
    const known = new Set(all("tbody a", old).map((link) => link.href));
    const took = document.importNode(next, true);
    if (known.size) {
      for (const row of all("tbody tr", took)) row.classList.toggle("fresh", !known.has(one("a", row)?.href));
    }
    old.replaceWith(took);
    dress(took.parentElement);
    return true;
  };
  const EVERY = 3e3;
  const EVERY_MAX = 60e3;
  const away = () => document.hidden || !document.hasFocus();

  const progress = () => {
    let wait = 2e3;
    const step = async () => {
      const now = part("data-progress");
      if (!document.hidden && !now.contains(document.activeElement)) {
        try {
          const page = await again();
          const same = part("data-progress", page)?.textContent === seen;
          seen = part("data-progress", page)?.textContent;
          if (!put("data-progress", page)) { location.reload(); return; } // it has ended: the rest of the page says how
          wait = same ? Math.min(wait * 1.5, EVERY_MAX) : 2e3;
        } catch { wait = Math.min(wait * 2, EVERY_MAX); }
      }
      setTimeout(step, wait);
    };
    let seen;
    if (part("data-progress")) setTimeout(step, wait);
  };

  let live;
  const following = () => {
    const asked = new URLSearchParams(location.search);
    if (!part("data-live") || asked.has("after") || asked.has("before")) return;
    const place = `live ${location.pathname}`;
    const button = make("button", "Live: off", { type: "button", class: "live" });
    let [on, wait, timer] = [false, EVERY, 0];
    const say = (text) => { if (button.textContent !== text) button.textContent = text; };
    const step = async () => {
      if (!on) return;
      if (chosen()) say("Live: paused, rows are selected");
      else if (away() || part("data-live").contains(document.activeElement)) say("Live: paused");
      else {
        try {
          const page = await again();
          if (on && !chosen()) put("data-live", page);
          wait = EVERY;
          say("Live: on");
        } catch {
          wait = Math.min(wait * 2, EVERY_MAX);
          say(`Live: no answer, again in ${wait / 1e3} s`);
        }
      }
      timer = setTimeout(step, wait);
    };
    live = () => {
      on = !on;
      keep(session, place, on ? "on" : "");
      button.setAttribute("aria-pressed", String(on));
      clearTimeout(timer);
      say(on ? "Live: on" : "Live: off");
      if (on) step();
    };
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => live());
    part("data-live").before(button);
    if (keep(session, place)) live();
  };

  // Keys.
  const rows = () => all("main tbody tr").filter((row) => one("a", row));
  const here = () => document.activeElement?.closest("main tbody tr");
  const walk = (step) => {
    const list = rows();
    const at = list.indexOf(here());
    const next = list[at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step];
    if (next) { one("a", next).focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  const pick = (range) => {
    const box = here() && one('input[type="checkbox"]', here());
    if (box) { box.checked = range || !box.checked; choose(box, range); }
  };
  const press = (what) => { const node = one(what); node?.click(); return Boolean(node); };
  const KEYS = [
    ["/", "search", () => one('main input[type="search"], main [data-search]')?.focus()],
    ["j", "next row", () => walk(1)],
    ["k", "previous row", () => walk(-1)],
    ["x", "select the row (X: up to here)", () => pick(false)],
    ["n", "next", () => press('main a[rel="next"]')],
    ["p", "previous", () => press('main a[rel="prev"]')],
    ["l", "follow the list", () => live?.()],
    ["t", "light or dark", turn],
    ["?", "these keys", () => help()],
  ];
  const help = () => {
    let box = one("dialog.keys");
    if (!box) {
      box = make("dialog", "", { class: "keys", "aria-label": "Keys" });
      const table = make("table");
      const body = make("tbody");
      const line = (key, what) => {
        const row = make("tr");
        const cell = make("td");
        cell.append(make("kbd", key));
        row.append(cell, make("td", what));
        body.append(row);
      };
      for (const [key, what] of KEYS) line(key, what);
      line("Enter", "open the row");
      for (const link of all("nav [data-key]")) line(`g ${link.dataset.key}`, link.textContent);
      for (const node of all("main [data-press]")) line(node.dataset.press, node.textContent.trim());
      const shut = make("button", "Close", { type: "button" });
      shut.addEventListener("click", () => box.close());
      table.append(body);
      box.append(make("h2", "Keys"), table, shut);
      document.body.append(box);
    }
    box.showModal();
  };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || one("dialog[open]")) return;
    if (target.isContentEditable || (target.matches?.("input, select, textarea") && target.type !== "checkbox")) return;
    const letter = /^[a-z]$/.test(key) ? key : "";
    let done = true;
    if (Date.now() < going && letter) {
      going = 0;
      done = press(`nav [data-key="${letter}"]`);
    } else if (key === "g") going = Date.now() + 1500;
    else if (key === "X") pick(true);
    else {
      const known = KEYS.find(([name]) => name === key);
      if (known) known[2]();
      else done = Boolean(letter) && press(`main [data-press="${letter}"]`);
    }
    if (done) event.preventDefault();
  });

  const top = one(".top form");
  if (top) {
    themeButton = make("button", `Theme: ${theme || "system"}`, { type: "button", class: "quiet" });
    themeButton.addEventListener("click", turn);
    const keys = make("button", "Keys", { type: "button", class: "quiet keys", title: "?" });
    keys.addEventListener("click", help);
    top.before(themeButton, keys);
  }
  dress(document);
  following();
  progress();
  setInterval(() => tell(document), 30e3);
})();
