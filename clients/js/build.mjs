// Builds what is served and published: an ES module, a classic script with the
// global WebRocket, the same with a vhost's connection as $wr, and the types.
// The same source gives the same bytes.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Bytes of each script, compressed: what a page waits for. */
const GZIP_BYTES_MAX = 6 * 1024;

const common = { bundle: true, minify: true, target: "es2022", charset: "utf8", legalComments: "none" };
await build({ ...common, entryPoints: ["src/index.ts"], format: "esm", outfile: "dist/webrocket.mjs" });
await build({ ...common, entryPoints: ["src/global.ts"], format: "iife", outfile: "dist/webrocket.js" });
await build({ ...common, entryPoints: ["src/preconfigured.ts"], format: "iife", outfile: "dist/preconfigured.js" });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

for (const file of ["dist/webrocket.mjs", "dist/webrocket.js", "dist/preconfigured.js"]) {
  const bytes = gzipSync(readFileSync(file), { level: 9 }).length;
  console.log(`${file}: ${bytes} bytes compressed`);
  if (bytes >= GZIP_BYTES_MAX) throw new Error(`${file} is past ${GZIP_BYTES_MAX} bytes`);
}
