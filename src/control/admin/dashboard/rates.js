// What happened between two looks at a node, and numbers as people read them.

/** What a counter gained. A lower one is another: its vhost was made anew. */
const gained = (before, now) => Math.max(0, now - (before ?? now));

const sum = (shards, counter) => shards.reduce((all, shard) => all + shard[counter], 0);

/**
 * All rates a second between two answers of /stats.json; null where the node began
 * anew in between. Levels are in it too.
 */
export function between(earlier, later) {
  const seconds = (later.uptime_ms - earlier.uptime_ms) / 1000;
  if (!(seconds > 0) || earlier.node !== later.node) return null;
  const rate = counter => gained(sum(earlier.shards, counter), sum(later.shards, counter)) / seconds;
  const named = (list, name) => new Map(list.map(it => [name(it), it.broadcasts]));
  const vhosts = named(earlier.vhosts, it => it.path);
  const channels = named(earlier.top_channels, channelKey);
  const deliveries = rate("deliveries");
  const sends = rate("sends");
  const histogram = latency(earlier.latency, later.latency);
  return {
    connections: sum(later.shards, "frontends"),
    backends: sum(later.shards, "backends"),
    broadcasts: rate("broadcasts"),
    triggers: rate("triggers"),
    deliveries,
    joined: sends > 0 ? deliveries / sends : null,
    evicted: rate("evicted") * seconds,
    queued: sum(later.shards, "outbox_bytes"),
    p50: percentile(histogram, 0.5),
    p99: percentile(histogram, 0.99),
    p999: percentile(histogram, 0.999),
    busy: later.shards.map((shard, at) => Math.min(1, gained(earlier.shards[at]?.busy_us, shard.busy_us) / 1e6 / seconds)),
    vhosts: new Map(later.vhosts.map(it => [it.path, gained(vhosts.get(it.path), it.broadcasts) / seconds])),
    channels: later.top_channels.map(it => ({ ...it, rate: gained(channels.get(channelKey(it)), it.broadcasts) / seconds })),
  };
}

const channelKey = ({ vhost, channel }) => `${vhost} ${channel}`;

/** How many each bucket gained, by ascending bound in microseconds; the last has none. */
function latency(earlier, later) {
  const before = new Map(earlier.map(it => [it.le_us, it.count]));
  return later
    .map(({ le_us, count }) => ({ bound: le_us ?? Infinity, count: gained(before.get(le_us) ?? 0, count) }))
    .sort((a, b) => a.bound - b.bound);
}

/** The bound, in microseconds, that this share of them stayed within; null without any. */
export function percentile(histogram, share) {
  const count = histogram.reduce((all, it) => all + it.count, 0);
  if (!count) return null;
  const rank = Math.max(1, Math.ceil(count * share));
  let counted = 0;
  let below = 0;
  for (const { bound, count } of histogram) {
    counted += count;
    // Of the last bucket nothing but its begin is known.
    if (counted >= rank) return bound === Infinity ? below : bound;
    below = bound;
  }
  return null;
}

/** 12,345 as 12.3 k. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
    if (value >= size) return digits(value / (size === 1e4 ? 1e3 : size)) + unit;
  }
  return value < 100 && value % 1 ? digits(value) : Math.round(value).toLocaleString("en");
}

/** 1 channel, 2 channels. */
export const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, unit] of [[2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]]) {
    if (value >= size) return digits(value / size) + unit;
  }
  return `${Math.round(value)} B`;
}

/** Microseconds, in the unit that fits. */
export function time(us) {
  if (us === null || us === undefined) return "–";
  if (us >= 1e6) return `${digits(us / 1e6)} s`;
  if (us >= 1e3) return `${digits(us / 1e3)} ms`;
  return `${digits(us)} µs`;
}

/** 93,784,000 as 1 d 2 h. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const [d, h, m] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min` : `${seconds} s`;
}

/** Three digits that count. */
const digits = value => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)).replace(/\.0+$/, "");
