// Coming, going and coming back, against a broker by hand and a clock by hand.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { WebRocket } from "../dist/webrocket.mjs";
import { URL, Wire, connect } from "./fake.mjs";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
});

test("connects at once, or when told", () => {
  const { wire, wr, told } = connect();
  assert.equal(wr.state, "connecting");
  assert.equal(wire.socket.url, URL);
  wire.greet("abc");
  assert.deepEqual([wr.state, wr.sid], ["connected", "abc"]);
  assert.deepEqual(told.take(), [["connected", { sid: "abc", restored: false }]]);

  const later = connect({ autoConnect: false });
  assert.deepEqual([later.wr.state, later.wire.sockets.length], ["idle", 0]);
  later.wr.connect();
  later.wr.connect();
  assert.equal(later.wire.sockets.length, 1);
});

test("a URL that is none throws where it was given", () => {
  const wire = new Wire();
  assert.throws(() => new WebRocket("nonsense", { WebSocket: wire.WebSocket }), SyntaxError);
  const wr = new WebRocket("nonsense", { WebSocket: wire.WebSocket, autoConnect: false });
  assert.throws(() => wr.connect(), SyntaxError);
  assert.equal(wr.state, "idle");
});

test("comes back with full jitter under a ceiling that doubles up to its bound", () => {
  for (const [random, factor] of [[() => 0, 0], [() => 0.5, 0.5], [() => 0.999_999, 1]]) {
    const { wire, wr, told } = connect({ random, backoff: { minMs: 100, maxMs: 1000 } });
    wire.greet();
    for (const ceiling of [100, 200, 400, 800, 1000, 1000]) {
      wire.cut();
      told.take();
      assert.equal(wr.state, "reconnecting");
      const attempts = wire.sockets.length;
      const delay = Math.max(Math.floor(ceiling * factor) - (factor === 1 ? 1 : 0), 0);
      if (delay > 0) {
        mock.timers.tick(delay - 1);
        assert.equal(wire.sockets.length, attempts, `too early at ${ceiling}`);
      }
      mock.timers.tick(1);
      assert.equal(wire.sockets.length, attempts + 1, `not there at ${ceiling}`);
    }
    // A connection that was one begins anew.
    wire.greet();
    told.take();
    wire.cut();
    assert.deepEqual(told.take().at(-1)[1].attempt, 1);
    wr.close();
  }
});

test("the close code tells what to do", () => {
  for (const [code, delayMs] of [[1006, 250], [1011, 250], [1001, 1000], [1012, 1000], [1013, 5000]]) {
    const { wire, wr, told } = connect();
    wire.greet();
    told.take();
    wire.cut(code, "why");
    assert.deepEqual(told.take(), [
      ["disconnected", { code, reason: "why", willReconnect: true }],
      ["reconnecting", { attempt: 1, delayMs }],
    ]);
    wr.close();
  }
  for (const code of [1000, 1008]) {
    const { wire, wr, told } = connect();
    wire.greet();
    wr.join("news");
    told.take();
    wire.cut(code, "why");
    assert.deepEqual(told.take(), [
      ["left", "news"],
      ["disconnected", { code, reason: "why", willReconnect: false }],
      ["closed", { code, reason: "why" }],
    ]);
    mock.timers.tick(120_000);
    assert.equal(wire.sockets.length, 1);
    assert.equal(wr.state, "closed");
  }
});

test("a greeting that does not come in time is another attempt", () => {
  const { wire, wr, told } = connect({ connectTimeoutMs: 5000 });
  mock.timers.tick(4999);
  assert.deepEqual(told.take(), []);
  mock.timers.tick(1);
  assert.deepEqual(told.names(), ["disconnected", "reconnecting"]);
  const [first] = wire.sockets;
  assert.ok(first.isClosed);
  mock.timers.tick(250);
  assert.equal(wire.sockets.length, 2);
  // Whatever the first still says is of no more interest.
  first.onmessage({ data: '{":connected":{"sid":"late"}}' });
  first.onclose({ code: 1000, reason: "" });
  assert.equal(wr.state, "reconnecting");
  wire.greet("second");
  assert.equal(wr.sid, "second");
  mock.timers.tick(60_000);
  assert.equal(wire.sockets.length, 2);
});

