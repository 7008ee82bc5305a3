// The load generator's page in a real browser: a real run, its report opened
// from a file with nothing else to reach, on a desk and on a phone.
//
//   node report.mjs PATH-TO-LOADGEN [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, onEachScreen, scratch } from "./support.mjs";

const [program = "../../target/release/loadgen", shots] = process.argv.slice(2);
const file = join(scratch("report"), "report.html");
execFileSync(program, ["--self-host", "--clients", "500", "--channels", "5", "--rate", "50", "--duration", "4s",
  "--assert", "loss=0,p99<20s", "--html", file], { stdio: ["ignore", "ignore", "inherit"] });

const browser = await launch();
if (shots) mkdirSync(shots, { recursive: true });

await onEachScreen(browser, file, async (tab, name, height) => {
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
  if (shots) await tab.screenshot({ path: join(shots, `report-${name}.png`), fullPage: true });
});
await browser.close();
console.log("report: first screen, charts and widths are as they should be");
