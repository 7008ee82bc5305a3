// The demo in a real browser: tabs chat in rooms, see each other come, type and
// go, and get answers from the worker; a broker that dies and comes back is
// found again with every room.
//
//   node demo.mjs PATH-TO-WEBROCKET [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PATIENCE, expectAccessible, expectFits, launch, scratch, startDemo, until } from "./support.mjs";

const [program = "../../target/release/webrocket", shots] = process.argv.slice(2);
const dir = scratch("demo");
let demo = await startDemo(program, dir);
const browser = await launch();
const problems = [];

async function open(name, { refusals = 0, width = 1100, height = 700 } = {}) {
  const context = await browser.newContext({ viewport: { width, height } });
  context.setDefaultTimeout(PATIENCE);
  const tab = await context.newPage();
  tab.on("pageerror", error => problems.push(`${name}: ${error}`));
  await tab.addInitScript(name => sessionStorage.setItem("name", name), name);
  if (refusals) await tab.route("**/auth.json*", route => route.fulfill({ status: 502 }), { times: refusals });
  await tab.goto(demo.page);
  await tab.getByText("connected", { exact: true }).waitFor();
  return tab;
}

const members = async tab => (await tab.locator("#members li").allTextContents()).sort().join();
const box = tab => tab.getByLabel("Message", { exact: true });
async function say(tab, text) {
  await box(tab).fill(text);
  await tab.getByRole("button", { name: "Send" }).click();
}
const seen = (tab, text) => tab.locator("#logs .log:visible > div", { hasText: text }).first().waitFor();
const room = (tab, name) => tab.getByRole("navigation").getByRole("button", { name });

const ann = await open("Ann");
await ann.getByText("Nothing yet.").isVisible();
await expectAccessible(ann, "an empty room");
// A sign-in that fails is tried again.
const bob = await open("Bob", { refusals: 2, width: 390, height: 760 });
await bob.getByText("could not sign in: HTTP 502").first().waitFor();
await until("both see both", async () =>
  (await members(ann)) === "Ann (you),Bob" && (await members(bob)) === "Ann,Bob (you)");

// What somebody says stays text, whatever it is.
const hostile = `<img src=x onerror="document.title='broken'"> & <b>Bob</b>`;
await say(ann, hostile);
await seen(bob, hostile);
await box(bob).pressSequentially("Hel");
await ann.getByText("Bob is typing").waitFor();
await say(bob, "Hello Ann");
await seen(ann, "Hello Ann");
await until("typing ends with the message", async () => (await ann.locator("#typing").textContent()) === "");
await until("latency is shown", async () => /^\d+\.\d ms round trip$/.test(await ann.locator("#latency").textContent()));
await say(bob, "/roll 2d6");
await seen(ann, "2d6: [");
await seen(bob, "2d6: [");
await say(ann, "Neat. I will be in backstage.");
await seen(bob, "I will be in backstage");

// Rooms: what is said in one is not in another, and is counted there.
await room(ann, "backstage").click();
await say(ann, "Nobody here?");
await until("Bob has one unread", async () => (await room(bob, "backstage").textContent()) === "backstage1");
assert.equal(await bob.locator("#logs .log:visible > div", { hasText: "Nobody here?" }).count(), 0);
await room(bob, "backstage").click();
await seen(bob, "Nobody here?");
assert.equal(await room(bob, "backstage").textContent(), "backstage");
await say(bob, "/time");
await seen(ann, "UTC");
await room(ann, "lobby").click();
await seen(ann, hostile);
assert.equal(await ann.title(), "WebRocket demo");

await expectAccessible(ann, "a chat");
await expectAccessible(bob, "a chat on a phone");
for (const tab of [ann, bob]) {
  await expectFits(tab, await tab.title());
}
if (shots) {
  mkdirSync(shots, { recursive: true });
  await box(ann).pressSequentially("See y");
  await room(bob, "lobby").click();
  await bob.getByText("Ann is typing").waitFor();
  await ann.screenshot({ path: join(shots, "demo.png") });
  await bob.emulateMedia({ colorScheme: "dark" });
  await bob.screenshot({ path: join(shots, "demo-phone-dark.png") });
  await ann.emulateMedia({ colorScheme: "dark" });
  await ann.screenshot({ path: join(shots, "demo-dark.png") });
}

// A name taken anew is another session of the same connection.
await bob.getByLabel("Your name").fill("Robert");
await bob.getByLabel("Your name").press("Enter");
await until("Ann sees Robert", async () => (await members(ann)) === "Ann (you),Robert");

// Whoever reads further up is not pulled down, and old messages go.
await ann.evaluate(() => {
  for (let i = 0; i < 510; i++) $wr.broadcast("lobby", "message", { from: "Ann", text: `line ${i}` });
});
await until("all lines are there", async () => (await ann.locator("#logs .log:visible > div").last().textContent()).includes("line 509"));
assert.equal(await ann.locator("#logs .log:visible > div").count(), 500);
const log = ann.locator("#logs .log:visible");
assert.ok(await log.evaluate(it => it.scrollHeight - it.scrollTop - it.clientHeight < 2), "it follows what comes");
await log.evaluate(it => { it.scrollTop = 100; });
await say(await open("Cid"), "One more");
await until("it came", async () => (await ann.locator("#logs .log:visible > div").last().textContent()).includes("joined")
  || (await ann.locator("#logs .log:visible > div").last().textContent()).includes("One more"));
assert.ok(await log.evaluate(it => it.scrollTop < 500), "it was pulled down");

await bob.close();
await until("Robert is gone", async () => !(await members(ann)).includes("Robert"));

// The broker dies in mid-chat and comes back on the same addresses.
await demo.stop("SIGKILL");
await ann.getByText("connection lost, trying again").waitFor();
await say(ann, "Said while it was away");
demo = await startDemo(program, dir, demo.again);
await ann.getByText("connected", { exact: true }).waitFor();
await seen(ann, "what was said meanwhile is not here");
await seen(ann, "Said while it was away");
await until("everybody is there again", async () => (await members(ann)) === "Ann (you),Cid");
for (const name of ["backstage", "random"]) {
  await room(ann, name).click();
  await say(ann, `/help me in ${name}`);
  await seen(ann, "/time tells the time");
}

assert.deepEqual(problems, []);
await browser.close();
assert.deepEqual(await demo.stop("SIGTERM"), { code: 0, signal: null });
console.log("browser: 1 passed, 0 failed");