test("subscriptions come back, and what passed meanwhile is told as missed", () => {
  const { wire, wr, told } = connect();
  const news = wr.join("news"), chat = wr.join("chat");
  wire.greet();
  assert.deepEqual(wire.take(), [
    { subscribe: { channel: "news", hidden: false, data: {} } },
    { subscribe: { channel: "chat", hidden: false, data: {} } },
  ]);
  wire.say([":subscribed", { channel: "news" }], [":subscribed", { channel: "chat" }]);
  assert.deepEqual(told.names(), ["connected", "joined", "joined"]);
  wire.cut();
  assert.deepEqual([news.state, chat.state, wr.sid], ["joining", "joining", undefined]);
  mock.timers.tick(250);
  // Between the attempts a second loss changes nothing of when it began.
  wire.cut();
  mock.timers.tick(500);
  wire.greet("s2");
  told.take();
  assert.equal(wire.take().length, 2);
  wire.say([":subscribed", { channel: "news" }]);
  assert.deepEqual(told.take(), [["joined", "news"]]);
  wire.say([":subscribed", { channel: "chat" }]);
  assert.deepEqual(told.take(), [["joined", "chat"], ["missed", { channels: ["news", "chat"], sinceMs: 750 }]]);
});

test("who reads too slowly is told how much has passed it by", () => {
  const { wire, wr, told } = connect();
  const raw = [];
  wr.bind(":dropped", payload => raw.push(payload));
  wr.join("news");
  wire.greet();
  wire.say([":subscribed", { channel: "news" }]);
  told.take();
  wire.say([":dropped", { count: 12 }]);
  assert.deepEqual(told.take(), [["dropped", { count: 12 }]]);
  assert.deepEqual(raw, [{ count: 12 }]);
  assert.equal(wr.state, "connected");
});

test("a channel that was never joined has missed nothing", () => {
  const { wire, wr, told } = connect();
  wr.join("news");
  wire.greet();
  wire.cut();
  mock.timers.tick(250);
  wire.greet();
  told.take();
  wire.say([":subscribed", { channel: "news" }]);
  assert.deepEqual(told.take(), [["joined", "news"]]);
});

test("a channel that its backend has not opened again yet is asked for some times more", () => {
  const { wire, wr, told } = connect({ backoff: { minMs: 100, maxMs: 100 } });
  const news = wr.join("news");
  wire.greet();
  wire.say([":subscribed", { channel: "news" }]);
  wire.cut(1006);
  mock.timers.tick(50);
  wire.greet();
  const refusal = [":error", { code: 454, status: "Channel not found" }];
  for (let attempt = 0; attempt < 8; attempt++) {
    assert.equal(wire.take().length, 1, `attempt ${attempt}`);
    wire.say(refusal);
    assert.equal(news.state, "joining");
    mock.timers.tick(49);
    assert.deepEqual(wire.take(), []);
    mock.timers.tick(1);
  }
  told.take();
  wire.say(refusal);
  assert.deepEqual(told.take(), [["left", "news"], ["error", [454, "news"]]]);
  assert.equal(news.state, "left");
  mock.timers.tick(10_000);
  assert.equal(wire.take().length, 1, "only the last one");
});

