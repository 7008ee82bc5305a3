// Channels: events, members, refusals, leaving; and the calls of 2012.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebRocketError } from "../dist/webrocket.mjs";
import { connect, settle } from "./fake.mjs";

/** A connection with these channels joined. */
async function joined(...names) {
  const { wire, wr, told } = connect({ auth: () => "t" });
  const channels = names.map(name => wr.join(name));
  wire.greet("me");
  await settle();
  wire.say([":authenticated"]);
  for (const channel of names) wire.say([":subscribed", { channel, uid: "joe", subscribers: [] }]);
  wire.take();
  told.take();
  return { wire, wr, told, channels };
}

test("events come with who sent them, by name", async () => {
  const { wire, channels: [chat] } = await joined("chat");
  const seen = [];
  const end = chat.on("said", (data, meta) => seen.push([data.text, meta]));
  const said = chat.event("said");
  said.on(data => seen.push(data.text));
  wire.say(["said", { text: "hi", sid: "s9", channel: "chat" }], ["other", { channel: "chat" }], ["said", { channel: "elsewhere" }]);
  assert.deepEqual(seen.splice(0), [["hi", { sid: "s9", channel: "chat" }], "hi"]);
  end();
  wire.say(["said", { text: "from a backend", channel: "chat" }]);
  assert.deepEqual(seen.splice(0), ["from a backend"]);
  said.off();
  wire.say(["said", { text: "again", channel: "chat" }]);
  assert.deepEqual(seen, []);
  said.broadcast({ text: "yes" }, { trigger: "log" });
  assert.deepEqual(wire.take(), [{ broadcast: { channel: "chat", event: "said", data: { text: "yes" }, trigger: "log" } }]);
});

test("a handler that throws stops no other, and is not kept quiet", async t => {
  const { wire, channels: [chat] } = await joined("chat");
  const later = [];
  t.mock.method(globalThis, "queueMicrotask", act => later.push(act));
  const seen = [];
  chat.on("said", () => {
    throw new Error("mine");
  });
  chat.on("said", () => seen.push(1));
  wire.say(["said", { channel: "chat" }]);
  assert.deepEqual(seen, [1]);
  assert.equal(later.length, 1);
  assert.throws(later[0], { message: "mine" });
});

test("names that nothing can have are refused where they are given", async () => {
  const { wr, channels: [chat] } = await joined("chat");
  assert.throws(() => wr.join(""), TypeError);
  for (const name of ["", ":mine"]) {
    assert.throws(() => chat.broadcast(name), TypeError);
    assert.throws(() => wr.trigger(name), TypeError);
  }
});

test("members: a user with several connections is one", async () => {
  const { wire, channels: [room] } = await joined("presence-room");
  const seen = [];
  room.members.on("online", ({ uid, mood }) => seen.push(`+${uid} ${mood ?? ""}`.trim()));
  room.members.on("offline", ({ uid, mood }) => seen.push(`-${uid} ${mood ?? ""}`.trim()));
  const member = (uid, rest = {}) => ({ uid, channel: "presence-room", ...rest });
  wire.say([":memberJoined", member("joe")], [":memberJoined", member("ann", { mood: "gay" })], [":memberJoined", member("ann", { mood: "sad" })]);
  assert.deepEqual(seen.splice(0), ["+joe", "+ann gay"]);
  assert.equal(room.members.get("ann").mood, "sad");
  wire.say([":memberLeft", member("ann")]);
  assert.deepEqual([seen.splice(0), room.members.size], [[], 2]);
  wire.say([":memberLeft", member("ann", { mood: "tired" })]);
  assert.deepEqual(seen.splice(0), ["-ann tired"]);
  assert.deepEqual([...room.members.keys()], ["joe"]);
  // Somebody who was never there, and another channel's.
  wire.say([":memberLeft", member("nobody")], [":memberJoined", { uid: "x", channel: "presence-other" }]);
  assert.deepEqual(seen, []);
});

test("members over a lost connection: only what changed is told", async () => {
  const { wire, wr, channels: [room] } = await joined("presence-room");
  const member = uid => ({ uid, channel: "presence-room" });
  wire.say([":memberJoined", member("joe")], [":memberJoined", member("ann")], [":memberJoined", member("bob")]);
  const seen = [];
  room.members.on("online", ({ uid }) => seen.push(`+${uid}`));
  room.members.on("offline", ({ uid }) => seen.push(`-${uid}`));
  wire.cut();
  assert.equal(room.members.size, 3, "nothing is known of them meanwhile");
  await new Promise(resolve => wr.on("reconnecting", resolve) && setTimeout(resolve, 600));
  wire.greet("again");
  await settle();
  wire.say([":authenticated"], [":subscribed", { channel: "presence-room", uid: "joe", subscribers: [member("ann"), member("cid")] }]);
  assert.deepEqual(seen.splice(0), ["-bob", "+cid"]);
  wire.say([":memberJoined", member("joe")]);
  assert.deepEqual(seen, [], "this side was there all the time");
  wr.close();
  assert.deepEqual(seen.sort(), ["-ann", "-cid", "-joe"]);
  assert.equal(room.members.size, 0);
});

