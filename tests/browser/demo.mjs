// The demo in a real browser: two tabs chat, see each other come and go, and
// get answers from the worker; a broker that dies and comes back is found again.
//
//   node demo.mjs PATH-TO-WEBROCKET [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program = "../../target/release/webrocket", shots] = process.argv.slice(2);
const PATIENCE = 30_000;
// A killed demo leaves its storage behind; here it goes with the test.
const scratch = mkdtempSync(join(tmpdir(), "webrocket-browser-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

function startDemo(...flags) {
  const child = spawn(program, ["demo", "--shards", "2", "--log", "warn", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: scratch },
  });
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout.on("data", chunk => {
      output += chunk;
      const page = /page\s+(http:\S+)/.exec(output);
      if (page && output.includes("Ctrl-C")) {
        const backend = /backend\s+(wr:\S+)/.exec(output)[1];
        resolve({ child, page: page[1], backend });
      }
    });
    child.on("exit", code => reject(new Error(`the demo ended with ${code}: ${output}`)));
  });
}

const ended = child => new Promise(resolve => child.on("exit", (code, signal) => resolve({ code, signal })));

const free = "127.0.0.1:0";
let demo = await startDemo("--page-addr", free, "--websocket-addr", free, "--backend-addr", free, "--admin-addr", free);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(name, { refusals = 0 } = {}) {
  const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
  context.setDefaultTimeout(PATIENCE);
  const tab = await context.newPage();
  const problems = [];
  tab.on("pageerror", error => problems.push(String(error)));
  await tab.addInitScript(name => sessionStorage.setItem("name", name), name);
  if (refusals) await tab.route("**/auth.json*", route => route.fulfill({ status: 502 }), { times: refusals });
  await tab.goto(demo.page);
  await tab.getByText("connected", { exact: true }).waitFor();
  return { tab, problems };
}

const members = tab => tab.locator("#members li").allTextContents();
async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}
async function say(tab, text) {
  await tab.getByLabel("Message", { exact: true }).fill(text);
  await tab.getByRole("button", { name: "Send" }).click();
}
const seen = (tab, text) => tab.locator("#log li", { hasText: text }).first().waitFor();

const ann = await open("Ann");
// A sign-in that fails is tried again.
const bob = await open("Bob", { refusals: 2 });
await bob.tab.getByText("could not sign in: HTTP 502").first().waitFor();
await until("both see both", async () =>
  (await members(ann.tab)).sort().join() === "Ann,Bob" && (await members(bob.tab)).sort().join() === "Ann,Bob");

await say(ann.tab, "Hello <b>Bob</b>");
await seen(bob.tab, "Hello <b>Bob</b>");
await say(bob.tab, "Hello Ann");
await seen(ann.tab, "Hello Ann");
await say(bob.tab, "/roll 2d6");
await seen(ann.tab, "2d6: [");
await seen(bob.tab, "2d6: [");

if (shots) {
  mkdirSync(shots, { recursive: true });
  await ann.tab.screenshot({ path: join(shots, "demo-light.png") });
  await bob.tab.emulateMedia({ colorScheme: "dark" });
  await bob.tab.setViewportSize({ width: 390, height: 700 });
  await bob.tab.screenshot({ path: join(shots, "demo-dark-phone.png") });
}

// A name taken anew is another session of the same connection.
await bob.tab.getByLabel("Your name").fill("Robert");
await bob.tab.getByLabel("Your name").press("Enter");
await until("Ann sees Robert", async () => (await members(ann.tab)).sort().join() === "Ann,Robert");

await bob.tab.close();
await until("Ann is alone", async () => (await members(ann.tab)).join() === "Ann");
await seen(ann.tab, "Robert left");

// The broker dies and comes back on the same addresses.
const page = new URL(demo.page).host;
const config = await (await fetch(new URL("/config.json", demo.page))).json();
demo.child.removeAllListeners("exit");
demo.child.kill("SIGKILL");
await ended(demo.child);
await ann.tab.getByText("connection lost, trying again").waitFor();
demo = await startDemo("--page-addr", page, "--websocket-addr", `127.0.0.1:${config.port}`,
  "--backend-addr", free, "--admin-addr", free);
await ann.tab.getByText("connected", { exact: true }).waitFor();
await say(ann.tab, "Back again");
await seen(ann.tab, "Back again");

assert.deepEqual([...ann.problems, ...bob.problems], []);
await browser.close();
demo.child.removeAllListeners("exit");
demo.child.kill("SIGTERM");
assert.deepEqual(await ended(demo.child), { code: 0, signal: null });
console.log("browser: 1 passed, 0 failed");
