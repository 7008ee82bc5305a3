// The capacity plan's page in a real browser: a small real plan, its page opened
// from a file with nothing else to reach, on a desk and on a phone.
//
//   node plan.mjs PATH-TO-LOADGEN [DIRECTORY-FOR-SCREENSHOTS]

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, onEachScreen, scratch } from "./support.mjs";

const [program = "../../target/release/loadgen", shots] = process.argv.slice(2);
const file = join(scratch("plan"), "plan.html");
const run = spawnSync(program, ["plan", "--self-host", "--slo", "p99<20s,loss=0", "--connections", "100,200",
  "--rate-max", "100", "--step-duration", "1s", "--duration", "1s", "--nodes", "3", "--target-clients", "1000",
  "--target-rate", "500", "--html", file], { stdio: ["ignore", "ignore", "inherit"] });
assert.equal(run.status, 0, `the plan ended with ${run.status}`);

const browser = await launch();
if (shots) mkdirSync(shots, { recursive: true });

await onEachScreen(browser, file, async (tab, name, height) => {
  const heading = tab.locator("h1");
  const box = await heading.boundingBox();
  assert.ok(box.y >= 0 && box.y < height, `${name}: the verdict is not in the first screen`);
  const table = tab.locator("table").first();
  assert.equal(await table.locator("tbody tr").count(), 2, `${name}: a row for each number of clients`);
  for (const part of ["What holds", "What would give next", "What the broker spends", "Suggested settings"]) {
    assert.ok(await tab.locator("h2", { hasText: part }).count() > 0, `${name}: no section ${part}`);
  }
  if (shots) await tab.screenshot({ path: join(shots, `plan-${name}.png`), fullPage: true });
});
await browser.close();
console.log("plan: first screen, sections and widths are as they should be");
