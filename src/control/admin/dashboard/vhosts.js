// Vhosts and their channels: listed, created, deleted.

import { ask, channelHref, vhostHref, vhostPath } from "./dashboard.admin.js";
import { $, confirmed, element, empty } from "./dashboard.elements.js";
import { counted, number } from "./dashboard.rates.js";

/** Rows of a list; the rest is found by its name. */
const ROWS_MAX = 200;

let vhosts = [];
let selected;
/** Opens the console on a channel. */
let watch = () => {};
/** Lists all anew. */
let list = async () => {};

export function onWatch(act) {
  watch = act;
}

export function onChange(act) {
  list = act;
}

export const paths = () => vhosts.map(it => it.path);

/** Lists all anew; `stats` and `rates` have the numbers of those that are counted alone. */
export async function refresh(stats, rates) {
  ({ vhosts } = await ask("GET", "/"));
  const counts = new Map(stats.vhosts.map(it => [it.path, it]));
  $("vhost-rows").replaceChildren(...vhosts.slice(0, ROWS_MAX).map(({ path }) => vhostRow(path, counts.get(path), rates?.vhosts.get(path))));
  $("vhost-note").textContent = !vhosts.length
    ? "No vhosts yet. Create one, then open a channel in it."
    : vhosts.length > ROWS_MAX ? `The first ${ROWS_MAX} of ${number(vhosts.length)}.` : "";
  if (selected && !paths().includes(selected)) select(undefined);
  if (selected) await refreshVhost();
}

function vhostRow(path, counts, rate) {
  const cells = [counts?.frontends, counts?.channels, counts?.workers, rate]
    .map(value => element("td", { className: "number" }, number(value)));
  const open = element("button", { type: "button", className: "link", onclick: () => select(path) }, path);
  const remove = element("button", { type: "button", onclick: () => removeVhost(path) }, "Delete");
  remove.setAttribute("aria-label", `Delete ${path}`);
  open.setAttribute("aria-pressed", String(path === selected));
  return element("tr", {}, element("td", {}, open), ...cells, element("td", {}, remove));
}

function select(path) {
  selected = path;
  $("vhost").hidden = !path;
  $("vhost-name").textContent = path ?? "";
  $("token").textContent = "";
  $("channel-error").textContent = "";
  $("channel-filter").value = "";
  for (const button of $("vhost-rows").querySelectorAll(".link")) button.setAttribute("aria-pressed", String(button.textContent === path));
  if (path) tellFailure("channel-error", refreshVhost());
}

async function refreshVhost() {
  const vhost = selected;
  const [{ channels }, { workers }] = await Promise.all([
    ask("GET", `${vhostHref(vhost)}/channels`), ask("GET", `${vhostHref(vhost)}/workers`)]);
  // Another one was chosen meanwhile.
  if (vhost !== selected) return;
  const wanted = $("channel-filter").value;
  const found = channels.filter(({ name }) => name.includes(wanted));
  const shown = found.slice(0, ROWS_MAX);
  $("channel-search").hidden = channels.length < 10;
  const focused = document.activeElement?.ariaLabel;
  $("channel-rows").replaceChildren(...(channels.length ? shown.map(channelRow) : [empty("No channels yet.")]));
  // The list is another, the button under the keyboard is not.
  if (focused) $("channel-rows").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  $("channel-note").textContent = found.length > shown.length
    ? `The first ${ROWS_MAX} of ${number(found.length)}; name more of it.`
    : channels.length && !found.length ? "No name has that in it." : "";
  $("worker-note").textContent = workers.length ? workers.slice(0, ROWS_MAX).map(it => it.id).join(", ") : "None: triggers find nobody.";
}

function channelRow({ name, subscribers: { size } }) {
  const vhost = selected;
  const button = (verb, act) => {
    const made = element("button", { type: "button", onclick: act }, verb);
    made.ariaLabel = `${verb} ${name}`;
    return made;
  };
  return element("li", {},
    element("span", {}, name), element("span", { className: "value soft" }, counted(size, "subscriber")),
    button("Watch", () => watch(vhost, name)),
    button("Close", () => closeChannel(vhost, name, size)));
}

async function removeVhost(path) {
  if (!await confirmed(`Delete ${path}? Its channels and tokens are forgotten, its connections closed.`, "Delete")) return;
  await change("vhost-error", () => ask("DELETE", vhostHref(path)));
}

async function closeChannel(vhost, name, size) {
  if (!await confirmed(`Close ${name} of ${vhost}? Its ${counted(size, "subscriber")} will be told so.`, "Close")) return;
  await change("channel-error", () => ask("DELETE", channelHref(vhost, name)));
}

/** Does it, and says beside the form what was wrong with it. */
async function change(errorId, act) {
  $(errorId).textContent = "";
  const isDone = await tellFailure(errorId, act());
  if (isDone) await tellFailure(errorId, list());
  return isDone;
}

async function tellFailure(errorId, doing) {
  try {
    await doing;
    return true;
  } catch (error) {
    $(errorId).textContent = error.message;
    return false;
  }
}

$("vhost-form").addEventListener("submit", async event => {
  event.preventDefault();
  const path = vhostPath($("vhost-path").value);
  if (await change("vhost-error", () => ask("POST", vhostHref(path)))) {
    $("vhost-path").value = "";
    select(path);
  }
});

$("channel-form").addEventListener("submit", async event => {
  event.preventDefault();
  const name = $("channel-name").value.trim();
  if (await change("channel-error", () => ask("POST", channelHref(selected, name)))) $("channel-name").value = "";
});

$("channel-filter").addEventListener("input", () => tellFailure("channel-error", refreshVhost()));

$("token-show").addEventListener("click", () => {
  $("token").textContent = vhosts.find(it => it.path === selected)?.accessToken ?? "";
});
