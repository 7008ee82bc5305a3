//! The network card that carries the default route: how many cores take part in
//! receiving, and whether cores share its queues for sending.

use std::collections::BTreeSet;

use super::Demand;
use super::figures::counted;
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::{Host, cpu_list, cpu_mask};

/// Flows that RFS remembers over all queues: what the kernel's `scaling.rst` finds right
/// for a server. They are active ones, far fewer than there are connections.
const FLOWS: u64 = 32_768;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    let Some(card) = default_card(host) else {
        return;
    };
    findings.extend(receive(host, demand, &card));
    findings.extend(flow_steering(host, &card));
    findings.extend(send(host, demand, &card));
}

/// The NUMA node of the card; none where there is one for all, or where nobody says.
pub(super) fn node(host: &Host) -> Option<u32> {
    let device = format!("sys/class/net/{}/device", default_card(host)?);
    let own = |folder: &str| host.number(&format!("{folder}/numa_node"));
    let node = own(&device).or_else(|| own(&format!("{device}/..")))?;
    u32::try_from(node).ok()
}

/// What mends queues and interrupts of a card at once.
fn script(card: &str) -> Fix {
    Fix::new(Place::Script, format!("webrocket-card {card}"))
}

/// The interface of the default route.
fn default_card(host: &Host) -> Option<String> {
    let routes = host.text("proc/net/route")?;
    routes.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (card, destination) = (words.next()?, words.next()?);
        (destination == "00000000").then(|| card.to_owned())
    })
}

fn queues(host: &Host, card: &str, kind: &str) -> Vec<String> {
    let mut queues = host.names(&format!("sys/class/net/{card}/queues"));
    queues.retain(|name| name.starts_with(kind));
    queues
}

/// Cores that the card's interrupts go to; a virtual card's are its parent's.
fn interrupt_cores(host: &Host, card: &str) -> BTreeSet<u32> {
    let device = format!("sys/class/net/{card}/device");
    let interrupts = [
        format!("{device}/msi_irqs"),
        format!("{device}/../msi_irqs"),
    ]
    .iter()
    .map(|folder| host.names(folder))
    .find(|names| !names.is_empty())
    .unwrap_or_default();
    interrupts
        .iter()
        .filter_map(|number| host.text(&format!("proc/irq/{number}/effective_affinity_list")))
        .filter_map(|list| cpu_list(&list))
        .flatten()
        .collect()
}

fn receive(host: &Host, demand: &Demand, card: &str) -> Option<Finding> {
    let queues = queues(host, card, "rx-");
    let steered = steered(host, card, &queues);
    let interrupted = interrupt_cores(host, card);
    // A queue interrupts one core; with fewer cores than queues they share.
    let by_interrupt = match interrupted.len() {
        0 => queues.len(),
        cores => queues.len().min(cores),
    };
    let cores = by_interrupt.max(steered.len()) as u64;
    let severity = Severity::Warning.unless(cores >= demand.shards || queues.is_empty());
    let all = mask(&host.cores()?);
    Some(Finding {
        id: "receive-queues",
        group: Group::Card,
        severity,
        affects: Affects::Deliveries,
        found: format!(
            "{card}: {} on {}, RPS {}",
            counted(queues.len() as u64, "queue"),
            counted(cores, "core"),
            if steered.is_empty() { "off" } else { "on" }
        ),
        wanted: format!("{} that receive", counted(demand.shards, "core")),
        limits: "The kernel's part of receiving runs on the cores that the card interrupts: \
                 where they are fewer than shards, they are full while others wait. RPS \
                 spreads it in software."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![
                script(card),
                Fix::new(
                    Place::Tmpfiles,
                    format!("w /sys/class/net/{card}/queues/rx-*/rps_cpus - - - - {all}"),
                ),
            ],
        },
    })
}

