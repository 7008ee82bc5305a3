// What the tests in a real browser share.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { FREE, start } from "../../clients/js/test/broker.mjs";

export * from "../../clients/js/test/broker.mjs";

export function launch(args = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", ...args],
  });
}

/** Starts `webrocket demo`; gives its addresses, and flags that start it there again. */
export async function startDemo(program, dir, flags = {}) {
  const asked = { "--page-addr": FREE, "--websocket-addr": FREE, "--backend-addr": FREE, "--admin-addr": FREE, ...flags };
  const args = ["demo", "--shards", "2", "--log", "warn", ...Object.entries(asked).flat()];
  const { output, stop } = await start(program, args, /Ctrl-C/, { TMPDIR: dir });
  const page = /page\s+(http:\S+)/.exec(output)[1];
  const source = await (await fetch(page)).text();
  const broker = /src="(http:[^"]+)\/demo\/webrocket\.js"/.exec(source)[1];
  const again = { "--page-addr": new URL(page).host, "--websocket-addr": new URL(broker).host };
  return { page, broker, stop, again, backend: /backend\s+(wr:\S+)/.exec(output)[1] };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");

/** No rule of axe finds anything, in light and dark. */
export async function expectAccessible(tab, what) {
  for (const colorScheme of ["dark", "light"]) {
    await tab.emulateMedia({ colorScheme });
    // Not as a script of the page: its policy refuses those of others.
    await tab.evaluate(AXE);
    const found = await tab.evaluate(async () => (await globalThis.axe.run(document)).violations
      .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(it => it.html).join(" ; ")}`));
    assert.deepEqual(found, [], `${what}, ${colorScheme}`);
  }
}

/** Nothing has to be moved sideways to be seen. */
export async function expectFits(tab, what) {
  const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${what}: ${overflow} pixels too wide`);
}

const SCREENS = [["desk", 1280, 800, "light"], ["desk-dark", 1280, 800, "dark"], ["phone", 390, 844, "light"]];

/** Opens a page from a file on each kind of screen: it asks for nothing else, and fits. */
export async function onEachScreen(browser, file, look) {
  for (const [name, width, height, colorScheme] of SCREENS) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    const tab = await context.newPage();
    const problems = [], requests = [];
    tab.on("pageerror", error => problems.push(String(error)));
    tab.on("console", message => { if (message.type() === "error") problems.push(message.text()); });
    tab.on("request", request => requests.push(request.url()));
    await tab.goto(pathToFileURL(file).href);
    assert.deepEqual(problems, [], name);
    assert.equal(requests.length, 1, `the page asks for more: ${requests}`);
    await look(tab, name, height);
    await expectFits(tab, name);
    await context.close();
  }
}
