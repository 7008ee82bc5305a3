// The dashboard in a real browser: who may see it, a load that loadgen makes,
// vhosts and channels made and deleted, a channel watched and sent to, and a node
// that dies and comes back.
//
// usage: node dashboard.mjs WEBROCKET LOADGEN [DIRECTORY FOR SCREENSHOTS]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Broker, PATIENCE, expectAccessible, expectFits, launch, until } from "./support.mjs";

const [program, loadgen, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const node = await Broker.start(program);
const browser = await launch();
const problems = [];
const context = await browser.newContext({ viewport: { width: 1280, height: 960 } });
const tab = await context.newPage();
tab.setDefaultTimeout(PATIENCE);
tab.on("pageerror", error => problems.push(String(error)));
tab.on("console", told => /Content Security/.test(told.text()) && problems.push(told.text()));
const foreign = [];
tab.on("request", request => request.url().includes("127.0.0.1") || foreign.push(request.url()));

// Who has no cookie sees a form and nothing else.
const admin = new URL(node.dashboard).origin;
await tab.goto(admin);
assert.equal(tab.url(), node.dashboard, "a browser is led to the page");
await tab.getByLabel("The node's cookie").waitFor();
await expectAccessible(tab, "the login");
await tab.getByLabel("The node's cookie").fill("0".repeat(40));
await tab.getByRole("button", { name: "Log in" }).click();
await tab.getByText("That is not this node's cookie.").waitFor();
assert.equal(await tab.locator("#dashboard").isVisible(), false);
await tab.getByLabel("The node's cookie").fill(node.cookie);
await tab.getByRole("button", { name: "Log in" }).click();
await tab.getByRole("status").filter({ hasText: "live" }).waitFor();
const [session] = await context.cookies();
assert.deepEqual([session.httpOnly, session.sameSite], [true, "Strict"]);
assert.equal(await tab.evaluate(() => document.cookie), "", "no script sees the session");
await tab.reload();
await tab.getByRole("status").filter({ hasText: "live" }).waitFor();
await expectAccessible(tab, "a node without load");

// A vhost, a channel.
const view = name => tab.getByRole("navigation").getByRole("link", { name }).click();
const confirm = async verb => tab.getByRole("dialog").getByRole("button", { name: verb }).click();
await view("Vhosts");
await tab.getByText("No vhosts yet.").waitFor();
await tab.getByLabel("New vhost").fill("no good");
await tab.getByRole("button", { name: "Create" }).click();
await tab.getByText("invalid path").waitFor();
await tab.getByLabel("New vhost").fill("/shop/eu");
await tab.getByRole("button", { name: "Create" }).click();
await tab.getByText("Channels of /shop/eu").waitFor();
for (const name of ["news", "presence-room", "gone"]) {
  await tab.getByLabel("New channel").fill(name);
  await tab.getByRole("button", { name: "Open" }).click();
  await tab.getByRole("button", { name: `Watch ${name}` }).waitFor();
}
await tab.getByLabel("New channel").fill("news");
await tab.getByRole("button", { name: "Open" }).click();
await tab.getByText("channel already exists").waitFor();
await tab.getByRole("button", { name: "Close gone" }).click();
await confirm("Keep");
assert.ok(await tab.getByRole("button", { name: "Close gone" }).isVisible());
await tab.getByRole("button", { name: "Close gone" }).click();
await confirm("Close");
await tab.getByRole("button", { name: "Close gone" }).waitFor({ state: "detached" });
await tab.getByRole("button", { name: "Show access token" }).click();
const token = await until("the token is shown", async () => (await tab.locator("#token").textContent()) || null);
assert.match(token, /^[0-9a-f]{40}$/);
await expectAccessible(tab, "vhosts");

// The console.
const frames = text => tab.locator("#frames div", { hasText: text });
await tab.getByRole("button", { name: "Watch presence-room" }).click();
await tab.getByText("Watching presence-room of /shop/eu.").waitFor();
await frames('"uid":"operator"').first().waitFor();
await tab.getByLabel("Channel", { exact: true }).fill("news");
await tab.getByRole("button", { name: "Watch", exact: true }).click();
await tab.getByText("Watching news of /shop/eu.").waitFor();
const hostile = `{"text": "<img src=x onerror=alert(1)>"}`;
await tab.getByLabel("Event", { exact: true }).fill("notice");
await tab.getByLabel("Data, a JSON object").fill(hostile);
await tab.getByRole("button", { name: "Send to all subscribers" }).click();
await frames("<img src=x onerror=alert(1)>").waitFor();
await tab.getByLabel("Data, a JSON object").fill("{");
await tab.getByRole("button", { name: "Send to all subscribers" }).click();
await tab.getByText("Not sent: ").waitFor();
await tab.getByLabel("Event", { exact: true }).fill(":subscribed");
await tab.getByLabel("Data, a JSON object").fill("{}");
await tab.getByRole("button", { name: "Send to all subscribers" }).click();
await tab.getByText("invalid event name").waitFor();
await tab.getByLabel("Event", { exact: true }).fill("notice");
await expectAccessible(tab, "the console");
if (shots) await tab.screenshot({ path: join(shots, "console.png") });

// A load.
await view("Overview");
const { websocket, backend } = node.addresses;
const load = spawn(loadgen, ["--url", `ws://${websocket}/shop/eu`, "--backend", `wr://${token}@${backend}/shop/eu`,
  "--clients", "300", "--channels", "6", "--rate", "60", "--duration", "20s"], { stdio: "ignore" });
process.on("exit", () => load.kill("SIGKILL"));
const tile = name => tab.locator("#tiles li", { hasText: name });
await until("the load's clients are counted", async () => ["300", "301"].includes(await tile("Connections").locator("b").textContent()));
await until("deliveries are shown", async () => /^[1-9].*\/s$/.test(await tile("Deliveries").locator("b").textContent()));
await until("latency is shown", async () => /(µs|ms|s)$/.test(await tile("Latency").locator("b").textContent()));
await until("frames joined are shown", async () => /^[1-9]/.test(await tile("Frames joined").locator("b").textContent()));
await until("memory is shown", async () => /B$/.test(await tile("Memory").locator("b").textContent()));
await tab.locator("#channels li", { hasText: "/shop/eu load-" }).first().waitFor();
await until("a line has points", async () => (await tab.locator("#deliveries path.s0:not(.area)").getAttribute("d")).split("L").length > 5);
assert.match(await tab.locator("#headroom li").first().textContent(), /binds first/);
assert.equal(await tab.locator("#shards li").count(), 2);
await expectAccessible(tab, "a load");
if (shots) {
  await tab.waitForTimeout(8000);
  await tab.screenshot({ path: join(shots, "dashboard.png") });
  await tab.emulateMedia({ colorScheme: "dark" });
  await tab.screenshot({ path: join(shots, "dashboard-dark.png") });
  await tab.setViewportSize({ width: 390, height: 800 });
  await tab.screenshot({ path: join(shots, "dashboard-phone-dark.png"), fullPage: true });
  await view("Vhosts");
  await tab.screenshot({ path: join(shots, "vhosts-phone-dark.png"), fullPage: true });
}
await tab.setViewportSize({ width: 390, height: 800 });
for (const name of ["Overview", "Vhosts", "Console"]) {
  await view(name);
  await expectFits(tab, name);
  await expectAccessible(tab, `${name} on a phone`);
}
await tab.setViewportSize({ width: 1280, height: 900 });
load.kill("SIGTERM");

// The node dies and comes back: the page says so, stays logged in, and watches on.
await view("Console");
await node.kill();
await tab.getByText(/no answer for .*, trying again/).waitFor();
await tab.getByText("No connection to").waitFor();
await node.start();
await tab.getByRole("status").filter({ hasText: "live" }).waitFor();
await tab.getByText("Watching news of /shop/eu.").waitFor();
await tab.getByRole("button", { name: "Send to all subscribers" }).click();
await frames('{"notice":{"channel":"news"}}').waitFor();

// The end of a vhost, and of a session.
await view("Vhosts");
await tab.getByRole("button", { name: "Delete /shop/eu" }).click();
await confirm("Delete");
await tab.getByText("No vhosts yet.").waitFor();
await tab.getByRole("button", { name: "Log out" }).click();
await tab.getByLabel("The node's cookie").waitFor();
await tab.reload();
await tab.getByLabel("The node's cookie").waitFor();
assert.equal(await tab.locator("#dashboard").isVisible(), false);

// A link with the cookie, as the demo prints it, opens the page and is not kept.
await tab.goto("about:blank");
await tab.goto(`${node.dashboard}#cookie=${node.cookie}`);
await tab.getByRole("status").filter({ hasText: "live" }).waitFor();
assert.ok(!tab.url().includes(node.cookie));

assert.deepEqual(foreign, [], "requests to others");
assert.deepEqual(problems, []);
await browser.close();
assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });
console.log("browser: 1 passed, 0 failed");
process.exit(0);