test("hidden: no member itself, it sees the others", async () => {
  const { wire, wr } = await joined();
  const room = wr.join("presence-room", { hidden: true, data: { a: 1 } });
  assert.deepEqual(wire.take(), [{ subscribe: { channel: "presence-room", hidden: true, data: { a: 1 } } }]);
  wire.say([":subscribed", { channel: "presence-room", uid: "joe", subscribers: [{ uid: "ann", channel: "presence-room" }] }]);
  assert.deepEqual([...room.members.keys()], ["ann"]);
});

test("a refused subscription says which one it was", async () => {
  const { wire, wr, told } = await joined();
  wr.join("private-a");
  wr.join("missing");
  wr.join("news");
  wire.say([":error", { code: 403, status: "Forbidden" }], [":error", { code: 454, status: "Channel not found" }], [":subscribed", { channel: "news" }]);
  assert.deepEqual(told.take(), [
    ["left", "private-a"], ["error", [403, "private-a"]],
    ["left", "missing"], ["error", [454, "missing"]],
    ["joined", "news"],
  ]);
  assert.equal(wr.channel("missing"), undefined);
});

test("errors of triggers and broadcasts name no channel and leave subscriptions alone", async () => {
  const { wire, wr, told, channels: [chat] } = await joined("chat");
  const later = wr.join("later");
  wr.trigger("now");
  chat.broadcast("said");
  wire.say([":error", { code: 503, status: "Service unavailable" }], [":error", { code: 400, status: "Bad request" }], [":error", { code: 599 }]);
  assert.deepEqual(told.take(), [["error", 503], ["error", 400], ["error", 599]]);
  wire.say([":subscribed", { channel: "later" }]);
  assert.equal(later.state, "joined");
  const error = new WebRocketError(453, undefined, "chat");
  assert.equal(error.message, "Not subscribed (453): chat");
});

test("a channel that the backend closes is left, and can be joined again", async () => {
  const { wire, wr, told, channels: [chat] } = await joined("chat");
  wire.say([":unsubscribed", { channel: "chat" }]);
  assert.deepEqual(told.take(), [["left", "chat"]]);
  assert.ok(!chat.broadcast("said"));
  assert.deepEqual(wire.take(), []);
  const again = wr.join("chat");
  assert.notEqual(again, chat);
  assert.equal(wire.take().length, 1);
});

test("left and joined again at once: each answer goes to its own", async () => {
  const { wire, wr, told, channels: [chat] } = await joined("chat");
  chat.leave({ why: "bye" });
  const again = wr.join("chat");
  assert.deepEqual(wire.take(), [
    { unsubscribe: { channel: "chat", data: { why: "bye" } } },
    { subscribe: { channel: "chat", hidden: false, data: {} } },
  ]);
  wire.say([":unsubscribed", { channel: "chat" }]);
  assert.equal(again.state, "joining");
  wire.say([":subscribed", { channel: "chat" }]);
  assert.equal(again.state, "joined");
  assert.deepEqual(told.take(), [["left", "chat"], ["joined", "chat"]]);
});

test("joined and left before the answer: the answers change nothing", async () => {
  const { wire, wr, told } = await joined();
  wr.join("chat").leave();
  const again = wr.join("chat");
  again.leave();
  assert.equal(wire.take().length, 4);
  wire.say([":subscribed", { channel: "chat" }], [":unsubscribed", { channel: "chat" }], [":subscribed", { channel: "chat" }], [":unsubscribed", { channel: "chat" }]);
  assert.deepEqual(told.take(), [["left", "chat"], ["left", "chat"]]);
  assert.equal(wr.channel("chat"), undefined);
});

test("the calls of 2012", async () => {
  const { wire, wr } = connect();
  const seen = [];
  for (const event of [":connected", ":subscribed", ":unsubscribed", ":error", "said"]) wr.bind(event, data => seen.push([event, data]));
  wire.greet("s1");
  wr.subscribe("chat");
  wire.say([":subscribed", { channel: "chat" }]);
  wr.broadcast("chat", "said", { text: "hi" });
  wire.say(["said", { text: "hi", sid: "s1", channel: "chat" }], [":error", { code: 597, status: "Internal error" }]);
  wr.unsubscribe("chat");
  wire.say([":unsubscribed", { channel: "chat" }]);
  assert.deepEqual(seen.map(([event]) => event), [":connected", ":subscribed", "said", ":error", ":unsubscribed"]);
  assert.deepEqual(seen[0][1], { sid: "s1" });
  assert.deepEqual(wire.take().map(it => Object.keys(it)[0]), ["subscribe", "broadcast", "unsubscribe"]);
});
