// Access tokens: a new one for each connection, fetched again and again.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { beforeEach, mock, test } from "node:test";
import { until } from "./broker.mjs";
import { connect, settle } from "./fake.mjs";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
});

/** Tokens t1, t2 and so on. */
function tokens() {
  let count = 0;
  return async () => `t${++count}`;
}

const authOf = sent => sent.filter(it => it.auth).map(it => it.auth.token);
const channelsOf = sent => sent.filter(it => it.subscribe).map(it => it.subscribe.channel);

test("each connection brings a token of its own, and what needs it waits for it", async () => {
  const { wire, wr, told } = connect({ auth: tokens() });
  for (const name of ["news", "private-a", "presence-b"]) wr.join(name);
  for (const round of [1, 2]) {
    wire.greet();
    assert.deepEqual(channelsOf(wire.take()), ["news"]);
    await settle();
    assert.deepEqual(authOf(wire.take()), [`t${round}`]);
    wire.say([":authenticated"]);
    assert.deepEqual(channelsOf(wire.take()), ["private-a", "presence-b"]);
    for (const channel of ["news", "private-a", "presence-b"]) wire.say([":subscribed", { channel }]);
    assert.ok(told.names().includes("authenticated"));
    wire.cut();
    mock.timers.tick(250);
  }
});

test("sources: a function with either answer, a URL", async t => {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    if (request.url === "/broken") response.writeHead(500).end();
    else if (request.url === "/html") response.end("<p>login");
    else response.end(JSON.stringify(request.url === "/empty" ? {} : { token: "from-url" }));
  });
  await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  mock.timers.reset();
  const base = `http://127.0.0.1:${server.address().port}`;
  const sources = [() => "a", () => ({ token: "b" }), async () => ({ token: "c" }), `${base}/auth.json`];
  for (const [at, token] of ["a", "b", "c", "from-url"].entries()) {
    const { wire, wr } = connect({ auth: sources[at] });
    wire.greet();
    await until("something is sent", () => wire.socket.sent.length > 0);
    assert.deepEqual(authOf(wire.take()), [token]);
    wr.close();
  }
  const rejecting = () => Promise.reject(new Error("no"));
  for (const bad of [`${base}/broken`, `${base}/html`, `${base}/empty`, () => "", () => null, () => ({ token: 1 }), rejecting]) {
    const { wire, wr } = connect({ auth: bad });
    const failed = new Promise(resolve => wr.on("error", resolve));
    wire.greet();
    const error = await failed;
    assert.equal(error.code, 0);
    assert.ok(error.cause instanceof Error);
    assert.deepEqual(wire.take(), []);
    wr.close();
  }
  assert.equal(asked[0], "/auth.json");
});

test("a token that is not to be had is asked for again, ever more slowly", async () => {
  let isThere = false;
  let attempts = 0;
  const auth = async () => {
    attempts++;
    if (!isThere) throw new Error("down");
    return "t";
  };
  const { wire, wr, told } = connect({ auth });
  wr.join("private-a");
  wire.greet();
  await settle();
  for (const [at, delay] of [250, 500, 1000].entries()) {
    assert.equal(attempts, at + 1);
    mock.timers.tick(delay - 1);
    await settle();
    assert.equal(attempts, at + 1, "too early");
    isThere = at === 2;
    mock.timers.tick(1);
    await settle();
  }
  assert.deepEqual(authOf(wire.take()), ["t"]);
  assert.deepEqual(told.take().map(([event, what]) => (event === "error" ? what : event)), ["connected", 0, 0, 0]);
  wire.say([":authenticated"]);
  assert.deepEqual(channelsOf(wire.take()), ["private-a"]);
});

test("a token that the broker does not know is replaced", async () => {
  const { wire, wr, told } = connect({ auth: tokens() });
  wr.join("private-a");
  wire.greet();
  await settle();
  wire.take();
  told.take();
  wire.say([":error", { code: 402, status: "Unauthorized" }]);
  assert.deepEqual(told.take(), [["error", 402]]);
  mock.timers.tick(250);
  await settle();
  assert.deepEqual(wire.take(), [{ auth: { token: "t2" } }]);
});

test("an answer that comes after its connection is not used on the next", async () => {
  const answers = [];
  const { wire } = connect({ auth: () => new Promise(resolve => answers.push(resolve)) });
  wire.greet();
  wire.cut();
  mock.timers.tick(250);
  wire.greet();
  answers[0]("late");
  await settle();
  assert.deepEqual(wire.take(), []);
  answers[1]("good");
  await settle();
  assert.deepEqual(authOf(wire.take()), ["good"]);
});

test("authenticate() tells how the first attempt ended", async () => {
  const { wire, wr } = connect();
  const done = wr.authenticate(() => "t");
  wire.greet();
  await settle();
  wire.say([":authenticated"]);
  await done;

  await settle();
  const refused = wr.authenticate(() => "t");
  await settle();
  wire.say([":error", { code: 402, status: "Unauthorized" }]);
  await assert.rejects(refused, { code: 402 });

  const missing = wr.authenticate(() => {
    throw new Error("down");
  });
  await assert.rejects(missing, { code: 0 });

  const closed = wr.authenticate(() => new Promise(() => {}));
  wr.close();
  await assert.rejects(closed, { code: 0 });
});

test("another user on the same connection: all subscriptions are asked for anew", async () => {
  const { wire, wr, told } = connect({ auth: tokens() });
  const news = wr.join("news"), secret = wr.join("private-a");
  wire.greet();
  await settle();
  wire.say([":subscribed", { channel: "news" }], [":authenticated"], [":subscribed", { channel: "private-a" }]);
  wire.take();
  told.take();
  const done = wr.authenticate(async () => "other");
  await settle();
  // Nothing is sent for channels whose end the token brings.
  assert.ok(news.broadcast("a"));
  assert.deepEqual(wire.take(), [{ auth: { token: "other" } }]);
  assert.deepEqual([news.state, secret.state], ["joining", "joining"]);
  wire.say([":authenticated"]);
  await done;
  assert.deepEqual(channelsOf(wire.take()), ["news", "private-a"]);
  wire.say([":subscribed", { channel: "news" }]);
  assert.deepEqual(wire.take(), [{ broadcast: { channel: "news", event: "a", data: {} } }]);
});

test("triggers wait for authentication, and are refused where none is asked for", async () => {
  const { wire, wr, told } = connect();
  assert.ok(!wr.trigger("now"));
  assert.deepEqual(told.take(), [["error", 403]]);
  wr.authenticate(() => "t").catch(() => {});
  assert.ok(wr.trigger("now", { a: 1 }));
  const news = wr.join("news");
  wire.greet();
  wire.say([":subscribed", { channel: "news" }]);
  assert.ok(news.broadcast("said", { b: 2 }, { trigger: "log" }));
  await settle();
  assert.equal(wire.take().filter(it => it.trigger || it.broadcast).length, 0);
  wire.say([":authenticated"]);
  assert.deepEqual(wire.take(), [
    { trigger: { event: "now", data: { a: 1 } } },
    { broadcast: { channel: "news", event: "said", data: { b: 2 }, trigger: "log" } },
  ]);
});
