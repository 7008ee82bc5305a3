// The capacity plan's page in a real browser: a small real plan, its page opened
// from a file with nothing else to reach, on a desk and on a phone.
//
//   node plan.mjs PATH-TO-LOADGEN [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [program = "../../target/release/loadgen", shots] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "webrocket-plan-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const file = join(scratch, "plan.html");
const run = spawnSync(program, ["plan", "--self-host", "--slo", "p99<20s,loss=0", "--connections", "100,200",
  "--rate-max", "100", "--step-duration", "1s", "--duration", "1s", "--nodes", "3", "--target-clients", "1000",
  "--target-rate", "500", "--html", file], { stdio: ["ignore", "ignore", "inherit"] });
assert.equal(run.status, 0, `the plan ended with ${run.status}`);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
if (shots) mkdirSync(shots, { recursive: true });

for (const [name, width, height, colorScheme] of [
  ["desk", 1280, 800, "light"], ["desk-dark", 1280, 800, "dark"], ["phone", 390, 844, "light"]]) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const tab = await context.newPage();
  const problems = [], requests = [];
  tab.on("pageerror", error => problems.push(String(error)));
  tab.on("console", message => { if (message.type() === "error") problems.push(message.text()); });
  tab.on("request", request => requests.push(request.url()));
  await tab.goto(pathToFileURL(file).href);
  assert.deepEqual(problems, [], name);
  assert.equal(requests.length, 1, `the page asks for more: ${requests}`);
  const heading = tab.locator("h1");
  const box = await heading.boundingBox();
  assert.ok(box.y >= 0 && box.y < height, `${name}: the verdict is not in the first screen`);
  const table = tab.locator("table").first();
  assert.equal(await table.locator("tbody tr").count(), 2, `${name}: a row for each number of clients`);
  for (const part of ["What holds", "What would give next", "What the broker spends", "Suggested settings"]) {
    assert.ok(await tab.locator("h2", { hasText: part }).count() > 0, `${name}: no section ${part}`);
  }
  const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name}: ${overflow} pixels too wide`);
  if (shots) await tab.screenshot({ path: join(shots, `plan-${name}.png`), fullPage: true });
  await context.close();
}
await browser.close();
console.log("plan: first screen, sections and widths are as they should be");
