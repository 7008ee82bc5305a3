#!/usr/bin/env node
// A backend of WebRocket on nothing but Node's standard library.
//
// Usage: backend.mjs [wr://TOKEN@host:port/vhost]
//
// The URL may also come from the environment, as LISTEN and
// WEBROCKET_BROWSER_URL do; see ../README.md.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const CHANNELS = ["lobby", "presence-lobby"];
const PERMISSION = "presence-lobby"; // a regular expression over whole channel names
const NAME = /^[A-Za-z0-9_-]{1,32}$/;
const URL_FORM =
  /^wr:\/\/([A-Za-z0-9]{40})@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?((?:\/[A-Za-z0-9_-]+)+)$/;

const REQUEST_TIMEOUT_MS = 5_000;
const SILENCE_MAX_MS = 2_000; // the broker beats every 500 ms
const RETRY_DELAY_FIRST_MS = 200;
const RETRY_DELAY_MAX_MS = 10_000;
const PACKET_BYTES_MAX = 4 * 1024 * 1024;

/** The broker answered ER; 402 stands for a wrong access token or vhost. */
class Refused extends Error {
  constructor(code) {
    super(`${code === "402" ? "wrong access token or unknown vhost" : "refused"} (${code})`);
    this.code = code;
  }
}

function parseUrl(url) {
  const [, token, host, port = "8081", vhost] = URL_FORM.exec(url) ?? [];
  if (!token) fail("the URL is not of the form wr://TOKEN@host:port/vhost");
  if (port < 1 || port > 65535) fail("the URL's port is not a number from 1 to 65535");
  return { token, host: host.replace(/[[\]]/g, ""), port: Number(port), vhost };
}

/** A connection whose first packet begins with the vhost, its token and an id of ours. */
function open(broker, role, timeoutMs, ...frames) {
  const socket = connect(broker.port, broker.host);
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error("the broker is silent")));
  send(socket, `${role}:${broker.vhost}:${broker.token}:${randomUUID()}`, "", ...frames);
  return socket;
}

/** A frame is a line, so none may hold a line feed; two lines of CR LF end the packet. */
function send(socket, ...frames) {
  socket.write(frames.map(frame => `${frame}\n`).join("") + "\r\n\r\n");
}

/** Packets as they come, each as its command and the frames after that. Throws Refused for ER. */
async function* packets(socket) {
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    let end;
    // The broker ends each packet's last frame with LF, so this stands at a line's beginning.
    while ((end = received.indexOf("\n\r\n\r\n")) >= 0) {
      const [command, ...frames] = received.toString("utf8", 0, end).split("\n");
      received = received.subarray(end + 5);
      if (command === "ER") throw new Refused(frames[0]);
      yield [command, frames];
    }
    if (received.length > PACKET_BYTES_MAX) throw new Error("packet too large");
  }
  throw new Error("connection closed by the broker");
}

/** One request is one connection; gives the answer's frames after the command. */
async function request(broker, ...frames) {
  const socket = open(broker, "req", REQUEST_TIMEOUT_MS, ...frames);
  // Leaving the loop destroys the socket.
  for await (const [, answer] of packets(socket)) return answer;
}

/** Keeps a worker at the broker; returns when the broker refuses the token for good. */
async function work(broker) {
  for (let attempt = 0; ; attempt = Math.min(attempt + 1, 10)) {
    let cause = "the broker says goodbye";
    try {
      // Does no harm to one that is open.
      for (const channel of CHANNELS) await request(broker, "OC", channel);
      const socket = open(broker, "dlr", SILENCE_MAX_MS, "RD");
      await takeTurns(broker, socket, () => {
        log("worker ready");
        attempt = 0;
      });
    } catch (error) {
      if (error.code === "402") return error;
      cause = error.message;
    }
    // A random delay: the backends of a broker that restarts shall not return at once.
    const delayMaxMs = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_FIRST_MS * 2 ** attempt);
    const delayMs = Math.random() * delayMaxMs;
    const delay = `${(delayMs / 1000).toFixed(1)} s`;
    log(`no broker at ${broker.host}:${broker.port}: ${cause}; next attempt in ${delay}`);
    await sleep(delayMs);
  }
}

