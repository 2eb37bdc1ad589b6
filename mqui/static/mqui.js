// Everything works without this file. It renews the figures and adds keys.
"use strict";
(() => {
  const live = document.body.dataset.live;
  const status = document.getElementById("live");
  let events = null;

  const say = (text, on) => {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("on", on);
  };

  // element makes one element of what the server has rendered. Parsing runs no script, and
  // a row needs a table around it.
  const element = (html) => {
    const t = document.createElement("template");
    t.innerHTML = html;
    return t.content.firstElementChild;
  };

  const renew = (old, html) => {
    const next = element(html);
    if (!next) return;
    const focus = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    old.replaceWith(next);
    if (focus) for (const a of next.querySelectorAll("a")) if (a.getAttribute("href") === focus) a.focus({ preventScroll: true });
  };

  const arrange = (list, order, html) => {
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    order.forEach((id, i) => {
      let row = document.getElementById(id);
      if (!row && html[id]) row = element(html[id]);
      if (row && list.children[i] !== row) list.insertBefore(row, list.children[i] || null);
    });
    while (list.children.length > order.length) list.lastElementChild.remove();
    if (focused && focused.isConnected) focused.focus({ preventScroll: true });
  };

  const apply = (update) => {
    for (const [id, html] of Object.entries(update.html || {})) {
      const old = document.getElementById(id);
      if (old) renew(old, html);
    }
    const list = update.list && document.getElementById(update.list);
    if (list) arrange(list, update.order || [], update.html || {});
  };

  const close = () => {
    if (events) events.close();
    events = null;
  };

  const open = () => {
    if (!live || events || document.hidden || !window.EventSource) return;
    events = new EventSource(live);
    events.onopen = () => say("live", true);
    events.onmessage = (e) => apply(JSON.parse(e.data));
    events.onerror = () => say("not live: reload the page", false);
    events.addEventListener("end", () => {
      close();
      say("", false);
      location.reload();
    });
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    close();
    say("", false);
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();

  const links = () => [...document.querySelectorAll("tbody th a")];

  const step = (by) => {
    const all = links();
    const at = all.findIndex((a) => a.closest("tr") === document.activeElement.closest?.("tr"));
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) next.focus();
  };

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    o: () => document.activeElement.closest?.("tr")?.querySelector("th a")?.click(),
    x: () => document.activeElement.closest?.("tr")?.querySelector("input[type=checkbox]")?.click(),
    n: () => document.querySelector("a[rel=next]")?.click(),
    u: () => document.getElementById("up")?.click(),
    r: () => location.reload(),
    "/": () => document.getElementById("filter")?.focus(),
    "?": () => {
      const line = document.querySelector(".keys");
      line.classList.toggle("hint");
      line.scrollIntoView();
    },
  };

  document.addEventListener("keydown", (e) => {
    const typing = e.target.closest("input:not([type=checkbox]), textarea, select");
    if (e.key === "Escape" && typing) return typing.blur();
    if (typing || e.ctrlKey || e.metaKey || e.altKey || !keys[e.key]) return;
    e.preventDefault();
    keys[e.key]();
  });

  // A list of messages has one box that selects all.
  const box = document.querySelector(".messages thead th:first-child");
  if (box && document.querySelector("input[name=id][type=checkbox]")) {
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Select all");
    all.addEventListener("change", () => {
      for (const c of document.querySelectorAll("input[name=id][type=checkbox]")) c.checked = all.checked;
    });
    box.append(all);
  }
})();
