//! What the broker has spent, from looks at the borders of phases.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Marks, Sample};
use crate::process::Usage;
use crate::server::{Kernel, Metrics, Observation, ShardCounters};

/// How a broker's resources went; a member that nobody could see is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spent {
    /// Processor time in user mode, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_us_per_delivery: Option<f64>,
    /// Processor time in the kernel, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_us_per_delivery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) switches: Option<SwitchRates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<KernelGrowth>,
    /// By shard.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) shards: Vec<ShardShare>,
    /// The fullest shard's share to the mean's; 1 is even.
    pub(crate) balance: Balance,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counters: Option<Counters>,
}

/// Context switches a second while measuring, of all threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SwitchRates {
    /// A thread had nothing to do.
    pub(crate) voluntary_per_s: f64,
    /// Another wanted its core.
    pub(crate) involuntary_per_s: f64,
}

/// By how much the whole machine's kernel memory grew while the clients joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KernelGrowth {
    pub(crate) slab_bytes_per_connection: i64,
    pub(crate) tcp_bytes_per_connection: i64,
    /// The clients are on the same machine: both ends of each connection count.
    pub(crate) both_ends: bool,
}

/// One shard. What nobody could see is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardShare {
    /// Of one core while measuring.
    pub(crate) cpu_percent: Option<f64>,
    /// When the last client had joined.
    pub(crate) connections: Option<u64>,
    /// While measuring.
    pub(crate) deliveries: Option<u64>,
}

/// Null for less than two shards, and where nothing was shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) cpu: Option<f64>,
    pub(crate) connections: Option<f64>,
    pub(crate) deliveries: Option<f64>,
}

/// The broker's own counters from before the first connection to after the
/// drain, beside what the clients have seen in that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// By the broker: given to frontends.
    pub(crate) deliveries: u64,
    /// By the clients: broadcasts of any phase that arrived.
    pub(crate) received: u64,
    /// Consumers that were too slow, by what became of that.
    pub(crate) slow: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Marks {
    /// A broker whose process is on another machine tells its usage itself.
    pub(crate) fn take_usage_from_metrics(&mut self) {
        let looks = &self.looks;
        for (sample, look) in [
            (&mut self.before, &looks.before),
            (&mut self.settled, &looks.settled),
            (&mut self.measured_from, &looks.measured_from),
            (&mut self.measured_to, &looks.measured_to),
        ] {
            let told = look.metrics.as_ref().map(|metrics| metrics.usage);
            sample.broker = sample.broker.or(told);
        }
    }
}

impl Spent {
    /// None where there was nothing to see.
    pub(super) fn new(
        marks: &Marks,
        delivered: u64,
        received: u64,
        connections: u64,
    ) -> Option<Self> {
        let looks = &marks.looks;
        let (from, to) = (&looks.measured_from, &looks.measured_to);
        let seconds = marks.measured.as_secs_f64();
        let is_seen = !looks.before.threads.is_empty() || looks.before.metrics.is_some();
        let shards = shards(&looks.settled, from, to, seconds);
        is_seen.then(|| Self {
            user_us_per_delivery: per_delivery(marks, delivered, |it| it.cpu - it.system),
            system_us_per_delivery: per_delivery(marks, delivered, |it| it.system),
            switches: switches(from, to, seconds),
            kernel: growth(
                looks.before.kernel,
                looks.settled.kernel,
                connections,
                marks.is_shared,
            ),
            balance: Balance {
                cpu: balance(shards.iter().map(|it| it.cpu_percent)),
                connections: balance(shards.iter().map(|it| it.connections.map(|n| n as f64))),
                deliveries: balance(shards.iter().map(|it| it.deliveries.map(|n| n as f64))),
            },
            shards,
            counters: looks
                .before
                .metrics
                .as_ref()
                .zip(looks.drained.metrics.as_ref())
                .map(|(before, after)| Counters::new(before, after, received)),
        })
    }
}

/// Only from `/proc`: metrics don't tell the system's part apart.
fn per_delivery(
    marks: &Marks,
    delivered: u64,
    time: impl Fn(&Usage) -> std::time::Duration,
) -> Option<f64> {
    if marks.looks.measured_from.threads.is_empty() {
        return None;
    }
    let of = |sample: &Sample| sample.broker.as_ref().map(&time);
    let used = of(&marks.measured_to)?.saturating_sub(of(&marks.measured_from)?);
    (delivered > 0).then(|| used.as_secs_f64() * 1e6 / delivered as f64)
}

