//! Single access tokens for the clients that authenticate, fetched beside them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use webrocket::sys::EventFd;

use crate::limits::{TOKEN_CLIENTS, TOKENS_IN_FLIGHT_MAX};
use crate::pump::Histograms;
use crate::timeline::nanoseconds;

/// What a token allows: every channel of a run, of whatever kind.
pub(crate) const PATTERN: &str = "(private-|presence-)?load-[0-9]+";

/// Asks for one token whenever a connection needs it: a token works once, and a
/// store of them would grow old.
#[derive(Debug)]
pub(crate) struct Mint {
    asked: mpsc::Sender<Wanted>,
    counters: Vec<Arc<Counter>>,
    thread: JoinHandle<Histogram<u64>>,
}

/// Where one thread of clients gets its tokens.
#[derive(Debug)]
pub(crate) struct Counter {
    thread: u16,
    granted: Mutex<VecDeque<Grant>>,
    wake: EventFd,
}

/// A thread's way to its counter.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    asked: mpsc::Sender<Wanted>,
    counter: Arc<Counter>,
}

/// A connection that needs a token.
#[derive(Debug)]
struct Wanted {
    thread: u16,
    slot: u32,
    generation: u32,
    number: u32,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) slot: usize,
    /// Of the connection that asked.
    pub(crate) generation: u32,
    /// The token, or the code of the refusal; none where nobody answered.
    pub(crate) token: Result<kosmonaut::SingleAccessToken, Option<u16>>,
}

impl Mint {
    /// A thread that asks the broker at `url`, for so many threads of clients.
    ///
    /// # Errors
    /// No thread, runtime or wake-up.
    pub(crate) fn start(url: kosmonaut::Url, threads: u16) -> io::Result<Self> {
        let counters = (0..threads)
            .map(|thread| Counter::new(thread).map(Arc::new))
            .collect::<io::Result<Vec<_>>>()?;
        // Threads of clients have descriptor tables of their own, and a waker of the
        // runtime holds descriptors of this one: whoever drops the last closes
        // them. So they speak to a thread that passes it on.
        let (asked, heard) = mpsc::channel();
        let (pass_on, wanted) = unbounded_channel();
        thread::Builder::new()
            .name("tokens-asked".into())
            .spawn(move || {
                for one in heard {
                    if pass_on.send(one).is_err() {
                        return;
                    }
                }
            })?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let at = counters.clone();
        let thread = thread::Builder::new()
            .name("tokens".into())
            .spawn(move || runtime.block_on(serve(url, wanted, &at)))?;
        Ok(Self {
            asked,
            counters,
            thread,
        })
    }

    /// For one thread of clients.
    pub(crate) fn customer(&self, thread: u16) -> Option<Customer> {
        Some(Customer {
            asked: self.asked.clone(),
            counter: Arc::clone(self.counters.get(usize::from(thread))?),
        })
    }

    /// How long the requests took. To be called when all customers are gone.
    pub(crate) fn finish(self) -> Option<Histogram<u64>> {
        let Self { asked, thread, .. } = self;
        drop(asked);
        thread.join().ok()
    }
}

impl Counter {
    fn new(thread: u16) -> io::Result<Self> {
        Ok(Self {
            thread,
            granted: Mutex::default(),
            wake: EventFd::new()?,
        })
    }

    fn put(&self, grant: Grant) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.push_back(grant);
        drop(granted);
        self.wake.notify();
    }
}

impl Customer {
    /// The answer comes by [`Self::take`], after the wake-up.
    pub(crate) fn ask(&self, slot: usize, generation: u32, number: u32) {
        // The mint outlives its customers.
        let _ = self.asked.send(Wanted {
            thread: self.counter.thread,
            slot: slot as u32,
            generation,
            number,
        });
    }

    /// What has come since the last call.
    pub(crate) fn take(&self) -> VecDeque<Grant> {
        let granted = self.counter.granted.lock();
        std::mem::take(&mut *granted.unwrap_or_else(PoisonError::into_inner))
    }

    /// Rings when there is something to take.
    pub(crate) fn wake(&self) -> &EventFd {
        &self.counter.wake
    }
}

/// Several requests under way on each of several connections, until nobody asks
/// any more.
async fn serve(
    url: kosmonaut::Url,
    mut wanted: UnboundedReceiver<Wanted>,
    counters: &[Arc<Counter>],
) -> Histogram<u64> {
    let clients = [(); TOKEN_CLIENTS].map(|()| kosmonaut::Client::new(url.clone()));
    let mut times = Histograms::empty();
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = under_way.join_next() => {
                if let Ok((counter, grant, taken_ns)) = done {
                    times.saturating_record(taken_ns);
                    if let Some(counter) = counters.get(usize::from(counter)) {
                        counter.put(grant);
                    }
                }
            }
            one = wanted.recv(), if under_way.len() < TOKENS_IN_FLIGHT_MAX => {
                let Some(one) = one else { break };
                let client = clients[one.number as usize % TOKEN_CLIENTS].clone();
                under_way.spawn(async move {
                    let began = Instant::now();
                    let grant = fetch(&client, &one).await;
                    (one.thread, grant, nanoseconds(began.elapsed()))
                });
            }
        }
    }
    times
}

async fn fetch(client: &kosmonaut::Client, one: &Wanted) -> Grant {
    let uid = uid(one.number);
    let token = client.request_single_access_token(&uid, PATTERN).await;
    Grant {
        slot: one.slot as usize,
        generation: one.generation,
        token: token.map_err(|error| error.code()),
    }
}

/// Who a client is for others.
pub(crate) fn uid(number: u32) -> String {
    format!("load-{number}")
}

/// Which client it is.
pub(crate) fn number_of(uid: &str) -> Option<u32> {
    uid.strip_prefix("load-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_tells_its_client() {
        for number in [0, 7, u32::MAX] {
            assert_eq!(number_of(&uid(number)), Some(number));
        }
        for other in ["joe", "load-", "load-x", "load-4294967296"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
