// Login, views, and a look at the node every second.

import { LoggedOut, ask, login, logout, renew } from "./dashboard.admin.js";
import * as channelConsole from "./dashboard.console.js";
import { $ } from "./dashboard.elements.js";
import * as overview from "./dashboard.overview.js";
import { between, duration } from "./dashboard.rates.js";
import * as vhosts from "./dashboard.vhosts.js";

const INTERVAL_MS = 1000;
/** A session lasts twelve hours. */
const RENEWAL_MS = 60 * 60_000;
const VIEWS = ["overview", "vhosts", "console"];

let earlier;
let rates;
let answeredAt = 0;
let renewedAt = 0;
let timer;

async function look() {
  try {
    const stats = await ask("GET", "/stats.json");
    enter();
    rates = earlier ? between(earlier, stats) : null;
    earlier = stats;
    answeredAt = Date.now();
    $("node").textContent = `${stats.node} · ${stats.version} · up ${duration(stats.uptime_ms)}`;
    state("live", true);
    overview.add(stats, rates);
    channelConsole.propose(vhosts.paths(), stats.top_channels);
    await list();
    if (Date.now() - renewedAt > RENEWAL_MS) {
      await renew();
      renewedAt = Date.now();
    }
  } catch (error) {
    if (error instanceof LoggedOut) return leave();
    if ($("dashboard").hidden) $("login").hidden = false;
    overview.add(null, null);
    const silent = answeredAt ? ` for ${duration(Date.now() - answeredAt)}` : "";
    state(`no answer${silent}, trying again`, false);
  }
}

/** Vhosts and channels as they are now, where they are seen. */
async function list() {
  if (earlier && view() !== "overview") await vhosts.refresh(earlier, rates);
}

/** One look after the other, however long each takes. */
async function run() {
  clearTimeout(timer);
  await look();
  clearTimeout(timer);
  if (!$("dashboard").hidden) timer = setTimeout(run, INTERVAL_MS);
}

function state(text, isLive) {
  // What is said again is not announced again.
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").classList.toggle("good", isLive);
  $("dashboard").classList.toggle("stale", !isLive);
}

function enter() {
  $("login").hidden = true;
  $("login-error").textContent = "";
  $("dashboard").hidden = false;
}

function leave() {
  channelConsole.stop();
  earlier = rates = undefined;
  renewedAt = 0;
  $("dashboard").hidden = true;
  $("login").hidden = false;
  $("cookie").focus();
}

const view = () => VIEWS.find(it => location.hash === `#${it}`) ?? VIEWS[0];

function show() {
  for (const name of VIEWS) {
    $(name).hidden = name !== view();
    document.querySelector(`nav a[href="#${name}"]`).toggleAttribute("aria-current", name === view());
  }
  document.title = `WebRocket ${view()}`;
  // What fails here the next look says.
  list().catch(() => {});
}

async function enterWith(cookie) {
  try {
    await login(cookie);
    renewedAt = Date.now();
    $("cookie").value = "";
    await run();
  } catch (error) {
    $("login").hidden = false;
    $("login-error").textContent = error instanceof LoggedOut ? "That is not this node's cookie." : `No login: ${error.message}`;
  }
}

$("login").querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  enterWith($("cookie").value.trim());
});

$("logout").addEventListener("click", async () => {
  // Nothing keeps the page logged in whose node is gone.
  await logout().catch(() => {});
  leave();
});

vhosts.onChange(list);
vhosts.onWatch((vhost, channel) => {
  location.hash = "#console";
  channelConsole.watch(vhost, channel);
});
addEventListener("hashchange", show);

// A link may bring the cookie; it stays in no history.
const [, brought] = /^#cookie=([0-9a-f]+)$/.exec(location.hash) ?? [];
if (brought) history.replaceState(null, "", location.pathname);
show();
if (brought) enterWith(brought);
else run();
