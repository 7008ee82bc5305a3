// A real broker: the program that WEBROCKET names, or this checkout's debug build.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.WEBROCKET ?? fileURLToPath(new URL("../../../target/debug/webrocket", import.meta.url));

/** Milliseconds after which a wait has failed, however busy the machine. */
const PATIENCE = 30_000;

export class Broker {
  #dir = mkdtempSync(join(tmpdir(), "webrocket-js-"));
  #child;
  #addresses = { websocket: "127.0.0.1:0", backend: "127.0.0.1:0", admin: "127.0.0.1:0" };
  #cookie;

  static async start() {
    assert.ok(existsSync(PROGRAM), `no broker at ${PROGRAM}: build it with cargo build, or name one with WEBROCKET`);
    const broker = new Broker();
    await broker.start();
    return broker;
  }

  /** Starts it, the next times on the same addresses with what it had stored. */
  async start() {
    const flags = Object.entries(this.#addresses).flatMap(([name, address]) => [`--${name}-addr`, address]);
    const args = ["serve", "--node-name", "test", "--storage-dir", this.#dir, "--shards", "1", "--log", "warn", "--drain-window", "0s", ...flags];
    const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    let output = "";
    await new Promise((resolve, reject) => {
      child.on("exit", code => reject(new Error(`${PROGRAM} ended with ${code}`)));
      child.stdout.on("data", chunk => /dashboard .*\n/.test((output += chunk)) && resolve());
    });
    const told = name => new RegExp(`^${name}\\s+(\\S+)$`, "m").exec(output)[1];
    for (const name of Object.keys(this.#addresses)) this.#addresses[name] = told(name).replace(/^\w+:\/\//, "");
    this.#cookie = told("cookie");
  }

  /** As a crash does. */
  async kill() {
    const ended = new Promise(resolve => this.#child.removeAllListeners("exit").once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  async end() {
    await this.kill();
    rmSync(this.#dir, { recursive: true });
  }

  url(vhost) {
    return `ws://${this.#addresses.websocket}${vhost}`;
  }

  http(path) {
    return fetch(`http://${this.#addresses.websocket}${path}`);
  }

  async admin(method, path, body) {
    const headers = { "X-WebRocket-Cookie": this.#cookie };
    const request = { method, headers, redirect: "manual", body: body && JSON.stringify(body) };
    const response = await fetch(`http://${this.#addresses.admin}${path}`, request);
    assert.ok(response.status < 400, `${method} ${path}: ${response.status}`);
    const text = await response.text();
    return text ? JSON.parse(text) : undefined;
  }

  async token(vhost, uid, permission) {
    return this.admin("POST", `${vhost}/single-access-tokens`, { uid, permission });
  }
}

/** Waits until it holds. */
export async function until(what, holds) {
  for (const deadline = Date.now() + PATIENCE; !holds();) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

/** The next of an event of this side's client, or of what `holds` for. */
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
