//! The kept connection (section 4.3): one task owns it, callers hand it their
//! requests, answers come back in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::connection::{Broken, Connection, Progress, Role};
use crate::error::Error;
use crate::limits::{
    OUTGOING_BYTES_MAX, PROBE_AFTER, PROBE_TIMEOUT, REQUESTS_IN_FLIGHT_MAX, REQUESTS_QUEUED_MAX,
};
use crate::url::Url;
use crate::wire::{self, Packet};

/// A handle on the task; the connection lives as long as one is held.
#[derive(Clone)]
pub(super) struct Kept {
    requests: mpsc::Sender<Request>,
}

pub(super) enum Opening {
    Kept(Kept),
    /// The broker serves one request per connection.
    Declined,
}

struct Request {
    packet: Bytes,
    fate: Arc<Fate>,
    /// Dropped unanswered when the connection is lost; the fate then tells the rest.
    answer: oneshot::Sender<Packet>,
}

/// Connects and asks the broker to keep the connection.
pub(super) async fn open(url: &Url, timeout: Duration) -> Result<Opening, Error> {
    let mut connection = Connection::open(url, Role::Client, &wire::encode("KA", &[]))
        .await
        .map_err(Error::Io)?;
    match connection.next_packet().await {
        Ok(Packet::Done) => {
            let (sender, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
            let task = Task {
                connection,
                timeout,
                in_flight: VecDeque::new(),
                held: None,
                used: Instant::now(),
            };
            tokio::spawn(task.run(requests));
            Ok(Opening::Kept(Kept { requests: sender }))
        }
        Ok(Packet::Refused(400)) => Ok(Opening::Declined),
        Ok(Packet::Refused(code)) => Err(Error::from_code(code)),
        Ok(Packet::Quit) | Err(Broken::Closed) => Err(Error::ConnectionLost {
            may_have_run: false,
        }),
        Ok(_) | Err(Broken::TooLarge) => Err(Error::UnexpectedAnswer),
    }
}

impl Kept {
    pub(super) fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Takes the next place in the order of requests, and waits for one to be free.
    pub(super) async fn place(&self, packet: Bytes) -> Result<Asked, Error> {
        let fate = Arc::new(Fate::default());
        let (sender, answer) = oneshot::channel();
        let request = Request {
            packet,
            fate: Arc::clone(&fate),
            answer: sender,
        };
        match self.requests.send(request).await {
            Ok(()) => Ok(Asked { fate, answer }),
            Err(_) => Err(Error::ConnectionLost {
                may_have_run: false,
            }),
        }
    }
}

/// A request on its way.
pub(super) struct Asked {
    fate: Arc<Fate>,
    answer: oneshot::Receiver<Packet>,
}

impl Asked {
    pub(super) async fn answer(self, deadline: Instant) -> Result<Packet, Error> {
        match timeout_at(deadline, self.answer).await {
            Ok(Ok(packet)) => Ok(packet),
            Ok(Err(_)) => Err(Error::ConnectionLost {
                may_have_run: !self.fate.withdraw(),
            }),
            Err(_) => Err(Error::Timeout {
                may_have_run: !self.fate.withdraw(),
            }),
        }
    }
}

/// Whether a request was sent, agreed between its caller and the task.
#[derive(Default)]
struct Fate(AtomicU8);

impl Fate {
    const WAITING: u8 = 0;
    const SENT: u8 = 1;
    const WITHDRAWN: u8 = 2;

    /// False where the caller has given up.
    fn send(&self) -> bool {
        self.leave_waiting_for(Self::SENT)
    }

    /// False where it was sent and may run.
    fn withdraw(&self) -> bool {
        self.leave_waiting_for(Self::WITHDRAWN)
    }

    /// The packet did not get out after all.
    fn unsend(&self) {
        self.0.store(Self::WAITING, Ordering::Release);
    }

    fn leave_waiting_for(&self, fate: u8) -> bool {
        self.0
            .compare_exchange(Self::WAITING, fate, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

struct Task {
    connection: Connection,
    timeout: Duration,
    in_flight: VecDeque<InFlight>,
    /// The request that waits for the answer to a probe.
    held: Option<Request>,
    /// When something was last sent.
    used: Instant,
}

enum InFlight {
    Request {
        request: Request,
        /// Where its packet ends in the stream.
        end: u64,
        sent: Instant,
    },
    /// `HB`, to learn whether the connection still lives.
    Probe { sent: Instant },
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let may_take = self.may_take();
            let overdue = self.overdue();
            tokio::select! {
                biased;
                progress = self.connection.progress(true) => match progress {
                    Ok(Progress::Packet(packet)) => {
                        if !self.handle_packet(packet) {
                            break;
                        }
                    }
                    // There may be room for requests again.
                    Ok(Progress::Written) => {}
                    Err(_) => break,
                },
                request = requests.recv(), if may_take => match request {
                    Some(request) => {
                        self.handle_request(request);
                        // Those that wait already share its write.
                        while self.may_take()
                            && let Ok(request) = requests.try_recv()
                        {
                            self.handle_request(request);
                        }
                    }
                    // Nobody is left to ask or to be answered.
                    None => break,
                },
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    // Bytes may have come since the deadline was computed.
                    if self.overdue().is_some_and(|at| at <= Instant::now()) {
                        break;
                    }
                }
            }
        }
        self.give_back_unwritten();
        // Frees the callers whose requests are on their way into the channel.
        requests.close();
        while requests.recv().await.is_some() {}
    }

    fn may_take(&self) -> bool {
        self.held.is_none()
            && self.in_flight.len() < REQUESTS_IN_FLIGHT_MAX
            && self.connection.unwritten_bytes() < OUTGOING_BYTES_MAX
    }

    fn handle_request(&mut self, request: Request) {
        let now = Instant::now();
        let idle = now.duration_since(self.used.max(self.connection.heard()));
        if self.in_flight.is_empty() && idle > PROBE_AFTER {
            // The broker may be closing the connection this very moment; only
            // its answer makes sure that the request won't be lost with it.
            self.connection.queue(&wire::encode("HB", &[]));
            self.in_flight.push_back(InFlight::Probe { sent: now });
            self.held = Some(request);
            self.used = now;
        } else {
            self.send(request, now);
        }
    }

    fn send(&mut self, request: Request, now: Instant) {
        if request.answer.is_closed() || !request.fate.send() {
            return;
        }
        let end = self.connection.queue(&request.packet);
        self.used = now;
        self.in_flight.push_back(InFlight::Request {
            request,
            end,
            sent: now,
        });
    }

    /// False where the connection has come to its end.
    fn handle_packet(&mut self, packet: Packet) -> bool {
        if packet == Packet::Quit {
            return false;
        }
        match self.in_flight.pop_front() {
            Some(InFlight::Probe { .. }) => {
                if packet != Packet::Heartbeat {
                    return false;
                }
                if let Some(request) = self.held.take() {
                    self.send(request, Instant::now());
                }
                true
            }
            Some(InFlight::Request { request, .. }) => {
                // A caller that gave up doesn't listen; the order needs its answer all the same.
                let _ = request.answer.send(packet);
                true
            }
            // An answer to nothing: whose would the next be?
            None => false,
        }
    }

    /// When the connection counts as dead: an answer is due and nothing has been
    /// heard for as long as a request may take.
    fn overdue(&self) -> Option<Instant> {
        let (sent, patience) = match self.in_flight.front()? {
            InFlight::Probe { sent } => (*sent, PROBE_TIMEOUT),
            InFlight::Request { sent, .. } => (*sent, self.timeout),
        };
        sent.max(self.connection.heard()).checked_add(patience)
    }

    /// Requests whose last byte never left this process did not run.
    fn give_back_unwritten(&self) {
        for in_flight in &self.in_flight {
            if let InFlight::Request { request, end, .. } = in_flight
                && !self.connection.has_written(*end)
            {
                request.fate.unsend();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_either_sent_or_withdrawn() {
        let sent = Fate::default();
        assert!(sent.send());
        assert!(!sent.withdraw());
        let withdrawn = Fate::default();
        assert!(withdrawn.withdraw());
        assert!(!withdrawn.send());
        let unsent = Fate::default();
        assert!(unsent.send());
        unsent.unsend();
        assert!(unsent.withdraw());
    }
}
