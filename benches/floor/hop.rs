//! From one core to the other: a bare wake-up, and the broker's rings.

use std::hint::black_box;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use webrocket::hub::bundle::{self, Bundles, Label};
use webrocket::hub::envelope::{Delivery, Receipt, Request};
use webrocket::hub::label::{FrameLabel, PublishLabel};
use webrocket::limits::RING_ENVELOPES_MAX;
use webrocket::mesh::{self, ShardPort};
use webrocket::meter::Moment;
use webrocket::model::{ChannelId, ConnId, Peer};
use webrocket::net::Driver;

use crate::cluster::Hop;
use crate::machine::{self, SERVER_CORE};

/// Envelopes between two flushes.
const BATCH: usize = 64;

/// Envelopes between two rests of the sender, far fewer than a ring holds.
const BURST: usize = 16 * BATCH;

/// As many as leave the sender's backlog empty, however late the receiver is.
const LONG_BURST: usize = 48 * BATCH;

const _: () = assert!(LONG_BURST < RING_ENVELOPES_MAX);

const REST: Duration = Duration::from_micros(500);

/// One wake-up of a thread on another core that waits for an eventfd, in
/// nanoseconds: half a round trip, the mean of so many.
pub(crate) fn wake_up(rounds: usize) -> io::Result<f64> {
    let [there, back] = [counter()?, counter()?];
    let started = thread::scope(|scope| {
        let echo = scope.spawn(|| {
            machine::pin_to_core(SERVER_CORE)?;
            (0..=rounds).try_for_each(|_| wait(&there).and_then(|()| ring(&back)))
        });
        let ask = || ring(&there).and_then(|()| wait(&back));
        // The other one is there.
        ask()?;
        let started = Instant::now();
        (0..rounds).try_for_each(|_| ask())?;
        let elapsed = started.elapsed();
        echo.join()
            .map_err(|_| io::Error::other("the echo panicked"))??;
        Ok::<_, io::Error>(elapsed)
    })?;
    Ok(started.as_nanos() as f64 / rounds as f64 / 2.0)
}

fn counter() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

fn ring(counter: &OwnedFd) -> io::Result<()> {
    write(counter, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn wait(counter: &OwnedFd) -> io::Result<()> {
    read(counter, &mut [0_u8; 8])?;
    Ok(())
}

/// What envelopes from one shard to another took, and how often the receiver slept.
struct Passage {
    sent_ns: u64,
    received_ns: u64,
    envelopes: usize,
    sleeps: usize,
}

impl Passage {
    /// For each envelope.
    fn both_ns(&self) -> f64 {
        (self.sent_ns + self.received_ns) as f64 / self.envelopes as f64
    }
}

/// CPU of a hop in nanoseconds, its parts apart.
pub(crate) struct Parts {
    /// What hops, while nobody sleeps.
    pub(crate) hop: Hop,
    /// Ending a sleep of the receiver, for the sender and the receiver.
    pub(crate) wake: f64,
    pub(crate) woken: f64,
}

/// What hops.
#[derive(Clone, Copy)]
pub(crate) enum Cargo {
    /// Small events on their way to their channel's home, put together as the broker does.
    Events,
    /// Small frames on their way from there, put together as well.
    Frames,
    /// Events each in an envelope of its own, as long ones are.
    Envelopes,
    /// The same, their frames let go one by one, as the broker does not.
    EnvelopesOneByOne,
}

/// CPU of both sides for one event or frame, in nanoseconds: the sender's, its rests left
/// out, and the receiver's, which waits in its ring as a shard does whenever
/// nothing is there, about once a burst.
pub(crate) fn batched(cargo: Cargo, count: usize) -> io::Result<f64> {
    let it = pass(count, BURST, cargo)?;
    Ok(it.both_ns())
}

/// Of an envelope, both sides, while hardly anybody sleeps: with frames let go as
/// the broker does, and each as soon as it was read.
pub(crate) fn releases(envelopes: usize) -> io::Result<[f64; 2]> {
    let [together, one_by_one] = [Cargo::Envelopes, Cargo::EnvelopesOneByOne]
        .map(|cargo| pass(envelopes, LONG_BURST, cargo));
    Ok([together?.both_ns(), one_by_one?.both_ns()])
}

/// Of long bursts with few sleeps, and of short ones with many.
pub(crate) fn parts(cargo: Cargo, count: usize) -> io::Result<Parts> {
    let long = pass(count, LONG_BURST, cargo)?;
    let short = pass(count / 32, BATCH, cargo)?;
    // What an envelope takes, and what a sleep does.
    let solve = |of: fn(&Passage) -> u64| {
        let [many, few] = [&long, &short].map(|it| of(it) as f64);
        let [n, k] = [long.envelopes, long.sleeps].map(|count| count as f64);
        let [m, l] = [short.envelopes, short.sleeps].map(|count| count as f64);
        let envelope = ((many * l - few * k) / (n * l - m * k)).max(0.0);
        (envelope, ((few - envelope * m) / l).max(0.0))
    };
    let (send, wake) = solve(|it| it.sent_ns);
    let (receive, woken) = solve(|it| it.received_ns);
    Ok(Parts {
        hop: Hop { send, receive },
        wake,
        woken,
    })
}

/// A look of one shard of so many at all its rings, of which none holds anything,
/// as a turn has it: in nanoseconds, the mean of so many.
pub(crate) fn look(shards: u16, rounds: usize) -> io::Result<f64> {
    let (mut ports, _control) = mesh::build(shards)?;
    let port = ports.first_mut().ok_or(io::ErrorKind::NotFound)?;
    let started = machine::thread_cpu_ns();
    for _ in 0..rounds {
        black_box(port.take_delivery().is_none());
        black_box(port.take_request().is_none());
        black_box(port.has_incoming());
    }
    Ok((machine::thread_cpu_ns() - started) as f64 / rounds as f64)
}

fn pass(envelopes: usize, burst: usize, cargo: Cargo) -> io::Result<Passage> {
    let (mut ports, control) = mesh::build(2)?;
    let bursts = envelopes.div_ceil(burst);
    let receiver = ports.pop().ok_or(io::ErrorKind::NotFound)?;
    let sender = ports.pop().ok_or(io::ErrorKind::NotFound)?;
    let passage = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(receiver, bursts * burst, cargo));
        let sent_ns = send(sender, bursts, burst, cargo)?;
        let (received_ns, sleeps) = receiving
            .join()
            .map_err(|_| io::Error::other("the receiver panicked"))??;
        Ok::<_, io::Error>(Passage {
            sent_ns,
            received_ns,
            envelopes: bursts * burst,
            sleeps,
        })
    })?;
    drop(control);
    Ok(passage)
}

