"use strict";
// A chat on webrocket.js. $wr is the connection that the broker's /demo/webrocket.js made.

const ROOMS = ["lobby", "backstage", "random"];
const MESSAGES_MAX = 500;
const TYPING_MS = 3000;
const $ = id => document.getElementById(id);
const rooms = new Map();
let current;
let me = sessionStorage.getItem("name") || `guest-${1000 + Math.floor(Math.random() * 9000)}`;

// Each connection needs a single access token; the page's backend vouches for the name.
function signIn() {
  $wr.authenticate(async () => {
    const answer = await fetch("/webrocket/auth.json?name=" + encodeURIComponent(me));
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer.json();
  }).catch(error => note(`could not sign in: ${error.cause?.message ?? error.message}`));
}

// A room is two channels: one for what is said, one for who is there.
function addRoom(title) {
  const room = { title, unread: 0, typing: new Map(), chat: $wr.join(title), people: $wr.join(`presence-${title}`) };
  room.log = element("div", { className: "log", hidden: true, tabIndex: 0, role: "log", ariaLabel: `Messages in ${title}` });
  room.badge = element("span", { className: "unread" });
  room.button = element("button", { type: "button", onclick: () => show(room) }, element("span", {}, title), room.badge);
  $("rooms").append(element("li", {}, room.button));
  $("logs").append(room.log);
  room.chat.on("message", ({ from, text, sent }, { sid }) => {
    room.typing.delete(from);
    const isMine = sid === $wr.sid;
    if (isMine && sent) $("latency").textContent = `${(performance.now() - sent).toFixed(1)} ms round trip`;
    say(room, from, text, isMine ? "mine" : "");
  });
  room.chat.on("answer", ({ from, text }) => say(room, from, text, "worker"));
  room.people.on("typing", ({ from }, { sid }) => {
    if (sid === $wr.sid) return;
    clearTimeout(room.typing.get(from));
    room.typing.set(from, setTimeout(() => { room.typing.delete(from); draw(); }, TYPING_MS));
    draw();
  });
  room.people.members.on("online", ({ uid }) => { draw(); note(`${uid} joined`, room); });
  room.people.members.on("offline", ({ uid }) => { draw(); note(`${uid} left`, room); });
  rooms.set(title, room);
  return room;
}

function show(room) {
  current = room;
  room.unread = 0;
  for (const { log } of rooms.values()) log.hidden = log !== room.log;
  room.log.scrollTop = room.log.scrollHeight;
  draw();
}

function draw() {
  for (const { button, badge, unread, title } of rooms.values()) {
    button.toggleAttribute("aria-current", title === current.title);
    badge.textContent = unread || "";
  }
  const names = [...current.people.members.keys()].sort((a, b) => a.localeCompare(b));
  $("members").replaceChildren(...names.map(uid => element("li", {}, uid === me ? `${uid} (you)` : uid)));
  const typing = [...current.typing.keys()];
  $("typing").textContent = typing.length ? `${typing.join(", ")} ${typing.length > 1 ? "are" : "is"} typing` : "";
}

function say(room, from, text, className) {
  const last = room.log.lastElementChild;
  const item = element("div", { className }, element("p", {}, String(text)));
  item.dataset.from = from;
  if (last?.dataset.from !== item.dataset.from) item.prepend(element("b", {}, String(from)));
  append(room, item);
  if (room !== current) room.unread++;
  draw();
}

function note(text, room = current) {
  append(room, element("div", { className: "note" }, text));
}

// Follows what comes, unless somebody is reading further up.
function append({ log }, item) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  while (log.childElementCount > MESSAGES_MAX) log.firstElementChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

// Text stays text: nothing that somebody says becomes markup.
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function state(text, isGood) {
  $("state").textContent = text;
  $("state").className = isGood ? "good" : "";
}

$("form").addEventListener("submit", event => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  // Commands go to the worker too, which answers in the room.
  const trigger = text.startsWith("/") ? "command" : undefined;
  if (!current.chat.broadcast("message", { from: me, text, sent: performance.now() }, { trigger })) {
    return note("not sent: too much waits for the connection");
  }
  $("text").value = "";
  typedAt = 0;
});

let typedAt = 0;
$("text").addEventListener("input", () => {
  if (Date.now() - typedAt < TYPING_MS / 2 || current.people.state !== "joined") return;
  typedAt = Date.now();
  current.people.broadcast("typing", { from: me });
});

$("name").value = me;
$("name").addEventListener("change", () => {
  me = $("name").value.trim() || me;
  $("name").value = me;
  sessionStorage.setItem("name", me);
  signIn();
});

if (globalThis.$wr) {
  ROOMS.forEach(addRoom);
  show(rooms.get(ROOMS[0]));
  $wr.on("authenticated", () => state("connected", true));
  $wr.on("reconnecting", () => state("connection lost, trying again", false));
  $wr.on("closed", ({ reason }) => state(`closed ${reason}`, false));
  $wr.on("missed", ({ sinceMs }) => note(`back after ${(sinceMs / 1000).toFixed(1)} s; what was said meanwhile is not here`));
  $wr.on("error", error => { if (error.code) note(error.message); });
  signIn();
} else {
  state("no broker there; reload to try again", false);
}
