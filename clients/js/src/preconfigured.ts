// What a vhost's own script adds to the classic one: a connection, as $wr.

import "./global.js";
import { WebRocket } from "./webrocket.js";

/**
 * The vhost is the folder that the script came from, so that a proxy may put it
 * under any host and path. `?debug=1` tells everything to the console.
 */
function connection(script: string): WebRocket {
  const url = new URL(".", script);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = url.pathname.replace(/\/$/, "");
  return new WebRocket(url.href, { debug: new URL(script).searchParams.get("debug") === "1" });
}

const script = document.currentScript;
if (!(script instanceof HTMLScriptElement)) throw new Error("webrocket.js of a vhost is no module: load it with <script src>");
Object.assign(globalThis, { $wr: connection(script.src) });
