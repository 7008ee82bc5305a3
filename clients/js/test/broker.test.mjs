// The client at a real broker that is killed in between.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import ws from "ws";
import { WebRocket } from "../dist/webrocket.mjs";
import { Broker, next, until } from "./broker.mjs";

let broker;
before(async () => {
  broker = await Broker.start();
  await broker.admin("POST", "/app");
  for (const name of ["news", "private-desk", "presence-room"]) await broker.admin("POST", `/app/channels/${name}`);
});
after(() => broker.kill());

function connect(uid) {
  return new WebRocket(broker.url("ws", "/app"), {
    WebSocket: ws,
    backoff: { minMs: 50, maxMs: 500 },
    ...(uid ? { auth: () => broker.token("/app", uid, "(private|presence)-.*") } : {}),
  });
}

const names = room => [...room.members.keys()].sort().join();

test("a broadcast reaches everybody, its sender too, under the sender's sid", async () => {
  const [ann, bob] = [connect(), connect()];
  const channels = [ann, bob].map(it => it.join("news"));
  await Promise.all([ann, bob].map(it => next(it, "joined")));
  const heard = channels.map(it => new Promise(resolve => it.on("said", (...told) => resolve(told))));
  assert.ok(channels[0].broadcast("said", { text: "hello, \u{1f680}" }));
  for (const [data, meta] of await Promise.all(heard)) {
    assert.equal(data.text, "hello, \u{1f680}");
    assert.deepEqual(meta, { channel: "news", sid: ann.sid });
  }
  for (const it of [ann, bob]) it.close();
});

test("refusals: no such channel, not allowed, no worker", async () => {
  const wr = connect();
  wr.join("missing");
  assert.deepEqual({ ...await next(wr, "error") }, { name: "WebRocketError", code: 454, status: "Channel not found", channel: "missing" });
  wr.join("private-desk");
  assert.equal((await next(wr, "error")).code, 403);
  await wr.authenticate(() => broker.token("/app", "joe", "presence-.*"));
  wr.join("private-desk");
  const { code, channel } = await next(wr, "error");
  assert.deepEqual([code, channel], [403, "private-desk"]);
  wr.trigger("work");
  assert.equal((await next(wr, "error")).code, 503);
  const again = wr.authenticate(() => ({ token: "0".repeat(128) }));
  await assert.rejects(again, { code: 402 });
  wr.close();
});

test("members come and go, one entry for each user", async () => {
  const ann = connect("ann");
  const room = ann.join("presence-room", { data: { mood: "gay" } });
  await until("she sees herself", () => names(room) === "ann");
  assert.equal(room.members.get("ann").mood, "gay");
  const bobs = [connect("bob"), connect("bob")];
  const rooms = bobs.map(it => it.join("presence-room"));
  await until("all see both", () => [room, ...rooms].every(it => names(it) === "ann,bob"));
  const hidden = connect("eve");
  const seen = hidden.join("presence-room", { hidden: true });
  await next(hidden, "joined");
  assert.equal(names(seen), "ann,bob", "in the answer to the subscription");
  const offline = next(room.members, "offline");
  const left = new Promise(resolve => ann.bind(":memberLeft", resolve));
  bobs[0].close();
  // The one connection is gone for good, the other one is still there.
  await left;
  assert.equal(names(room), "ann,bob");
  rooms[1].leave({ why: "tired" });
  const gone = await offline;
  assert.deepEqual([gone.uid, gone.why], ["bob", "tired"]);
  assert.equal(names(room), "ann");
  for (const it of [ann, bobs[1], hidden]) it.close();
});

test("a killed broker: all comes back with fresh tokens, and the loss is told", async () => {
  const wr = connect("joe");
  const channels = ["news", "private-desk", "presence-room"].map(name => wr.join(name));
  await until("all are joined", () => channels.every(it => it.state === "joined"));
  const lost = next(wr, "disconnected");
  await broker.kill();
  const { willReconnect } = await lost;
  assert.ok(willReconnect);
  assert.ok(channels[1].broadcast("said", { text: "while away" }));
  const missed = [];
  wr.on("missed", it => missed.push(...it.channels));
  const heard = next(channels[1], "said");
  await broker.start();
  assert.equal((await heard).text, "while away");
  await until("all are back", () => missed.length === 3 && channels.every(it => it.state === "joined"));
  assert.deepEqual(missed.sort(), ["news", "presence-room", "private-desk"]);
  wr.close();
});

test("a channel that is closed and a vhost that goes are told", async () => {
  await broker.admin("POST", "/gone");
  await broker.admin("POST", "/gone/channels/a");
  const wr = new WebRocket(broker.url("ws", "/gone"), { WebSocket: ws });
  const channel = wr.join("a");
  await next(wr, "joined");
  const left = next(wr, "left");
  await broker.admin("DELETE", "/gone/channels/a");
  assert.equal(await left, channel);
  const ended = next(wr, "disconnected");
  await broker.admin("DELETE", "/gone");
  assert.equal(typeof (await ended).code, "number");
  wr.close();
});

test("what the broker serves is what is published", async () => {
  const { readFileSync } = await import("node:fs");
  const file = name => readFileSync(new URL(`../dist/${name}`, import.meta.url), "utf8");
  assert.equal(await (await fetch(broker.url("http", "/webrocket.js"))).text(), file("webrocket.js"));
  assert.equal(await (await fetch(broker.url("http", "/app/webrocket.js"))).text(), file("preconfigured.js"));
});
