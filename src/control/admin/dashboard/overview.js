// What one sees at a glance.

import { Chart } from "./dashboard.charts.js";
import { $, bar, element, empty } from "./dashboard.elements.js";
import { bytes, counted, number, time } from "./dashboard.rates.js";

/** What the charts show: the shortest that holds all. The node keeps no history. */
const WINDOWS_MS = [1, 2, 5, 10].map(minutes => minutes * 60_000);
const BARS_MAX = 10;

const samples = [];
const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

const charts = [
  new Chart($("deliveries"), "Deliveries a second", [["", "deliveries"]], { format: number, floor: 10 }),
  new Chart($("latency"), "Latency from broadcast to last subscriber",
    [["p50", "p50"], ["p99", "p99"], ["p99.9", "p999"]], { format: time, isLog: true, floor: 1000 }),
  new Chart($("broadcasts"), "Broadcasts a second", [["", "broadcasts"]], { format: number, floor: 10 }),
  new Chart($("connections"), "Connections", [["", "connections"]], { format: number, floor: 10 }),
  new Chart($("joined"), "Deliveries for each call of send", [["", "joined"]], { format: number, floor: 2 }),
  new Chart($("queued"), "Bytes queued", [["", "queued"]], { format: bytes, isBinary: true, floor: 1024 }),
];

/** Charts one more look: what it says, and its rates; none break the lines. */
export function add(stats, rates) {
  const at = Date.now();
  const { connections, broadcasts, deliveries, joined, queued, p50, p99, p999 } = rates ?? {};
  samples.push({ at, connections, broadcasts, deliveries, joined, queued, p50, p99, p999 });
  while (samples[0].at < at - WINDOWS_MS.at(-1)) samples.shift();
  const windowMs = WINDOWS_MS.find(it => at - samples[0].at <= it);
  for (const chart of charts) chart.show(samples, windowMs);
  if (!stats || !rates) return;
  $("tiles").replaceChildren(...tiles(stats, rates).map(([name, value, note]) =>
    element("li", {}, name, element("b", {}, value), element("span", { className: "soft" }, note ?? ""))));
  $("headroom").replaceChildren(...stats.headroom.map(limit));
  $("shards").replaceChildren(...rates.busy.map((share, at) => bar(`Shard ${stats.shards[at].shard}`, share, percent(share), {
    className: level(share),
    note: `${counted(stats.shards[at].frontends, "frontend")}, ${bytes(stats.shards[at].outbox_bytes)} queued`,
  })));
  $("channels").replaceChildren(...channels(rates.channels));
}

function tiles(stats, rates) {
  const evicted = stats.shards.reduce((all, shard) => all + shard.evicted, 0);
  const workers = stats.vhosts.reduce((all, vhost) => all + vhost.workers, 0);
  return [
    ["Connections", number(rates.connections), `and ${number(rates.backends)} of backends`],
    ["Broadcasts", `${number(rates.broadcasts)}/s`, `${number(rates.triggers)} triggers/s`],
    ["Deliveries", `${number(rates.deliveries)}/s`],
    ["Latency, p99", time(rates.p99), `p50 ${time(rates.p50)}`],
    ["Frames joined", number(rates.joined), "for each call of send"],
    ["Memory a connection", bytes(stats.memory?.connection_bytes), `${bytes(stats.memory?.resident_bytes)} resident in all`],
    ["Workers ready", number(workers), `in ${counted(stats.vhosts.filter(it => it.workers).length, "vhost")}`],
    ["Slow consumers", number(evicted), rates.evicted ? `${number(rates.evicted)} evicted just now` : "evicted since the start"],
  ];
}

function limit({ limit, used, max, unit, source }, at) {
  const share = max > 0 ? used / max : 1;
  const amount = value => (unit === "bytes" ? bytes(value) : number(value));
  const name = at === 0 ? element("strong", {}, `${limit}, binds first`) : limit;
  const of = unit === "bytes" ? `${amount(used)} of ${amount(max)}` : `${amount(used)} of ${amount(max)} ${unit}`;
  return bar(name, share, percent(share), { className: level(share), note: `${of}: ${source}` });
}

const level = share => (share >= 0.9 ? "full" : share >= 0.7 ? "warn" : "");

function channels(all) {
  const shown = all.toSorted((a, b) => b.rate - a.rate || b.subscribers - a.subscribers).slice(0, BARS_MAX);
  if (!shown.length) return [empty("No broadcasts yet.")];
  const most = Math.max(...shown.map(it => it.rate), 1e-9);
  return shown.map(({ vhost, channel, subscribers, rate }) =>
    bar(`${vhost} ${channel}`, rate / most, `${number(rate)}/s`, { note: counted(subscribers, "subscriber") }));
}
