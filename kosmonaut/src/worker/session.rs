//! One connection of a worker (section 4.4): registers, beats, receives.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};

use super::crew::Crew;
use super::{Disconnect, Notice, Notices};
use crate::connection::{Broken, Connection, Progress, Role};
use crate::limits::{CONNECT_TIMEOUT, FAREWELL_TIMEOUT, HEARTBEAT_INTERVAL, SILENCE_MAX};
use crate::url::Url;
use crate::wire::{self, Packet};

pub(super) enum End {
    /// Asked to stop.
    Stopped,
    /// 402: the same URL will never do.
    Unauthorized,
    Lost {
        cause: Disconnect,
        /// Time that the worker was registered.
        lived: Duration,
    },
}

/// Connects and serves until one side ends it.
pub(super) async fn run<S: Future>(
    url: &Url,
    crew: &mut Crew<'_>,
    mut shutdown: Pin<&mut S>,
    notices: &Notices,
) -> End {
    let ready = wire::encode("RD", &[]);
    let opening = Connection::open(url, Role::Worker, &ready);
    let opened = tokio::select! {
        biased;
        _ = shutdown.as_mut() => return End::Stopped,
        never = crew.work_on() => match never {},
        opened = timeout(CONNECT_TIMEOUT, opening) => opened,
    };
    let mut connection = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(connection) => connection,
        Err(error) => {
            return End::Lost {
                cause: Disconnect::Connect(error),
                lived: Duration::ZERO,
            };
        }
    };
    let mut ready_since = None;
    let outcome = serve(&mut connection, crew, shutdown, notices, &mut ready_since).await;
    match outcome {
        Outcome::Stopped => {
            take_leave(&mut connection, crew).await;
            End::Stopped
        }
        Outcome::Refused(402) => End::Unauthorized,
        Outcome::Refused(code) => lost(Disconnect::Refused(code), ready_since),
        Outcome::Closed => lost(Disconnect::Closed, ready_since),
        Outcome::Silent => lost(Disconnect::Silent, ready_since),
        Outcome::TooLarge => lost(Disconnect::TooLarge, ready_since),
    }
}

fn lost(cause: Disconnect, ready_since: Option<Instant>) -> End {
    End::Lost {
        cause,
        lived: ready_since.map_or(Duration::ZERO, |since| since.elapsed()),
    }
}

enum Outcome {
    Stopped,
    Refused(u16),
    Closed,
    Silent,
    TooLarge,
}

async fn serve<S: Future>(
    connection: &mut Connection,
    crew: &mut Crew<'_>,
    mut shutdown: Pin<&mut S>,
    notices: &Notices,
    ready_since: &mut Option<Instant>,
) -> Outcome {
    let heartbeat = wire::encode("HB", &[]);
    let mut beat = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
    // After a stall one beat is owed, not all that were missed.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_reading = true;
    // Beats turn the loop twice a second, whatever else happens.
    let mut turned = Instant::now();
    loop {
        let reading = crew.has_room();
        // While we didn't read, or a handler blocked the runtime, the silence
        // was ours: what the broker said waits in the socket.
        let stalled = turned.elapsed() > 2 * HEARTBEAT_INTERVAL;
        if stalled || (reading && !was_reading) {
            connection.restart_silence();
        }
        was_reading = reading;
        turned = Instant::now();
        let silent_at = connection.heard() + SILENCE_MAX;
        // The heartbeat goes before a flood of events, and what has come is
        // read before the broker is called silent.
        tokio::select! {
            biased;
            _ = shutdown.as_mut() => return Outcome::Stopped,
            _ = beat.tick() => {
                // A broker that reads nothing gets no pile of beats.
                if connection.unwritten_bytes() == 0 {
                    connection.queue(&heartbeat);
                }
            }
            () = crew.work() => {}
            progress = connection.progress(reading) => match progress {
                Ok(Progress::Packet(Packet::Heartbeat)) => {
                    if ready_since.is_none() {
                        *ready_since = Some(Instant::now());
                        notices.tell(Notice::Ready);
                    }
                }
                Ok(Progress::Packet(Packet::Trigger(trigger))) => crew.handle_trigger(&trigger),
                Ok(Progress::Packet(Packet::Refused(code))) => return Outcome::Refused(code),
                Ok(Progress::Packet(Packet::Quit)) | Err(Broken::Closed) => return Outcome::Closed,
                Err(Broken::TooLarge) => return Outcome::TooLarge,
                // Nothing that a worker is ever told.
                Ok(Progress::Packet(Packet::Done | Packet::Token(_) | Packet::Other)) => {}
                Ok(Progress::Written) => {}
            },
            () = sleep_until(silent_at), if reading => {
                // Bytes of an unfinished packet may have come since.
                if connection.heard() + SILENCE_MAX <= Instant::now() {
                    return Outcome::Silent;
                }
            }
        }
    }
}

/// Says `QT` and takes the events that were on their way, until the broker
/// closes. Events past the room left are not waited for.
async fn take_leave(connection: &mut Connection, crew: &mut Crew<'_>) {
    connection.queue(&wire::encode("QT", &[]));
    let deadline = Instant::now() + FAREWELL_TIMEOUT;
    loop {
        let reading = crew.has_room();
        let progress = tokio::select! {
            biased;
            () = crew.work() => continue,
            progress = timeout_at(deadline, connection.progress(reading)) => progress,
        };
        match progress {
            Ok(Ok(Progress::Packet(Packet::Trigger(trigger)))) => crew.handle_trigger(&trigger),
            Ok(Ok(Progress::Packet(Packet::Heartbeat) | Progress::Written)) => {}
            _ => return,
        }
    }
}