fn switches(from: &Observation, to: &Observation, seconds: f64) -> Option<SwitchRates> {
    let is_seen = !from.threads.is_empty() && !to.threads.is_empty() && seconds > 0.0;
    let rate = |to: u64, from: u64| to.saturating_sub(from) as f64 / seconds;
    is_seen.then(|| SwitchRates {
        voluntary_per_s: rate(to.switches.voluntary, from.switches.voluntary),
        involuntary_per_s: rate(to.switches.involuntary, from.switches.involuntary),
    })
}

fn growth(
    before: Option<Kernel>,
    settled: Option<Kernel>,
    connections: u64,
    both_ends: bool,
) -> Option<KernelGrowth> {
    let (before, settled) = before.zip(settled)?;
    let connections = i64::try_from(connections).ok().filter(|count| *count > 0)?;
    let grown = |from: u64, to: u64| (to as i64).wrapping_sub(from as i64) / connections;
    Some(KernelGrowth {
        slab_bytes_per_connection: grown(before.slab_bytes, settled.slab_bytes),
        tcp_bytes_per_connection: grown(before.tcp_bytes, settled.tcp_bytes),
        both_ends,
    })
}

fn shards(
    settled: &Observation,
    from: &Observation,
    to: &Observation,
    seconds: f64,
) -> Vec<ShardShare> {
    let cpus = shard_cpus(to);
    let cpus_from = shard_cpus(from);
    let counters = |look: &Observation| -> Vec<ShardCounters> {
        let metrics = look.metrics.as_ref();
        metrics.map(|it| it.shards.clone()).unwrap_or_default()
    };
    let (joined, from, to) = (counters(settled), counters(from), counters(to));
    (0..cpus.len().max(to.len()))
        .map(|shard| ShardShare {
            cpu_percent: cpus
                .get(shard)
                .zip(cpus_from.get(shard))
                .and_then(|(to, from)| {
                    (seconds > 0.0).then(|| 100.0 * (to - from).max(0.0) / seconds)
                }),
            connections: joined.get(shard).map(|it| it.connections),
            deliveries: to
                .get(shard)
                .zip(from.get(shard))
                .map(|(to, from)| to.deliveries.saturating_sub(from.deliveries)),
        })
        .collect()
}

/// Seconds of each thread that is named as a shard, in the shards' order.
fn shard_cpus(look: &Observation) -> Vec<f64> {
    let mut cpus: Vec<(u32, f64)> = look
        .threads
        .iter()
        .filter_map(|thread| {
            let number = thread.name.strip_prefix("shard-")?.parse().ok()?;
            Some((number, thread.cpu.as_secs_f64()))
        })
        .collect();
    cpus.sort_unstable_by_key(|(number, _)| *number);
    cpus.into_iter().map(|(_, cpu)| cpu).collect()
}

fn balance(shares: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let shares: Vec<f64> = shares.collect::<Option<_>>()?;
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let fullest = shares.iter().copied().fold(0.0, f64::max);
    (shares.len() > 1 && mean > 0.0).then(|| fullest / mean)
}

impl Counters {
    fn difference(&self) -> Option<Difference> {
        let (deliveries, received) = (self.deliveries, self.received);
        (deliveries != received).then_some(Difference {
            deliveries,
            received,
        })
    }

    fn new(before: &Metrics, after: &Metrics, received: u64) -> Self {
        Self {
            deliveries: after.deliveries().saturating_sub(before.deliveries()),
            received,
            slow: grown(&before.slow, &after.slow),
            refused: grown(&before.refused, &after.refused),
        }
    }
}