test("what is sent offline waits up to its bound, for its channel, in order", () => {
  const { wire, wr } = connect({ maxBuffered: 3 });
  const news = wr.join("news");
  assert.ok(news.broadcast("a", { n: 1 }));
  assert.ok(news.broadcast("a", { n: 2 }));
  assert.ok(wr.broadcast("news", "a", { n: 3 }));
  assert.ok(!news.broadcast("a", { n: 4 }), "past the bound");
  wire.greet();
  assert.equal(wire.take().length, 1, "the subscription alone");
  wire.say([":subscribed", { channel: "news" }]);
  assert.deepEqual(wire.take().map(it => it.broadcast.data.n), [1, 2, 3]);
  // The buffer is free again, also over a connection that is lost.
  wire.cut();
  assert.ok(news.broadcast("a", { n: 5 }));
  mock.timers.tick(250);
  wire.greet();
  wire.take();
  wire.say([":subscribed", { channel: "news" }]);
  assert.deepEqual(wire.take().map(it => it.broadcast.data.n), [5]);
  assert.ok(!wr.broadcast("other", "a"), "a channel that was not joined");
  // What waits for a channel goes with it.
  wire.cut();
  news.broadcast("a", { n: 6 });
  news.leave();
  mock.timers.tick(250);
  wire.greet();
  assert.deepEqual(wire.take(), []);
  assert.ok(!news.broadcast("a"), "left");
});

test("closing ends everything, and connecting begins anew", () => {
  const { wire, wr, told } = connect();
  wr.join("news").broadcast("a");
  wire.greet();
  told.take();
  wr.close();
  wr.close();
  assert.equal(wire.socket.closeCode, 1000);
  assert.deepEqual(told.take(), [
    ["left", "news"],
    ["disconnected", { code: 1000, reason: "", willReconnect: false }],
    ["closed", { code: 1000, reason: "" }],
  ]);
  assert.equal(wr.channel("news"), undefined);
  wr.connect();
  wire.greet("s2");
  assert.deepEqual(told.take(), [["connected", { sid: "s2", restored: false }]]);
  assert.deepEqual(wire.take(), []);
});

test("closing is possible from any handler", () => {
  for (const event of ["connected", "disconnected", "reconnecting", "joined", "left", "missed"]) {
    const { wire, wr } = connect();
    const news = wr.join("news");
    wr.on(event, () => wr.close());
    wire.greet();
    if (wr.state !== "closed") wire.say([":subscribed", { channel: "news" }]);
    if (wr.state !== "closed") wire.cut();
    mock.timers.tick(250);
    if (wr.state !== "closed") {
      wire.greet();
      wire.say([":subscribed", { channel: "news" }]);
    }
    if (wr.state !== "closed") news.leave();
    assert.equal(wr.state, "closed", event);
    const attempts = wire.sockets.length;
    mock.timers.tick(120_000);
    assert.equal(wire.sockets.length, attempts, event);
  }
});

test("a network that is back hurries the next attempt, and nothing is left behind", () => {
  const target = new EventTarget();
  const { addEventListener, removeEventListener } = globalThis;
  globalThis.addEventListener = target.addEventListener.bind(target);
  globalThis.removeEventListener = target.removeEventListener.bind(target);
  try {
    const { wire, wr } = connect({ random: () => 0.999 });
    wire.greet();
    target.dispatchEvent(new Event("online"));
    assert.equal(wire.sockets.length, 1, "it is connected");
    wire.cut(1013);
    target.dispatchEvent(new Event("online"));
    target.dispatchEvent(new Event("online"));
    assert.equal(wire.sockets.length, 2);
    wire.cut();
    wr.close();
    target.dispatchEvent(new Event("online"));
    mock.timers.tick(120_000);
    assert.equal(wire.sockets.length, 2);
  } finally {
    Object.assign(globalThis, { addEventListener, removeEventListener });
  }
});

test("what is no message of the protocol is passed over", () => {
  const { wire, wr, told } = connect();
  for (const data of ["", "nonsense", "null", "[]", "{}", "1", '{"a":null}', '{":connected":1}', '{":what":{}}']) {
    wire.socket.onmessage({ data });
  }
  assert.deepEqual([wr.state, told.take()], ["connecting", []]);
  wire.greet();
  assert.equal(wr.state, "connected");
});
