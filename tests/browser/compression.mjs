// A browser's own permessage-deflate against a vhost that has it on.
//
//   node compression.mjs PATH-TO-WEBROCKET

import assert from "node:assert/strict";
import { Broker, launch } from "./support.mjs";

const [program = "../../target/release/webrocket"] = process.argv.slice(2);
process.env.WEBROCKET_LIMITS_COMPRESSION = "true";
const broker = await Broker.start(program);
await broker.admin("POST", "/test");
await broker.admin("POST", "/test/channels/room");
const browser = await launch();
const tab = await browser.newPage();

const seen = await tab.evaluate(async url => {
  const socket = new WebSocket(url);
  const next = () => new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(JSON.parse(data));
    socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  });
  const ask = message => {
    const answer = next();
    socket.send(JSON.stringify(message));
    return answer;
  };
  await next();
  await ask({ subscribe: { channel: "room" } });
  const lengths = [];
  for (const length of [10, 2_000, 200_000]) {
    const text = "Grüße an alle! ".repeat(length / 10).slice(0, length);
    const { said } = await ask({ broadcast: { channel: "room", event: "said", data: { text } } });
    lengths.push(said.text === text && said.text.length);
  }
  return { extensions: socket.extensions, lengths };
}, broker.url("ws", "/test"));

assert.match(seen.extensions, /^permessage-deflate; server_no_context_takeover; client_no_context_takeover/);
assert.deepEqual(seen.lengths, [10, 2_000, 200_000]);
const metrics = await (await fetch(`http://${broker.addresses.admin}/metrics`)).text();
const sum = name => [...metrics.matchAll(new RegExp(`^${name}_total\\{.*\\} (\\d+)`, "gm"))]
  .reduce((sum, [, count]) => sum + Number(count), 0);
assert.equal(sum("webrocket_compressed"), 2);
assert.ok(sum("webrocket_compressed_to_bytes") * 20 < sum("webrocket_compressed_from_bytes"));
await browser.close();
await broker.stop("SIGTERM");
console.log(`compressed: ${seen.extensions}`);
process.exit(0);
