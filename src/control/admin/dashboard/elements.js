export const $ = id => document.getElementById(id);

/** An element. Text stays text: names that others gave become no markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** One bar of a list: its name, how full it is from 0 to 1, and its value as text. */
export function bar(name, share, value, { note, className = "" } = {}) {
  const fill = element("div", { className: "fill" });
  fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const item = element("li", { className },
    element("span", {}, name), element("div", { className: "track" }, fill), element("span", { className: "value" }, value));
  if (note) item.append(element("span", { className: "note" }, note));
  return item;
}

/** What a list says that has nothing to list. */
export function empty(text) {
  return element("li", { className: "empty" }, text);
}

/** Asks before what can't be undone. */
export function confirmed(text, verb) {
  const dialog = $("confirm");
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = verb;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise(resolve =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
