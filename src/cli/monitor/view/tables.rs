//! Shards, channels, vhosts and limits as tables, in the order asked for.

use std::cmp::Reverse;

use super::figures::{UNKNOWN, bytes, count, number, quantity, rate};
use super::limits::{plain_name, used_share};
use super::table::{Cell, Column, Table};
use crate::cli::monitor::model::{Model, Order, Picture};
use crate::cli::monitor::rates::{ShardRates, VhostRates};
use crate::control::stats::{ChannelStats, Headroom, ShardStats, VhostStats};

pub(super) fn shards(model: &Model) -> Table {
    let picture = model.picture();
    let mut shards: Vec<(&ShardStats, Option<&ShardRates>)> = picture
        .stats
        .iter()
        .flat_map(|stats| &stats.shards)
        .enumerate()
        .map(|(at, shard)| (shard, shard_rates(picture, at)))
        .collect();
    match model.order {
        Order::Usual | Order::Name => shards.sort_by_key(|(shard, _)| shard.shard),
        Order::Busiest => {
            let busy = |rates: Option<&ShardRates>| rates.map_or(0.0, |rates| rates.busy);
            shards.sort_by(|(_, a), (_, b)| busy(*b).total_cmp(&busy(*a)));
        }
        Order::Largest => shards.sort_by_key(|(shard, _)| Reverse(shard.frontends)),
    }
    let row = |(shard, rates): (&ShardStats, Option<&ShardRates>)| {
        vec![
            Cell::Name(shard.shard.to_string()),
            rates.map_or(Cell::Name(UNKNOWN.into()), |rates| Cell::Load(rates.busy)),
            Cell::Figure(count(shard.frontends)),
            Cell::Figure(count(shard.backends)),
            Cell::Figure(known(rates.map(|rates| rates.deliveries))),
            Cell::Figure(count(shard.ring_envelopes)),
            Cell::Figure(bytes(shard.outbox_bytes as f64)),
            Cell::Figure(count(shard.evicted)),
        ]
    };
    Table {
        columns: vec![
            column("SHARD", 5, 0),
            growing("LOAD", 6, 1, 1),
            column("FRONTENDS", 9, 3),
            column("BACKENDS", 8, 7),
            column("DELIVERIES/S", 12, 2),
            column("RING", 5, 5),
            column("OUTBOX", 7, 4),
            column("EVICTED", 7, 6),
        ],
        rows: shards.into_iter().map(row).collect(),
        empty: "no shards",
    }
}

pub(super) fn channels(model: &Model) -> Table {
    let picture = model.picture();
    let mut channels: Vec<(&ChannelStats, Option<f64>)> = picture
        .stats
        .iter()
        .flat_map(|stats| &stats.top_channels)
        .enumerate()
        .map(|(at, channel)| (channel, channel_rate(picture, at)))
        .collect();
    match model.order {
        // As the node gives them.
        Order::Usual => {}
        Order::Busiest => {
            let busy = |at: &(&ChannelStats, _)| deliveries(at.0, at.1).unwrap_or(0.0);
            channels.sort_by(|a, b| busy(b).total_cmp(&busy(a)));
        }
        Order::Largest => channels.sort_by_key(|(channel, _)| Reverse(channel.subscribers)),
        Order::Name => channels.sort_by_key(|(channel, _)| (&channel.channel, &channel.vhost)),
    }
    let row = |(channel, rate): (&ChannelStats, Option<f64>)| {
        vec![
            Cell::Name(channel.channel.clone()),
            Cell::Name(channel.vhost.clone()),
            Cell::Figure(count(channel.subscribers)),
            Cell::Figure(known(rate)),
            Cell::Figure(known(deliveries(channel, rate))),
        ]
    };
    Table {
        columns: vec![
            growing("CHANNELS", 16, 2, 0),
            growing("VHOST", 8, 1, 2),
            column("SUBSCRIBERS", 11, 3),
            column("BROADCASTS/S", 12, 1),
            column("~DELIVERIES/S", 13, 4),
        ],
        rows: channels.into_iter().map(row).collect(),
        empty: "no channel has had a broadcast of late",
    }
}

