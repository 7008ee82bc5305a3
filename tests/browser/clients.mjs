// What pages do with webrocket.js in a real browser: the README's first page, an
// example's backend with its tokens, and 200 connections whose broker is killed.
//
// usage: node clients.mjs WEBROCKET

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Broker, PATIENCE, expectAccessible, launch, scratch, start, startDemo, until } from "./support.mjs";

const program = resolve(process.argv[2]);
const root = resolve(import.meta.dirname, "../..");
const browser = await launch();
const problems = [];

async function open(url) {
  const tab = await (await browser.newContext()).newPage();
  tab.setDefaultTimeout(PATIENCE);
  tab.on("pageerror", error => problems.push(String(error)));
  await tab.goto(url);
  return tab;
}

// The README's page, as a file, against the demo.
{
  const dir = scratch("readme");
  const demo = await startDemo(program, dir);
  const [, snippet] = /```html\n(<!doctype html>.*?)```/s.exec(readFileSync(join(root, "README.md"), "utf8"));
  assert.ok(snippet.includes("http://127.0.0.1:8080/demo/"));
  const file = join(dir, "page.html");
  // The demo took another port: the usual one may be taken here.
  writeFileSync(file, snippet.replace("http://127.0.0.1:8080", demo.broker));
  const [ann, bob] = [await open(pathToFileURL(file).href), await open(pathToFileURL(file).href)];
  for (const tab of [ann, bob]) await until("it has joined", () => tab.evaluate(() => $wr.channel("lobby").state === "joined"));
  await ann.getByLabel("Message").fill("Hello <b>there</b>");
  await ann.getByLabel("Message").press("Enter");
  for (const tab of [ann, bob]) await tab.getByText("Hello <b>there</b>", { exact: true }).waitFor();
  assert.deepEqual(await demo.stop("SIGTERM"), { code: 0, signal: null });
}

// An example: its page, its backend's tokens, its worker.
for (const language of ["python", "node"]) {
  const { output, stop } = await start("bash", [join(root, "examples/run"), language], /listening on http\S+\n/, { WEBROCKET: program, LISTEN: "127.0.0.1:0" });
  const page = /listening on (http\S+)/.exec(output)[1];
  const [ann, bob] = [await open(page), await open(page)];
  await expectAccessible(ann, `${language}'s page`);
  for (const [tab, name] of [[ann, "ann"], [bob, "bob"]]) {
    await tab.getByLabel("Your name").fill(name);
    await tab.getByRole("button", { name: "Join" }).click();
    await tab.getByRole("button", { name: "Send" }).waitFor();
  }
  await until("both are there", async () => (await ann.locator("#members").textContent()) === "ann, bob");
  const say = async (tab, text) => {
    await tab.locator("#text").fill(text);
    await tab.getByRole("button", { name: "Send" }).click();
  };
  await say(ann, "Hi Bob");
  await bob.getByText("ann: Hi Bob").waitFor();
  await say(bob, "/echo over the worker");
  await ann.getByText("Backend: over the worker").waitFor();
  await expectAccessible(ann, `${language}'s page with messages`);
  await bob.context().close();
  await until("Bob is gone", async () => (await ann.locator("#members").textContent()) === "ann");
  await ann.context().close();
  await stop("SIGTERM");
}

// 200 connections in four tabs, half of them authenticated, over a crash.
{
  const CLIENTS = 200, TABS = 4;
  const node = await Broker.start(program);
  await node.admin("POST", "/app");
  const channels = ["news", "private-desk", "presence-room"];
  for (const name of channels) await node.admin("POST", `/app/channels/${name}`);
  const tabs = [];
  for (let at = 0; at < TABS; at++) {
    const tab = await open(node.url("http", "/webrocket.js"));
    await tab.exposeFunction("issue", uid => node.token("/app", uid, "(private|presence)-.*"));
    await tab.addScriptTag({ url: node.url("http", "/webrocket.js") });
    await tab.evaluate(([url, count, at]) => {
      globalThis.heard = 0;
      globalThis.missed = 0;
      globalThis.all = Array.from({ length: count }, (_, n) => {
        const isUser = n % 2 === 0;
        const wr = new WebRocket(url, isUser ? { auth: () => issue(`user-${at}-${n}`) } : {});
        wr.join("news").on("said", () => heard++);
        if (isUser) for (const name of ["private-desk", "presence-room"]) wr.join(name);
        wr.on("missed", told => (missed += told.channels.length));
        return wr;
      });
    }, [node.url("ws", "/app"), CLIENTS / TABS, at]);
    tabs.push(tab);
  }
  const sum = async act => (await Promise.all(tabs.map(tab => tab.evaluate(act)))).reduce((a, b) => a + b);
  const subscriptions = () => sum(() => all.flatMap(wr => ["news", "private-desk", "presence-room"].map(it => wr.channel(it)?.state)).filter(it => it === "joined").length);
  const expected = CLIENTS + (CLIENTS / 2) * 2;
  await until("all are subscribed", async () => (await subscriptions()) === expected);
  await node.kill();
  await until("all have seen it", async () => (await sum(() => all.filter(wr => wr.state === "reconnecting").length)) === CLIENTS);
  await node.start();
  await until("all are subscribed again", async () => (await subscriptions()) === expected);
  await until("and know what they may have missed", async () => (await sum(() => missed)) === expected);
  await node.admin("POST", "/app/channels/news/events", { event: "said" });
  await until("all hear", async () => (await sum(() => heard)) === CLIENTS);
  await until("all see all", async () => (await sum(() => all.filter(wr => wr.channel("presence-room")?.members.size === 100).length)) === CLIENTS / 2);
  // The broker's own word for it.
  for (const [name, size] of [["news", CLIENTS], ["private-desk", CLIENTS / 2], ["presence-room", CLIENTS / 2]]) {
    const { channel } = await node.admin("GET", `/app/channels/${name}`);
    assert.equal(channel.subscribers.size, size, name);
  }
  console.log(`${CLIENTS} connections over a crash: ${expected} of ${expected} subscriptions are back`);
  await browser.close();
  assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });
}

assert.deepEqual(problems, []);
console.log("browser: 1 passed, 0 failed");
process.exit(0);
