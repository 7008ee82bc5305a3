// A broker's end of the connection, by hand: tests say what it says.

import assert from "node:assert/strict";
import { WebRocket } from "../dist/webrocket.mjs";

export const URL = "ws://broker/app";

/** All sockets that were opened, the latest last. */
export class Wire {
  sockets = [];
  WebSocket;

  constructor() {
    const wire = this;
    this.WebSocket = class {
      sent = [];
      isClosed = false;
      constructor(url) {
        if (!/^wss?:/.test(url)) throw new SyntaxError(`no WebSocket URL: ${url}`);
        this.url = url;
        wire.sockets.push(this);
      }
      send(text) {
        assert.ok(!this.isClosed, "sent on a closed socket");
        this.sent.push(JSON.parse(text));
      }
      close(code) {
        this.isClosed = true;
        this.closeCode = code;
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** The broker's messages, each `[event, payload]`. */
  say(...messages) {
    for (const [event, payload = {}] of messages) {
      this.socket.onmessage({ data: JSON.stringify({ [event]: payload }) });
    }
  }

  greet(sid = "s1") {
    this.say([":connected", { sid }]);
  }

  /** The connection ends from the other side. */
  cut(code = 1006, reason = "") {
    this.socket.isClosed = true;
    this.socket.onclose({ code, reason });
  }

  /** What was sent since the last look. */
  take() {
    return this.socket.sent.splice(0);
  }
}

/** All that a connection tells, as `[event, what]`. */
export function listen(wr) {
  const told = [];
  for (const event of ["connected", "disconnected", "reconnecting", "authenticated", "missed", "dropped", "closed"]) {
    wr.on(event, what => told.push([event, what]));
  }
  for (const event of ["joined", "left"]) wr.on(event, channel => told.push([event, channel.name]));
  wr.on("error", ({ code, channel }) => told.push(["error", channel ? [code, channel] : code]));
  return {
    take: () => told.splice(0),
    names: () => told.splice(0).map(([event]) => event),
  };
}

/** A connection at such a broker. */
export function connect(options = {}) {
  const wire = new Wire();
  const wr = new WebRocket(URL, { WebSocket: wire.WebSocket, random: () => 0.5, ...options });
  return { wire, wr, told: listen(wr) };
}

/** Lets promises go on. */
export const settle = () => new Promise(resolve => setImmediate(resolve));