/// What has been counted since; nothing of what has not.
fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since =
        |cause: &String, count: &u64| count.saturating_sub(before.get(cause).copied().unwrap_or(0));
    let counts = after
        .iter()
        .map(|(cause, count)| (cause.clone(), since(cause, count)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Lines of the summary, under the broker's first.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(user), Some(system)) = (self.user_us_per_delivery, self.system_us_per_delivery)
        {
            line(
                f,
                format_args!("{user:.2} us in user mode, {system:.2} us in the kernel"),
            )?;
        }
        if let Some(kernel) = &self.kernel {
            let ends = match kernel.both_ends {
                true => "both ends, ",
                false => "",
            };
            let slab = kernel.slab_bytes_per_connection;
            line(
                f,
                format_args!("{slab} bytes of kernel slab per connection ({ends}whole machine)"),
            )?;
        }
        if let Some(switches) = &self.switches {
            line(
                f,
                format_args!(
                    "{:.0} switches/s to wait, {:.0} switches/s forced",
                    switches.voluntary_per_s, switches.involuntary_per_s
                ),
            )?;
        }
        if let (Some(connections), shards) = (self.balance.connections, self.shards.len()) {
            line(
                f,
                format_args!("{shards} shards, the fullest has {connections:.2} times the mean"),
            )?;
        }
        if let Some(difference) = self.counters.as_ref().and_then(Counters::difference) {
            line(f, format_args!("{difference}"))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "             {text}")
}

/// Broker and clients don't agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    deliveries: u64,
    received: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            deliveries,
            received,
        } = self;
        write!(
            f,
            "counted {deliveries} deliveries, clients received {received}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::ThreadUsage;

    fn look(cpus_ms: [u64; 2], deliveries: [u64; 2]) -> Observation {
        let threads = [1, 0].map(|shard| ThreadUsage {
            name: format!("shard-{shard}"),
            cpu: Duration::from_millis(cpus_ms[shard]),
        });
        let other = ThreadUsage {
            name: "control".into(),
            cpu: Duration::from_secs(9),
        };
        Observation {
            threads: threads.into_iter().chain([other]).collect(),
            metrics: Some(Metrics {
                shards: deliveries
                    .map(|deliveries| ShardCounters {
                        connections: 4,
                        deliveries,
                    })
                    .into(),
                ..Metrics::default()
            }),
            ..Observation::default()
        }
    }

    #[test]
    fn shards_are_told_apart() {
        let mut marks = Marks {
            measured: Duration::from_secs(1),
            ..Marks::default()
        };
        marks.looks.before = look([0, 0], [0, 0]);
        marks.looks.settled = look([0, 0], [0, 0]);
        marks.looks.measured_from = look([0, 100], [5, 5]);
        marks.looks.measured_to = look([300, 200], [35, 15]);
        marks.looks.drained = look([300, 200], [40, 20]);
        let spent = Spent::new(&marks, 40, 59, 8).expect("seen");
        let cpus: Vec<_> = spent.shards.iter().map(|it| it.cpu_percent).collect();
        assert_eq!(cpus, [Some(30.0), Some(10.0)]);
        assert_eq!(spent.balance.cpu, Some(1.5));
        assert_eq!(spent.balance.connections, Some(1.0));
        assert_eq!(spent.balance.deliveries, Some(1.5));
        let counters = spent.counters.clone().expect("metrics");
        assert_eq!((counters.deliveries, counters.received), (60, 59));
        let told = "counted 60 deliveries, clients received 59";
        let text = spent.to_string();
        assert!(text.contains(told), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let same = Counters {
            received: 60,
            ..counters
        };
        assert_eq!(same.difference(), None);
    }

    #[test]
    fn usage_from_metrics_has_no_system_part() {
        let mut marks = Marks::default();
        let told = |ms| Observation {
            metrics: Some(Metrics {
                usage: Usage {
                    cpu: Duration::from_millis(ms),
                    ..Usage::default()
                },
                ..Metrics::default()
            }),
            ..Observation::default()
        };
        marks.looks.before = told(1);
        marks.looks.measured_from = told(2);
        marks.looks.measured_to = told(5);
        marks.take_usage_from_metrics();
        let cpu = |sample: &Sample| sample.broker.map(|usage| usage.cpu);
        assert_eq!(cpu(&marks.measured_to), Some(Duration::from_millis(5)));
        assert_eq!(marks.settled.broker, None);
        let spent = Spent::new(&marks, 10, 10, 1).expect("seen");
        assert_eq!(spent.system_us_per_delivery, None);
    }

    #[test]
    fn nothing_seen_is_nothing_said() {
        assert_eq!(Spent::new(&Marks::default(), 1, 1, 1), None);
    }

    #[test]
    fn kernel_memory_can_shrink() {
        let kernel = |slab_bytes| {
            Some(Kernel {
                slab_bytes,
                tcp_bytes: 0,
            })
        };
        let grown = |to, connections| {
            let growth = growth(kernel(1000), kernel(to), connections, true)?;
            Some(growth.slab_bytes_per_connection)
        };
        assert_eq!(grown(3000, 2), Some(1000));
        assert_eq!(grown(0, 2), Some(-500));
        assert_eq!(grown(3000, 0), None);
    }

    #[test]
    fn one_shard_has_no_balance() {
        assert_eq!(balance([Some(1.0)].into_iter()), None);
        assert_eq!(balance([Some(0.0), Some(0.0)].into_iter()), None);
        assert_eq!(balance([Some(1.0), None].into_iter()), None);
        assert_eq!(balance([Some(1.0), Some(3.0)].into_iter()), Some(1.5));
    }
}
