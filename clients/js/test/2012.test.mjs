// A page of 2012, as it used the wire: a client of its time, written from the
// protocol and sharing nothing with ours.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import ws from "ws";
import { Broker } from "./broker.mjs";

/** The calls that such a page made. */
function WebRocket(url) {
  var callbacks = {};
  var socket = new ws(url);
  var self = this;
  socket.onmessage = function (message) {
    var parsed = JSON.parse(message.data);
    for (var event in parsed) {
      (callbacks[event] || []).forEach(function (callback) { callback.call(self, parsed[event]); });
    }
  };
  socket.onclose = function () {
    (callbacks[":closed"] || []).forEach(function (callback) { callback.call(self); });
  };
  function send(event, data) {
    var message = {};
    message[event] = data;
    socket.send(JSON.stringify(message));
  }
  this.bind = function (event, callback) { (callbacks[event] = callbacks[event] || []).push(callback); };
  this.authenticate = function (token) { send("auth", { token: token }); };
  this.subscribe = function (channel, hidden, data) { send("subscribe", { channel: channel, hidden: !!hidden, data: data || {} }); };
  this.unsubscribe = function (channel, data) { send("unsubscribe", { channel: channel, data: data || {} }); };
  this.broadcast = function (channel, event, data) { send("broadcast", { channel: channel, event: event, data: data }); };
  this.trigger = function (event, data) { send("trigger", { event: event, data: data }); };
  this.close = function () { send("close", {}); };
}

/** All events of these names as they come; `next()` waits for one more. */
function inbox(client, ...events) {
  const come = [];
  let wake = () => {};
  for (const event of events) {
    client.bind(event, data => {
      come.push([event, data]);
      wake();
    });
  }
  return async () => {
    const patience = setTimeout(() => assert.fail(`in vain: ${events}`), 30_000);
    while (!come.length) await new Promise(resolve => (wake = resolve));
    clearTimeout(patience);
    return come.shift();
  };
}

const ALL = [":connected", ":authenticated", ":subscribed", ":unsubscribed", ":memberJoined", ":memberLeft", ":error", ":closed", "said"];

let broker;
before(async () => {
  broker = await Broker.start();
  await broker.admin("POST", "/app");
  for (const name of ["chat", "presence-room"]) await broker.admin("POST", `/app/channels/${name}`);
});
after(() => broker.kill());

test("two such pages chat", async () => {
  const [ann, bob] = [new WebRocket(broker.url("ws", "/app")), new WebRocket(broker.url("ws", "/app"))];
  const [annNext, bobNext] = [inbox(ann, ...ALL), inbox(bob, ...ALL)];
  const [, { sid }] = await annNext();
  assert.match(sid, /^[0-9a-f-]{36}$/);
  assert.equal((await bobNext())[0], ":connected");
  for (const [page, next] of [[ann, annNext], [bob, bobNext]]) {
    page.subscribe("chat");
    assert.deepEqual(await next(), [":subscribed", { channel: "chat" }]);
  }
  ann.broadcast("chat", "said", { text: "hi" });
  for (const next of [annNext, bobNext]) assert.deepEqual(await next(), ["said", { text: "hi", sid, channel: "chat" }]);
  bob.unsubscribe("chat");
  assert.deepEqual(await bobNext(), [":unsubscribed", { channel: "chat" }]);
  bob.broadcast("chat", "said", {});
  assert.deepEqual(await bobNext(), [":error", { code: 453, status: "Not subscribed" }]);
  bob.trigger("work", {});
  assert.deepEqual(await bobNext(), [":error", { code: 403, status: "Forbidden" }]);
  bob.close();
  assert.equal((await bobNext())[0], ":closed");
  ann.close();
});

test("and see each other's presence", async () => {
  const { token } = await broker.token("/app", "ann", "presence-room");
  const ann = new WebRocket(broker.url("ws", "/app"));
  const next = inbox(ann, ...ALL);
  await next();
  ann.subscribe("presence-room");
  assert.equal((await next())[1].code, 403);
  ann.authenticate(token);
  assert.equal((await next())[0], ":authenticated");
  ann.subscribe("presence-room", false, { mood: "gay" });
  const [joined, own] = [await next(), await next()];
  assert.deepEqual([joined[0], joined[1].subscribers], [":subscribed", []]);
  assert.equal(own[0], ":memberJoined");
  assert.deepEqual([own[1].uid, own[1].mood], ["ann", "gay"]);
  // The token has worked once.
  const eve = new WebRocket(broker.url("ws", "/app"));
  const eveNext = inbox(eve, ...ALL);
  await eveNext();
  eve.authenticate(token);
  assert.equal((await eveNext())[1].code, 402);
  eve.close();
  ann.close();
});