/// RPS takes any core; with RFS beside it, that of the connection's shard.
fn flow_steering(host: &Host, card: &str) -> Option<Finding> {
    let queues = queues(host, card, "rx-");
    let [entries] = host.sysctl("net.core.rps_sock_flow_entries")?;
    let steered = steered(host, card, &queues);
    let remembers = entries > 0
        && queues.iter().all(|queue| {
            let flows = format!("sys/class/net/{card}/queues/{queue}/rps_flow_cnt");
            host.number(&flows).is_some_and(|flows| flows > 0)
        });
    let severity = Severity::Note.unless(steered.is_empty() || remembers);
    let each = FLOWS / queues.len().max(1) as u64;
    Some(Finding {
        id: "flow-steering",
        group: Group::Card,
        severity,
        affects: Affects::Deliveries,
        found: match (steered.is_empty(), remembers) {
            (true, _) => format!("{card}: RPS off"),
            (_, true) => format!("{card}: RPS and RFS on"),
            (_, false) => format!("{card}: RPS without RFS"),
        },
        wanted: "RFS where RPS is on".into(),
        limits: "RPS picks a core by a hash; RFS picks the one on which the connection's shard \
                 runs, so that what arrives is not handed on once more."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![
                script(card),
                Fix::new(
                    Place::Tmpfiles,
                    format!("w /proc/sys/net/core/rps_sock_flow_entries - - - - {FLOWS}"),
                ),
                Fix::new(
                    Place::Tmpfiles,
                    format!("w /sys/class/net/{card}/queues/rx-*/rps_flow_cnt - - - - {each}"),
                ),
            ],
        },
    })
}

/// Cores that RPS hands the card's packets to.
fn steered(host: &Host, card: &str, queues: &[String]) -> BTreeSet<u32> {
    queues
        .iter()
        .filter_map(|queue| host.text(&format!("sys/class/net/{card}/queues/{queue}/rps_cpus")))
        .filter_map(|mask| cpu_mask(&mask))
        .flatten()
        .collect()
}

fn send(host: &Host, demand: &Demand, card: &str) -> Option<Finding> {
    let queues = queues(host, card, "tx-");
    let assigned: BTreeSet<u32> = queues
        .iter()
        .filter_map(|queue| host.text(&format!("sys/class/net/{card}/queues/{queue}/xps_cpus")))
        .filter_map(|mask| cpu_mask(&mask))
        .flatten()
        .collect();
    if queues.is_empty() {
        return None;
    }
    let cores = host.cores()?;
    let idle = queues.len() > 1 && assigned.is_empty() && demand.shards > 1;
    let severity = Severity::Note.unless(!idle);
    Some(Finding {
        id: "send-queues",
        group: Group::Card,
        severity,
        affects: Affects::Deliveries,
        found: format!(
            "{card}: {}, XPS {}",
            counted(queues.len() as u64, "queue"),
            match (queues.len(), assigned.is_empty()) {
                (1, _) => "of no use",
                (_, true) => "off",
                (_, false) => "on",
            }
        ),
        wanted: "XPS where there are several queues".into(),
        limits: "Without XPS cores take each other's queues, and each other's locks, to send."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            // With more queues than cores the last ones are nobody's.
            _ => std::iter::once(script(card))
                .chain(
                    queues
                        .iter()
                        .enumerate()
                        .take(cores.len())
                        .map(|(at, queue)| {
                            let own: Vec<u32> = cores
                                .iter()
                                .copied()
                                .skip(at)
                                .step_by(queues.len())
                                .collect();
                            let file = format!("/sys/class/net/{card}/queues/{queue}/xps_cpus");
                            Fix::new(Place::Tmpfiles, format!("w {file} - - - - {}", mask(&own)))
                        }),
                )
                .collect(),
        },
    })
}

/// A mask as the kernel reads it: words of eight digits, the highest first.
fn mask(cores: &[u32]) -> String {
    let words = cores.iter().max().map_or(1, |last| last / 32 + 1);
    let word = |word: u32| {
        let bits = cores.iter().filter(|core| *core / 32 == word);
        bits.fold(0_u32, |bits, core| bits | 1 << (core % 32))
    };
    let mut text = format!("{:x}", word(words - 1));
    for at in (0..words - 1).rev() {
        text.push_str(&format!(",{:08x}", word(at)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_as_they_are_written() {
        for cores in [vec![0], vec![0, 1, 31], vec![2, 32, 95]] {
            assert_eq!(cpu_mask(&mask(&cores)), Some(cores));
        }
        assert_eq!(mask(&[]), "0");
        assert_eq!(mask(&[0, 32]), "1,00000001");
    }
}
