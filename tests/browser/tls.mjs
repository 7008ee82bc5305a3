// Pages over TLS in a real browser: the broker's script by `https`, the connection
// by `wss`, over a crash of the broker; and a page in plain beside it.
//
// usage: node tls.mjs WEBROCKET

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { FREE, PATIENCE, launch, scratch, start, until } from "./support.mjs";

const program = resolve(process.argv[2]);
const dir = scratch("tls");
const certificate = join(dir, "node.pem"), key = join(dir, "node.key");
execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
  "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
{ stdio: "ignore" });

const addresses = { "--websocket-addr": FREE, "--backend-addr": FREE, "--admin-addr": FREE, "--websocket-tls-addr": FREE };

async function serve() {
  const args = ["serve", "--node-name", "test", "--storage-dir", join(dir, "storage"), "--shards", "2", "--log", "error",
    "--drain-window", "0s", "--tls-certificates", certificate, "--tls-keys", key, ...Object.entries(addresses).flat()];
  const { output, stop } = await start(program, args, /^dashboard .*\n/m);
  const told = (what, scheme) => new RegExp(`^${what}\\s+${scheme}://(\\S+)$`, "m").exec(output)[1];
  addresses["--websocket-addr"] = told("websocket", "ws");
  addresses["--websocket-tls-addr"] = told("websocket", "wss");
  addresses["--admin-addr"] = told("admin", "http");
  return { stop, cookie: /^cookie\s+(\S+)$/m.exec(output)[1] };
}

let node = await serve();
for (const path of ["/app", "/app/channels/news"]) {
  const headers = { "X-WebRocket-Cookie": node.cookie };
  await fetch(`http://${addresses["--admin-addr"]}${path}`, { method: "POST", headers, redirect: "manual" });
}

const browser = await launch(["--ignore-certificate-errors"]);
const problems = [];

async function open(scheme, address) {
  const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  tab.setDefaultTimeout(PATIENCE);
  tab.on("pageerror", error => problems.push(String(error)));
  // A page of the broker's own origin; its script brings the connection in `$wr`.
  await tab.goto(`${scheme}://${address}/webrocket.js`);
  await tab.addScriptTag({ url: `${scheme}://${address}/app/webrocket.js` });
  await tab.evaluate(() => {
    globalThis.heard = [];
    $wr.join("news").on("said", ({ text }) => heard.push(text));
  });
  return tab;
}

const secured = [await open("https", addresses["--websocket-tls-addr"]), await open("https", addresses["--websocket-tls-addr"])];
const plain = await open("http", addresses["--websocket-addr"]);
const tabs = [...secured, plain];
const joined = () => Promise.all(tabs.map(tab => tab.evaluate(() => $wr.channel("news").state === "joined")));
await until("all have joined", async () => (await joined()).every(Boolean));
for (const tab of secured) assert.equal(await tab.evaluate(() => globalThis.isSecureContext), true);

const large = "ü".repeat(100_000);
const say = (tab, text) => tab.evaluate(text => $wr.channel("news").broadcast("said", { text }), text);
const hear = (count, last) => until(`${count} are heard`, async () => {
  const heard = await Promise.all(tabs.map(tab => tab.evaluate(() => heard)));
  return heard.every(it => it.length === count && it[count - 1] === last);
});
await say(secured[0], "over TLS");
await hear(1, "over TLS");
await say(plain, "in plain");
await hear(2, "in plain");
await say(secured[1], large);
await hear(3, large);

await node.stop("SIGKILL");
await until("all have seen it", async () => (await joined()).every(it => !it));
node = await serve();
await until("all have come back", async () => (await joined()).every(Boolean));
await say(secured[0], "and again");
await hear(4, "and again");

await browser.close();
assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });
assert.deepEqual(problems, []);
console.log("browser over TLS: 1 passed, 0 failed");
process.exit(0);
