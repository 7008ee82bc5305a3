//! Rings between shards, between control and shards, and their wake-ups.
//!
//! Every ring is bounded and has one producer and one consumer. What a shard
//! may refuse to its connections goes through [`ShardPort::try_request`]: a
//! full ring says no and the connection waits. What must arrive (answers,
//! leaves, changes) goes through the other calls: past the ring it queues in a
//! backlog on the sender's side, and the sender takes no further work that
//! would add to it until [`ShardPort::flush`] has emptied it.

#![forbid(unsafe_code)]

mod port;
mod wake;

pub use port::{ControlPort, ShardPort, Wakeups};
pub use wake::Sleeper;

use std::io;

use rtrb::RingBuffer;
use tokio::sync::mpsc;

use crate::limits::{CONTROL_INBOX_MAX, RING_ENVELOPES_MAX};
use crate::model::ShardId;
use crate::sys::EventFd;

/// Builds the ports of `shards` shards and of control.
///
/// # Errors
/// When a shard's eventfd can't be had.
pub fn build(shards: u16) -> io::Result<(Vec<ShardPort>, ControlPort)> {
    let wakers = (0..shards)
        .map(|_| Ok(wake::Waker::new(EventFd::new()?)))
        .collect::<io::Result<Vec<_>>>()?;
    let (to_control, from_shards) = mpsc::channel(CONTROL_INBOX_MAX);
    let mut ports: Vec<ShardPort> = (0..shards)
        .map(|id| ShardPort::new(id, wakers.clone(), to_control.clone()))
        .collect();
    for from in 0..shards {
        for to in (0..shards).filter(|&to| to != from) {
            link(&mut ports, from, to);
        }
    }
    let outlets = ports
        .iter_mut()
        .map(|port| {
            let (producer, consumer) = RingBuffer::new(RING_ENVELOPES_MAX);
            port.from_control = Some(consumer);
            producer
        })
        .collect();
    Ok((ports, ControlPort::new(outlets, wakers, from_shards)))
}

fn link(ports: &mut [ShardPort], from: ShardId, to: ShardId) {
    let (producer, consumer) = RingBuffer::new(RING_ENVELOPES_MAX);
    ports[usize::from(from)].requests_out[usize::from(to)] = Some(producer.into());
    ports[usize::from(to)].requests_in.push(consumer);
    let (producer, consumer) = RingBuffer::new(RING_ENVELOPES_MAX);
    ports[usize::from(from)].deliveries_out[usize::from(to)] = Some(producer.into());
    ports[usize::from(to)].deliveries_in.push(consumer);
}

#[cfg(test)]
mod tests;
