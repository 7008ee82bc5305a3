//! A look in the Prometheus text format.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::{Registry, Unit};

use super::page::{NO_LABELS, Page, seconds};
use super::process::Process;
use super::{Look, VhostOverview};
use crate::meter::{Histogram, Kind, Refused, ShardMeter, Slow, VhostMeter};

/// The format's name and version.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole page.
pub(super) fn render(look: Look) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(look));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

impl Collector for Look {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.node(&mut page)?;
        self.connections(&mut page)?;
        self.traffic(&mut page)?;
        self.queues(&mut page)?;
        self.triggers(&mut page)?;
        self.pumps(&mut page)?;
        self.refusals(&mut page)?;
        self.vhosts(&mut page)?;
        self.registry(&mut page)?;
        self.store(&mut page)?;
        let headroom = self.headroom.iter().map(|it| {
            let limit = it.limit.replace(' ', "_");
            ([("limit", limit)], 1.0 - it.used_share())
        });
        page.gauges(
            "webrocket_headroom_ratio",
            "Share of a limit that is still free; the smallest one binds first",
            None,
            headroom,
        )?;
        self.process
            .as_ref()
            .map_or(Ok(()), |it| it.encode(&mut page))
    }
}

impl Look {
    fn node(&self, page: &mut Page<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let labels = [("version", version), ("node", self.node.clone())];
        page.gauges(
            "webrocket_build_info",
            "Always 1; version and name of the node are in its labels",
            None,
            [(labels, 1_u64)],
        )?;
        let overview = &self.overview;
        let ready = u64::from(overview.is_restored && !overview.is_draining);
        page.gauge(
            "webrocket_ready",
            "Whether the node wants connections",
            ready,
        )
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let held = self.labeled("kind", Kind::ALL, |meter, kind| {
            (kind.as_str(), meter.connections(kind).value())
        });
        page.gauges("webrocket_connections", "Connections", None, held)?;
        page.counters(
            "webrocket_connections_accepted",
            "Connections accepted",
            None,
            self.of_shards(|meter| meter.accepted.count()),
        )?;
        let open = self.open.iter().enumerate();
        page.gauges(
            "webrocket_descriptors",
            "Open descriptors of a shard's own table; process_max_fds counts for each",
            None,
            open.filter_map(|(shard, open)| Some(([("shard", shard)], (*open)?))),
        )
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counters(
            "webrocket_broadcasts",
            "Broadcasts accepted from a shard's connections",
            None,
            self.of_shards(|meter| meter.broadcasts.count()),
        )?;
        page.counters(
            "webrocket_deliveries",
            "Frames of channels given to a shard's frontends",
            None,
            self.of_shards(|meter| meter.deliveries.count()),
        )?;
        page.counters(
            "webrocket_deliveries_dropped",
            "Of them, those that passed slow consumers by",
            None,
            self.of_shards(|meter| meter.dropped.count()),
        )?;
        page.counters(
            "webrocket_sends",
            "Calls of send(2)",
            None,
            self.of_shards(|meter| meter.sends.count()),
        )?;
        page.gauges(
            "webrocket_joined_frames",
            "Deliveries for each call of send(2), since the start",
            None,
            self.of_shards(|meter| {
                let sends = meter.sends.count().max(1) as f64;
                meter.deliveries.count() as f64 / sends
            }),
        )?;
        page.counters(
            "webrocket_received",
            "Bytes received from connections",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.received_bytes.count()),
        )?;
        page.counters(
            "webrocket_sent",
            "Bytes that sockets took",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.sent_bytes.count()),
        )?;
        page.counters(
            "webrocket_compressed",
            "Messages compressed, each once for all frontends of a shard that share parameters",
            None,
            self.of_shards(|meter| meter.compressed.count()),
        )?;
        page.counters(
            "webrocket_compressed_from",
            "Bytes of these messages' frames before",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.compressed_from_bytes.count()),
        )?;
        page.counters(
            "webrocket_compressed_to",
            "Bytes of these messages' frames after",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.compressed_to_bytes.count()),
        )?;
        page.histograms(
            "webrocket_fanout_latency",
            "From a broadcast accepted to its last subscriber on a shard written",
            self.of_shards_ref(|meter| &meter.latency),
        )
    }

    fn queues(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauges(
            "webrocket_outbox",
            "Bytes queued for connections",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.outbox_bytes.value()),
        )?;
        page.gauges(
            "webrocket_outbox_peak",
            "Bytes of the fullest outbox of late",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.outbox_peak_bytes.value()),
        )?;
        page.gauges(
            "webrocket_unfinished",
            "Bytes kept of what was received and not handled",
            Some(&Unit::Bytes),
            self.of_shards(|meter| meter.unfinished_bytes.value()),
        )?;
        page.gauges(
            "webrocket_ring_envelopes",
            "Envelopes that wait in a shard's incoming rings",
            None,
            self.of_shards(|meter| meter.ring_envelopes.value()),
        )?;
        page.gauges(
            "webrocket_backlog_envelopes",
            "Envelopes that wait for room in a ring",
            None,
            self.of_shards(|meter| meter.backlog_envelopes.value()),
        )
    }

    fn triggers(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counters(
            "webrocket_triggers",
            "Triggers handed to a shard's workers",
            None,
            self.of_shards(|meter| meter.triggers.count()),
        )?;
        page.counters(
            "webrocket_triggers_refused",
            "Triggers that no worker could take",
            None,
            self.of_shards(|meter| meter.triggers_refused.count()),
        )?;
        page.histograms(
            "webrocket_trigger_wait",
            "From a trigger accepted to its worker having been given it",
            self.of_shards_ref(|meter| &meter.trigger_wait),
        )?;
        page.counters(
            "webrocket_heartbeats_expired",
            "Workers sent away because their heartbeats stayed out",
            None,
            self.of_shards(|meter| meter.heartbeats_expired.count()),
        )
    }

    fn pumps(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counters(
            "webrocket_busy",
            "Time that a shard was awake",
            Some(&Unit::Seconds),
            self.of_shards(|meter| seconds(meter.busy_us.count())),
        )?;
        page.histograms(
            "webrocket_turn",
            "Time of a turn of the pump",
            self.of_shards_ref(|meter| &meter.turn_time),
        )
    }

    fn refusals(&self, page: &mut Page<'_>) -> fmt::Result {
        let slow = self.labeled("cause", Slow::ALL, |meter, cause| {
            (cause.as_str(), meter.slow(cause).count())
        });
        page.counters(
            "webrocket_slow_consumers",
            "Consumers that were too slow",
            None,
            slow,
        )?;
        let refused = self.labeled("cause", Refused::ALL, |meter, cause| {
            (cause.as_str(), meter.refused(cause))
        });
        page.counters(
            "webrocket_refused",
            "What the broker refused",
            None,
            refused,
        )
    }

    fn vhosts(&self, page: &mut Page<'_>) -> fmt::Result {
        let counted =
            |number: fn(&VhostMeter) -> u64| self.of_vhosts(move |vhost| vhost.meters.sum(number));
        page.gauges(
            "webrocket_vhost_frontends",
            "Frontends of a vhost",
            None,
            counted(|meter| meter.frontends.value()),
        )?;
        page.gauges(
            "webrocket_vhost_channels",
            "Open channels of a vhost",
            None,
            self.of_vhosts(|vhost| vhost.channels as u64),
        )?;
        page.gauges(
            "webrocket_vhost_workers",
            "Ready workers of a vhost",
            None,
            self.of_vhosts(|vhost| vhost.workers as u64),
        )?;
        page.counters(
            "webrocket_vhost_broadcasts",
            "Broadcasts accepted in a vhost",
            None,
            counted(|meter| meter.broadcasts.count()),
        )?;
        page.counters(
            "webrocket_vhost_deliveries",
            "Frames given to a vhost's frontends",
            None,
            counted(|meter| meter.deliveries.count()),
        )?;
        page.counters(
            "webrocket_vhost_triggers",
            "Triggers handed to a vhost's workers",
            None,
            counted(|meter| meter.triggers.count()),
        )
    }

    fn registry(&self, page: &mut Page<'_>) -> fmt::Result {
        let overview = &self.overview;
        let all = || overview.own.iter().chain([&overview.other]);
        page.gauge("webrocket_vhosts", "Vhosts", overview.vhosts as u64)?;
        let channels: usize = all().map(|vhost| vhost.channels).sum();
        page.gauge("webrocket_channels", "Open channels", channels as u64)?;
        let workers: usize = all().map(|vhost| vhost.workers).sum();
        page.gauge("webrocket_workers", "Ready workers", workers as u64)?;
        page.gauge(
            "webrocket_single_access_tokens",
            "Single access tokens that nobody has used",
            overview.tokens as u64,
        )?;
        page.gauge(
            "webrocket_changes_waiting",
            "Changes of the registry that not every shard has applied",
            overview.changes_waiting as u64,
        )
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let store = &self.store;
        page.counter(
            "webrocket_store_commits",
            "Batches that became durable",
            store.commits.count(),
        )?;
        page.counter(
            "webrocket_store_failures",
            "Batches that the store refused",
            store.failures.count(),
        )?;
        page.counter(
            "webrocket_store_records",
            "Records that became durable",
            store.records.count(),
        )?;
        page.histograms(
            "webrocket_store_commit",
            "Time of a commit",
            [(NO_LABELS, &store.commit_time)],
        )
    }

    /// A number of each shard.
    fn of_shards<V>(
        &self,
        number: impl Fn(&ShardMeter) -> V,
    ) -> impl Iterator<Item = ([(&'static str, usize); 1], V)> {
        let rows = self.shards.iter().enumerate();
        rows.map(move |(shard, meter)| ([("shard", shard)], number(meter)))
    }

    fn of_shards_ref<'a>(
        &'a self,
        histogram: impl Fn(&'a ShardMeter) -> &'a Histogram,
    ) -> impl Iterator<Item = ([(&'static str, usize); 1], &'a Histogram)> {
        let rows = self.shards.iter().enumerate();
        rows.map(move |(shard, meter)| ([("shard", shard)], histogram(meter)))
    }

    /// A number of each shard for each of `all`, which is named by `label`.
    fn labeled<T: Copy, const N: usize>(
        &self,
        label: &'static str,
        all: [T; N],
        number: impl Fn(&ShardMeter, T) -> (&'static str, u64),
    ) -> impl Iterator<Item = ([(&'static str, String); 2], u64)> {
        let rows = self.shards.iter().enumerate();
        rows.flat_map(move |(shard, meter)| {
            all.map(|one| {
                let (name, value) = number(meter, one);
                (
                    [("shard", shard.to_string()), (label, name.to_owned())],
                    value,
                )
            })
        })
    }

    /// A number of each vhost, the sum of the others last where there are any.
    fn of_vhosts(
        &self,
        number: impl Fn(&VhostOverview) -> u64,
    ) -> impl Iterator<Item = ([(&'static str, &str); 1], u64)> {
        let overview = &self.overview;
        let others = overview.vhosts > overview.own.len();
        let rows = overview.own.iter().chain(others.then_some(&overview.other));
        rows.map(move |vhost| ([("vhost", vhost.path.as_str())], number(vhost)))
    }
}

impl Process {
    /// Under the names that client libraries of all languages use.
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counter(
            "process_cpu_seconds",
            "User and system time",
            self.cpu_seconds,
        )?;
        page.gauge(
            "process_open_fds",
            "Open descriptors of all but the shards, which have tables of their own",
            self.descriptors,
        )?;
        page.gauge(
            "process_max_fds",
            "Descriptors that may be open",
            self.descriptors_max as f64,
        )?;
        page.gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            self.resident_bytes,
        )?;
        page.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory",
            self.virtual_bytes,
        )?;
        page.gauge("process_threads", "Threads", self.threads)?;
        page.gauge(
            "process_start_time_seconds",
            "Start of the process since the Unix epoch",
            self.started_seconds,
        )
    }
}
