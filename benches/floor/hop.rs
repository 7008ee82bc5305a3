//! From one core to the other: a bare wake-up, and the broker's rings.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use webrocket::hub::envelope::{Receipt, Request};
use webrocket::mesh::{self, ShardPort};
use webrocket::meter::Moment;
use webrocket::model::{ChannelId, ConnId, Peer};
use webrocket::net::Driver;

use crate::machine::{self, SERVER_CORE};

/// Envelopes between two flushes.
const BATCH: usize = 64;

/// Envelopes between two rests of the sender, far fewer than a ring holds.
const BURST: usize = 16 * BATCH;

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

/// CPU of both sides for one envelope, in nanoseconds: the sender's and the
/// receiver's, which waits in its ring as a shard does whenever nothing is there.
pub(crate) fn batched(envelopes: usize) -> io::Result<f64> {
    let (mut ports, control) = mesh::build(2)?;
    let bursts = envelopes.div_ceil(BURST);
    let receiver = ports.pop().ok_or(io::ErrorKind::NotFound)?;
    let sender = ports.pop().ok_or(io::ErrorKind::NotFound)?;
    let spent = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(receiver, bursts * BURST));
        let sent = send(sender, bursts)?;
        let received = receiving
            .join()
            .map_err(|_| io::Error::other("the receiver panicked"))??;
        Ok::<_, io::Error>(sent + received)
    })?;
    drop(control);
    Ok(spent as f64 / (bursts * BURST) as f64)
}

fn send(mut port: ShardPort, bursts: usize) -> io::Result<u64> {
    let frame = bytes::Bytes::from(vec![b'x'; 100]);
    let conn = ConnId {
        slot: 0,
        generation: 0,
    };
    let before = machine::thread_cpu_ns();
    for _ in 0..bursts {
        for _ in 0..BURST / BATCH {
            for _ in 0..BATCH {
                let publish = Request::Publish {
                    channel: ChannelId(1),
                    receipt: Receipt::Echo(Peer { shard: 0, conn }),
                    accepted: Moment::default(),
                    frame: frame.clone(),
                };
                // Waits in the backlog where the receiver is late.
                port.request(1, publish);
            }
            port.flush();
        }
        thread::sleep(REST);
    }
    while !port.has_room() {
        thread::sleep(REST);
        port.flush();
    }
    Ok(machine::thread_cpu_ns() - before)
}

fn receive(mut port: ShardPort, envelopes: usize) -> io::Result<u64> {
    machine::pin_to_core(SERVER_CORE)?;
    let sleeper = port.sleeper();
    let mut driver = Driver::new()?;
    driver.watch_wakeups(sleeper.event())?;
    let mut events = Vec::new();
    let before = machine::thread_cpu_ns();
    let mut taken = 0;
    while taken < envelopes {
        while let Some(request) = port.take_request() {
            drop(std::hint::black_box(request));
            taken += 1;
        }
        sleeper.sleep();
        if taken < envelopes && !port.has_incoming() {
            driver.poll(None, &mut events)?;
            events.clear();
        }
        sleeper.awake();
    }
    Ok(machine::thread_cpu_ns() - before)
}
