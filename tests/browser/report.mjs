// The load generator's page in a real browser: a real run, its report opened
// from a file with nothing else to reach, on a desk and on a phone.
//
//   node report.mjs PATH-TO-LOADGEN [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [program = "../../target/release/loadgen", shots] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "webrocket-report-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const file = join(scratch, "report.html");
execFileSync(program, ["--self-host", "--clients", "500", "--channels", "5", "--rate", "50", "--duration", "4s",
  "--assert", "loss=0,p99<20s", "--html", file], { stdio: ["ignore", "ignore", "inherit"] });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
if (shots) mkdirSync(shots, { recursive: true });

for (const [name, width, height, colorScheme] of [
  ["desk", 1280, 800, "light"], ["desk-dark", 1280, 800, "dark"], ["phone", 390, 844, "light"]]) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, javaScriptEnabled: true });
  const tab = await context.newPage();
  const problems = [], requests = [];
  tab.on("pageerror", error => problems.push(String(error)));
  tab.on("console", message => { if (message.type() === "error") problems.push(message.text()); });
  tab.on("request", request => requests.push(request.url()));
  await tab.goto(pathToFileURL(file).href);
  assert.deepEqual(problems, [], name);
  assert.equal(requests.length, 1, `the page asks for more: ${requests}`);

  const heading = tab.locator("h1");
  assert.match(await heading.textContent(), /All 500 clients connected and stayed/);
  for (const seen of [heading, tab.locator(".mark"), tab.locator(".figures")]) {
    const box = await seen.boundingBox();
    assert.ok(box.y >= 0 && box.y < height, `${name}: not in the first screen`);
  }
  const mark = tab.locator(".mark");
  assert.equal((await mark.textContent()).trim(), "passed");
  const ground = await mark.evaluate(element => getComputedStyle(element).backgroundColor);
  assert.notEqual(ground, "rgba(0, 0, 0, 0)", `${name}: the mark has no colour`);
  const charts = await tab.locator("svg").all();
  assert.ok(charts.length >= 5, `${name}: ${charts.length} charts`);
  for (const chart of charts) {
    const box = await chart.boundingBox();
    assert.ok(box.width > 200 && box.height > 60, `${name}: a chart of ${box.width} x ${box.height}`);
    assert.ok((await chart.getAttribute("aria-label")).length > 5);
    assert.ok(await chart.locator("path").count() > 0, `${name}: a chart without a line`);
  }
  const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name}: ${overflow} pixels too wide`);
  if (shots) await tab.screenshot({ path: join(shots, `report-${name}.png`), fullPage: true });
  await context.close();
}
await browser.close();
console.log("report: first screen, charts and widths are as they should be");