pub(super) fn vhosts(model: &Model) -> Table {
    let picture = model.picture();
    let mut vhosts: Vec<(&VhostStats, Option<&VhostRates>)> = picture
        .stats
        .iter()
        .flat_map(|stats| &stats.vhosts)
        .enumerate()
        .map(|(at, vhost)| (vhost, vhost_rates(picture, at)))
        .collect();
    match model.order {
        Order::Usual | Order::Busiest => {
            let busy = |rates: Option<&VhostRates>| rates.map_or(0.0, |rates| rates.deliveries);
            vhosts.sort_by(|(_, a), (_, b)| busy(*b).total_cmp(&busy(*a)));
        }
        Order::Largest => vhosts.sort_by_key(|(vhost, _)| Reverse(vhost.frontends)),
        Order::Name => vhosts.sort_by_key(|(vhost, _)| &vhost.path),
    }
    let row = |(vhost, rates): (&VhostStats, Option<&VhostRates>)| {
        vec![
            Cell::Name(vhost_name(vhost)),
            Cell::Figure(count(vhost.frontends)),
            Cell::Figure(count(vhost.channels)),
            Cell::Figure(count(vhost.workers)),
            Cell::Figure(known(rates.map(|rates| rates.broadcasts))),
            Cell::Figure(known(rates.map(|rates| rates.deliveries))),
            Cell::Figure(known(rates.map(|rates| rates.triggers))),
        ]
    };
    Table {
        columns: vec![
            growing("VHOSTS", 16, 1, 0),
            column("FRONTENDS", 9, 2),
            column("CHANNELS", 8, 4),
            column("WORKERS", 7, 5),
            column("BROADCASTS/S", 12, 3),
            column("DELIVERIES/S", 12, 1),
            column("TRIGGERS/S", 10, 6),
        ],
        rows: vhosts.into_iter().map(row).collect(),
        empty: "no vhost yet; `webrocket admin add-vhost /name` makes one",
    }
}

/// The sum of those past the node's bound has no path.
fn vhost_name(vhost: &VhostStats) -> String {
    if vhost.path == "other" {
        "(all others)".into()
    } else {
        vhost.path.clone()
    }
}

/// In the node's order: the one that binds first in front.
pub(super) fn limits(model: &Model) -> Table {
    let limits = model
        .picture()
        .stats
        .iter()
        .flat_map(|stats| &stats.headroom);
    let row = |limit: &Headroom| {
        vec![
            Cell::Name(plain_name(&limit.limit).into()),
            Cell::Load(used_share(limit)),
            Cell::Figure(used_of(limit)),
        ]
    };
    Table {
        columns: vec![
            growing("HEADROOM", 27, 1, 0),
            growing("USED", 6, 1, 1),
            column("", 28, 2),
        ],
        rows: limits.map(row).collect(),
        empty: "the node tells no limits",
    }
}

/// `0.83 of 1 core`.
pub(super) fn used_of(limit: &Headroom) -> String {
    let most = quantity(limit.max, &limit.unit);
    if limit.unit == "bytes" {
        format!("{} of {most}", bytes(limit.used))
    } else {
        format!("{} of {most}", number(limit.used))
    }
}

fn column(title: &'static str, width: u16, rank: u8) -> Column {
    Column {
        title,
        width,
        grows: 0,
        rank,
    }
}

fn growing(title: &'static str, width: u16, grows: u16, rank: u8) -> Column {
    Column {
        title,
        width,
        grows,
        rank,
    }
}

fn known(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.into(), rate)
}

/// A channel counts its broadcasts; each of them went to about as many as
/// subscribe it now.
fn deliveries(channel: &ChannelStats, rate: Option<f64>) -> Option<f64> {
    rate.map(|rate| rate * channel.subscribers as f64)
}

fn shard_rates(picture: &Picture, at: usize) -> Option<&ShardRates> {
    picture.rates.as_ref()?.shards.get(at)
}

fn vhost_rates(picture: &Picture, at: usize) -> Option<&VhostRates> {
    picture.rates.as_ref()?.vhosts.get(at)?.as_ref()
}

fn channel_rate(picture: &Picture, at: usize) -> Option<f64> {
    *picture.rates.as_ref()?.channels.get(at)?
}