fn send(mut port: ShardPort, bursts: usize, burst: usize, cargo: Cargo) -> io::Result<u64> {
    let frame = Bytes::from(vec![b'x'; 100]);
    let frame_label = FrameLabel {
        channel: ChannelId(1),
        accepted: Moment::default(),
        custom: true,
        echo_of: None,
    };
    let conn = ConnId {
        slot: 0,
        generation: 0,
    };
    let label = PublishLabel {
        channel: ChannelId(1),
        accepted: Moment::default(),
        receipt: Receipt::Echo(Peer { shard: 0, conn }),
    };
    let mut to_subscribers = Bundles::new(2);
    let mut to_homes = Bundles::new(2);
    let mut spent = 0;
    for _ in 0..bursts {
        let before = machine::thread_cpu_ns();
        for _ in 0..burst / BATCH {
            for _ in 0..BATCH {
                // What finds its ring full waits in the backlog.
                match cargo {
                    Cargo::Events => {
                        if to_homes.add(1, label, &frame)
                            && let Some(frames) = to_homes.take(1)
                        {
                            port.request(1, Request::Bundle { frames });
                        }
                    }
                    Cargo::Frames => {
                        if to_subscribers.add(1, frame_label, &frame)
                            && let Some(frames) = to_subscribers.take(1)
                        {
                            port.deliver(1, Delivery::Bundle { frames });
                        }
                    }
                    Cargo::Envelopes | Cargo::EnvelopesOneByOne => {
                        port.request(1, label.with(frame.clone()));
                    }
                }
            }
            while let Some((to, frames)) = to_homes.take_any() {
                port.request(to, Request::Bundle { frames });
            }
            while let Some((to, frames)) = to_subscribers.take_any() {
                port.deliver(to, Delivery::Bundle { frames });
            }
            port.flush();
        }
        spent += machine::thread_cpu_ns() - before;
        // The timer that ends the rest is no part of a hop.
        thread::sleep(REST);
    }
    while !port.has_room() {
        thread::sleep(REST);
        let before = machine::thread_cpu_ns();
        port.flush();
        spent += machine::thread_cpu_ns() - before;
    }
    Ok(spent)
}

fn receive(mut port: ShardPort, envelopes: usize, cargo: Cargo) -> io::Result<(u64, usize)> {
    machine::pin_to_core(SERVER_CORE)?;
    let sleeper = port.sleeper();
    let mut driver = Driver::new()?;
    driver.watch_wakeups(sleeper.event())?;
    let mut events = Vec::new();
    let before = machine::thread_cpu_ns();
    let (mut taken, mut sleeps) = (0, 0);
    while taken < envelopes {
        while let Some(request) = port.take_request() {
            match request {
                Request::Publish { frame, .. } => {
                    taken += 1;
                    match cargo {
                        Cargo::EnvelopesOneByOne => drop(black_box(frame)),
                        _ => port.let_go(black_box(frame)),
                    }
                }
                Request::Bundle { frames } => {
                    taken += count::<PublishLabel>(&frames);
                    port.let_go(frames);
                }
                _ => {}
            }
        }
        while let Some(delivery) = port.take_delivery() {
            if let Delivery::Bundle { frames } = delivery {
                taken += count::<FrameLabel>(&frames);
                port.let_go(frames);
            }
        }
        port.flush();
        sleeper.sleep();
        if taken < envelopes && !port.has_incoming() {
            driver.poll(None, &mut events)?;
            events.clear();
            sleeps += 1;
        }
        sleeper.awake();
    }
    Ok((machine::thread_cpu_ns() - before, sleeps))
}

fn count<L: Label>(frames: &[u8]) -> usize {
    bundle::frames::<L>(frames).map(black_box).count()
}
