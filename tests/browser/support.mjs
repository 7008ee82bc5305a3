// What the tests in a real browser share.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Milliseconds: a test that waits this long has failed, however busy the machine. */
export const PATIENCE = 30_000;

/** An address with a port that the kernel picks. */
export const FREE = "127.0.0.1:0";

/** A directory that goes with the test. */
export function scratch(name) {
  const path = mkdtempSync(join(tmpdir(), `webrocket-${name}-`));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Waits until `holds` gives something true, and gives that. */
export async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await holds();
    if (value) return value;
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

/** Starts a program that serves until a signal; gives it with its output up to `mark`. */
export function start(program, args, mark, env = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  const ended = new Promise(resolve => child.on("exit", (code, signal) => {
    process.off("exit", kill);
    resolve({ code, signal });
  }));
  const stop = signal => {
    child.kill(signal);
    return ended;
  };
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout.on("data", chunk => {
      output += chunk;
      if (mark.test(output)) resolve({ output, stop });
    });
    child.on("exit", code => reject(new Error(`${program} ended with ${code}: ${output}`)));
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

/** Starts `webrocket serve` with storage that outlives it; it comes back on the same addresses. */
export async function startNode(program, dir) {
  const node = { addresses: { websocket: FREE, backend: FREE, admin: FREE } };
  node.restart = async () => {
    const flags = Object.entries(node.addresses).flatMap(([name, address]) => [`--${name}-addr`, address]);
    const args = ["serve", "--node-name", "test", "--storage-dir", dir, "--shards", "2", "--log", "error", "--drain-window", "0s", ...flags];
    const { output, stop } = await start(program, args, /^dashboard .*\n/m);
    const told = name => new RegExp(`^${name}\\s+(\\S+)$`, "m").exec(output)[1];
    for (const name of Object.keys(node.addresses)) node.addresses[name] = told(name).replace(/^\w+:\/\//, "");
    Object.assign(node, { stop, kill: () => stop("SIGKILL"), cookie: told("cookie"), dashboard: told("dashboard") });
    node.websocket = `http://${node.addresses.websocket}`;
  };
  node.admin = async (method, path, body) => {
    const headers = { "X-WebRocket-Cookie": node.cookie };
    const response = await fetch(`http://${node.addresses.admin}${path}`,
      { method, headers, redirect: "manual", body: body && JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.status < 400, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  await node.restart();
  return node;
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
