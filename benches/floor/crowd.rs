//! Clients by the ten thousands: threads with descriptor tables of their own, so
//! that the limit of one table does not count for all of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::machine;
use crate::peers::Exchange;
use crate::visitors::{Visit, Visitors};

/// Clients that connect and make their way through a preamble. They leave with this value.
pub(crate) struct Crowd(Vec<Part>);

/// Some of them, on a thread of their own.
struct Part {
    /// Taken when the thread is to end.
    orders: Option<Sender<Order>>,
    outcomes: Receiver<io::Result<Visit>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
enum Order {
    /// All come for the first time.
    Come,
    /// All are cut off at that moment, and come at once.
    ComeAfter(Instant),
    /// Whoever is sent away comes back, until all have.
    ComeBack,
    /// All stay, and nobody looks at them.
    Rest,
}

impl Crowd {
    /// So many clients of `addr`, of whom nobody has come yet. They take turns with
    /// the preambles.
    pub(crate) fn new(
        addr: SocketAddr,
        count: usize,
        preambles: Vec<Vec<Exchange>>,
    ) -> io::Result<Self> {
        let preambles: Arc<[Vec<Exchange>]> = preambles.into();
        let tables = machine::tables(count);
        let part = |index: usize| {
            let (orders, given) = channel();
            let (told, outcomes) = channel();
            let visitors = Visitors {
                addr,
                network: [127, 1, index as u8],
                count: count / tables + usize::from(index < count % tables),
                preambles: Arc::clone(&preambles),
            };
            let thread = thread::Builder::new().spawn(move || obey(visitors, &given, &told))?;
            Ok(Part {
                orders: Some(orders),
                outcomes,
                thread: Some(thread),
            })
        };
        (0..tables).map(part).collect::<io::Result<_>>().map(Self)
    }

    /// All come for the first time, without haste.
    pub(crate) fn come(&self) -> io::Result<()> {
        self.order(Order::Come).map(drop)
    }

    /// All are cut off and come at once, each as fast as it is answered.
    pub(crate) fn storm(&self) -> io::Result<Visit> {
        self.order(Order::ComeAfter(Instant::now()))
    }

    /// All come back as they are sent away, which `send_away` begins.
    pub(crate) fn come_back(
        &self,
        send_away: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Visit> {
        self.give(Order::ComeBack);
        send_away()?;
        self.hear()
    }

    /// Held by nothing but their descriptors from now on, so that the kernel keeps
    /// nothing else for them.
    pub(crate) fn rest(&self) -> io::Result<()> {
        self.order(Order::Rest).map(drop)
    }

    fn order(&self, order: Order) -> io::Result<Visit> {
        self.give(order);
        self.hear()
    }

    fn give(&self, order: Order) {
        for orders in self.0.iter().filter_map(|part| part.orders.as_ref()) {
            // A thread that has ended says why when it is heard.
            let _ = orders.send(order);
        }
    }

    fn hear(&self) -> io::Result<Visit> {
        let mut visit = Visit::default();
        for part in &self.0 {
            visit.add(part.outcomes.recv().map_err(io::Error::other)??);
        }
        Ok(visit)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|part| part.orders = None);
        for thread in self.0.iter_mut().filter_map(|part| part.thread.take()) {
            // Whatever went wrong was told.
            let _ = thread.join();
        }
    }
}

/// The thread of a part. It ends with the orders, or with a failure.
fn obey(visitors: Visitors, orders: &Receiver<Order>, outcomes: &Sender<io::Result<Visit>>) {
    let mut bound = match visitors.set_out() {
        Ok(bound) => bound,
        Err(error) => {
            let _ = outcomes.send(Err(error));
            return;
        }
    };
    for order in orders {
        let outcome = match order {
            Order::Come => bound.come(),
            Order::ComeAfter(cut) => bound.come_after(cut),
            Order::ComeBack => bound.come_back(),
            Order::Rest => {
                bound.rest();
                Ok(Visit::default())
            }
        };
        let ends = outcome.is_err();
        if outcomes.send(outcome).is_err() || ends {
            return;
        }
    }
}