async function takeTurns(broker, socket, ready) {
  let isReady = false;
  for await (const [command, frames] of packets(socket)) {
    if (command === "HB") {
      send(socket, "HB"); // without one for 1.5 s the broker gives a worker up
      if (!isReady) ready(); // the first one tells that it is registered
      isReady = true;
    } else if (command === "TR") {
      await handle(broker, frames[0]);
    } else if (command === "QT") {
      return;
    }
  }
}

/**
 * A trigger: {"command": {"sid": ..., "channel": ..., "text": ...}}. Heartbeats wait
 * for this: what takes longer than a second must not be awaited.
 */
async function handle(broker, text) {
  let channel, line;
  try {
    ({ channel, text: line } = JSON.parse(text).command);
  } catch {
    return log("ignored a trigger that is no command");
  }
  if (!CHANNELS.includes(channel) || typeof line !== "string") {
    return log("ignored a command that is malformed");
  }
  const [verb] = line.split(" ", 1);
  let reply = "commands: echo TEXT, time";
  if (verb === "echo") reply = line.slice("echo ".length);
  else if (verb === "time") reply = new Date().toISOString();
  try {
    // Written as JSON, line feeds are \n, and the payload is one frame.
    await request(broker, "BC", channel, "answer", JSON.stringify({ text: reply }));
  } catch (error) {
    log(`answer not sent: ${error.message}`);
  }
}

/** Whoever asks gets a token here; an application takes the name from its login. */
async function auth(broker, name) {
  if (!NAME.test(name)) return [400, { error: "name: 1 to 32 letters, digits, _ or -" }];
  try {
    const [token] = await request(broker, "AT", name, PERMISSION);
    return [200, { token }];
  } catch (error) {
    log(`no token: ${error.message}`);
    return [503, { error: "the broker gives no token" }];
  }
}

async function serve(broker, page, { url }, response) {
  const [path, query] = url.split("?", 2);
  let [status, kind, body] = [404, "text/plain", "not found\n"];
  if (path === "/") {
    [status, kind, body] = [200, "text/html; charset=utf-8", page];
  } else if (path === "/webrocket/auth.json") {
    const [code, answer] = await auth(broker, new URLSearchParams(query).get("name") ?? "");
    [status, kind, body] = [code, "application/json", JSON.stringify(answer)];
  }
  // A token works once.
  response.writeHead(status, { "Content-Type": kind, "Cache-Control": "no-store" });
  response.end(body);
}

function log(text) {
  console.error(`backend: ${text}`);
}

function fail(text) {
  log(text);
  process.exit(1);
}

const [url = process.env.WEBROCKET_URL, ...surplus] = process.argv.slice(2);
if (!url || surplus.length > 0) {
  fail("usage: backend.mjs [wr://TOKEN@host:port/vhost] (or WEBROCKET_URL)");
}
const broker = parseUrl(url);
const browserUrl = process.env.WEBROCKET_BROWSER_URL || "http://127.0.0.1:8080/example";
const page = readFileSync(new URL("../page.html", import.meta.url), "utf8")
  .replace("{browser_url}", () => browserUrl.replaceAll("&", "&amp;").replaceAll('"', "&quot;"));
const listen = process.env.LISTEN || "127.0.0.1:8000";
const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(listen) ?? [];
if (!host || port > 65535) fail(`cannot listen on ${listen}: not of the form host:port`);

const server = createServer((request, response) => serve(broker, page, request, response));
server.on("error", error => fail(`cannot listen on ${listen}: ${error.message}`));
server.listen(Number(port), host, async () => {
  console.log(`listening on http://${host}:${server.address().port}/`);
  fail((await work(broker)).message);
});
