// A real broker, and waiting for what it does; the tests in a browser use it, too.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The program that WEBROCKET names, or this checkout's debug build. */
const PROGRAM = process.env.WEBROCKET ?? fileURLToPath(new URL("../../../target/debug/webrocket", import.meta.url));

/** Milliseconds after which a wait has failed, however busy the machine. */
export const PATIENCE = 30_000;

/** An address with a port that the kernel picks. */
export const FREE = "127.0.0.1:0";

/** A directory that goes with the process. */
export function scratch(name) {
  const path = mkdtempSync(join(tmpdir(), `webrocket-${name}-`));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
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

/** `webrocket serve`, on storage that outlives it. */
export class Broker {
  cookie;
  dashboard;
  addresses = { websocket: FREE, backend: FREE, admin: FREE };
  #dir = scratch("broker");
  #program;
  #running;

  static async start(program = PROGRAM) {
    assert.ok(existsSync(program), `no broker at ${program}: build it with cargo build, or name one with WEBROCKET`);
    const broker = new Broker();
    broker.#program = program;
    await broker.start();
    return broker;
  }

  /** Starts it, the next times on the same addresses with what it had stored. */
  async start() {
    const flags = Object.entries(this.addresses).flatMap(([name, address]) => [`--${name}-addr`, address]);
    const args = ["serve", "--node-name", "test", "--storage-dir", this.#dir, "--shards", "2", "--log", "error", "--drain-window", "0s", ...flags];
    this.#running = await start(this.#program, args, /^dashboard .*\n/m);
    const told = name => new RegExp(`^${name}\\s+(\\S+)$`, "m").exec(this.#running.output)[1];
    for (const name of Object.keys(this.addresses)) this.addresses[name] = told(name).replace(/^\w+:\/\//, "");
    this.cookie = told("cookie");
    this.dashboard = told("dashboard");
  }

  /** Ends it, and gives how it ended. */
  stop(signal) {
    return this.#running.stop(signal);
  }

  /** As a crash does. */
  kill() {
    return this.stop("SIGKILL");
  }

  /** Where browsers find it: `ws` for connections, `http` for scripts. */
  url(scheme, path = "") {
    return `${scheme}://${this.addresses.websocket}${path}`;
  }

  async admin(method, path, body) {
    const headers = { "X-WebRocket-Cookie": this.cookie };
    const request = { method, headers, redirect: "manual", body: body && JSON.stringify(body) };
    const response = await fetch(`http://${this.addresses.admin}${path}`, request);
    const text = await response.text();
    assert.ok(response.status < 400, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** A single access token, as a page's backend gets it. */
  token(vhost, uid, permission) {
    return this.admin("POST", `${vhost}/single-access-tokens`, { uid, permission });
  }
}

/** The next of an event of this side's client for which `holds` does. */
export function next(emitter, event, holds = () => true) {
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`in vain: ${event}`)), PATIENCE);
    const end = emitter.on(event, (...told) => {
      if (!holds(...told)) return;
      clearTimeout(patience);
      end();
      resolve(told[0]);
    });
  });
}
