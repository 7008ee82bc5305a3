use std::collections::VecDeque;

use bytes::Bytes;
use rtrb::{Consumer, Producer, PushError};
use tokio::sync::mpsc;

use super::wake::{Sleeper, Waker};
use crate::hub::envelope::{Delivery, Request, ToControl};
use crate::limits::{SPENT_FRAME_BYTES_MAX, SPENT_FRAMES_MAX};
use crate::model::ShardId;

/// A shard's side of all its rings.
pub struct ShardPort {
    id: ShardId,
    wakers: Vec<Waker>,
    /// Shards to wake at the next flush.
    touched: Vec<bool>,
    pub(super) requests_out: Vec<Option<Outgoing<Request>>>,
    pub(super) requests_in: Vec<Consumer<Request>>,
    pub(super) deliveries_out: Vec<Option<Outgoing<Delivery>>>,
    pub(super) deliveries_in: Vec<Consumer<Delivery>>,
    pub(super) from_control: Option<Consumer<Delivery>>,
    to_control: mpsc::Sender<ToControl>,
    control_backlog: VecDeque<ToControl>,
    /// Envelopes in all backlogs.
    request_backlog: usize,
    delivery_backlog: usize,
    /// Rings are taken in turn; this one is next.
    next_request: usize,
    next_delivery: usize,
    /// Frames that have been read.
    spent: Vec<Bytes>,
}

/// A ring's producing side with what did not fit.
pub(super) struct Outgoing<T> {
    ring: Producer<T>,
    backlog: VecDeque<T>,
}

impl<T> From<Producer<T>> for Outgoing<T> {
    fn from(ring: Producer<T>) -> Self {
        Self {
            ring,
            backlog: VecDeque::new(),
        }
    }
}

impl<T> Outgoing<T> {
    fn try_push(&mut self, envelope: T) -> Result<(), T> {
        if !self.backlog.is_empty() {
            return Err(envelope);
        }
        self.ring
            .push(envelope)
            .map_err(|PushError::Full(envelope)| envelope)
    }

    /// Moves what fits from the backlog into the ring; tells how many moved.
    fn flush(&mut self) -> usize {
        let before = self.backlog.len();
        while let Some(envelope) = self.backlog.pop_front() {
            if let Err(PushError::Full(envelope)) = self.ring.push(envelope) {
                self.backlog.push_front(envelope);
                break;
            }
        }
        before - self.backlog.len()
    }
}

impl ShardPort {
    pub(super) fn new(
        id: ShardId,
        wakers: Vec<Waker>,
        to_control: mpsc::Sender<ToControl>,
    ) -> Self {
        let shards = wakers.len();
        Self {
            id,
            wakers,
            touched: vec![false; shards],
            requests_out: (0..shards).map(|_| None).collect(),
            requests_in: Vec::new(),
            deliveries_out: (0..shards).map(|_| None).collect(),
            deliveries_in: Vec::new(),
            from_control: None,
            to_control,
            control_backlog: VecDeque::new(),
            request_backlog: 0,
            delivery_backlog: 0,
            next_request: 0,
            next_delivery: 0,
            spent: Vec::with_capacity(SPENT_FRAMES_MAX),
        }
    }

    /// The shard whose port this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// How many shards the node has.
    pub fn shards(&self) -> u16 {
        self.wakers.len() as u16
    }

    /// The shard's own side of its wake-up.
    pub fn sleeper(&self) -> Sleeper {
        self.wakers[usize::from(self.id)].sleeper()
    }

    /// Whether [`Self::try_request`] would take a request to this shard.
    pub fn has_room_to(&self, to: ShardId) -> bool {
        self.requests_out[usize::from(to)]
            .as_ref()
            .is_some_and(|out| out.backlog.is_empty() && !out.ring.is_full())
    }

    /// Sends a request that may be refused.
    ///
    /// # Errors
    /// Gives the request back when the ring is full; offer it again after [`Self::has_room`].
    pub fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request> {
        let Some(out) = &mut self.requests_out[usize::from(to)] else {
            return Err(request);
        };
        out.try_push(request)?;
        self.touched[usize::from(to)] = true;
        Ok(())
    }

    /// Sends a request that must arrive.
    pub fn request(&mut self, to: ShardId, request: Request) {
        if let Err(request) = self.try_request(to, request)
            && let Some(out) = &mut self.requests_out[usize::from(to)]
        {
            out.backlog.push_back(request);
            self.request_backlog += 1;
        }
    }

    /// Sends a delivery; it must arrive.
    pub fn deliver(&mut self, to: ShardId, delivery: Delivery) {
        let Some(out) = &mut self.deliveries_out[usize::from(to)] else {
            return;
        };
        if let Err(delivery) = out.try_push(delivery) {
            out.backlog.push_back(delivery);
            self.delivery_backlog += 1;
        } else {
            self.touched[usize::from(to)] = true;
        }
    }

    /// Asks control for something that may be refused.
    ///
    /// # Errors
    /// Gives the question back when control's inbox is full.
    pub fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        if !self.control_backlog.is_empty() {
            return Err(message);
        }
        self.to_control
            .try_send(message)
            .map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Tells control something that must arrive.
    pub fn control(&mut self, message: ToControl) {
        if let Err(message) = self.try_control(message) {
            self.control_backlog.push_back(message);
        }
    }

    /// The next delivery from a shard or from control.
    pub fn take_delivery(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.from_control.as_mut().and_then(|ring| ring.pop().ok()) {
            return Some(delivery);
        }
        take_in_turn(&mut self.deliveries_in, &mut self.next_delivery)
    }

    /// The next request, unless deliveries of earlier ones still wait for room.
    pub fn take_request(&mut self) -> Option<Request> {
        if self.is_congested() {
            return None;
        }
        take_in_turn(&mut self.requests_in, &mut self.next_request)
    }

    /// Lets a frame go that came through a ring, with others of its kind. The
    /// count of those who share its buffer is on a cache line that other cores
    /// write as well: it is fetched once for many frames instead of for each.
    pub fn let_go(&mut self, frame: Bytes) {
        if frame.len() > SPENT_FRAME_BYTES_MAX {
            return;
        }
        self.spent.push(frame);
        if self.spent.len() >= SPENT_FRAMES_MAX {
            self.spent.clear();
        }
    }

    /// Whether an envelope waits to be taken.
    pub fn has_incoming(&self) -> bool {
        let delivery = self.deliveries_in.iter().any(|ring| !ring.is_empty());
        let request = || self.requests_in.iter().any(|ring| !ring.is_empty());
        let control = || {
            self.from_control
                .as_ref()
                .is_some_and(|ring| !ring.is_empty())
        };
        delivery || control() || (!self.is_congested() && request())
    }

    /// Envelopes that wait to be taken. Looks at every ring.
    pub fn incoming(&self) -> usize {
        let deliveries = self.deliveries_in.iter().map(Consumer::slots);
        let requests = self.requests_in.iter().map(Consumer::slots);
        let control = self.from_control.iter().map(Consumer::slots);
        deliveries.chain(requests).chain(control).sum()
    }

    /// Envelopes that found their ring full and wait on this side.
    pub fn backlog(&self) -> usize {
        self.request_backlog + self.delivery_backlog + self.control_backlog.len()
    }

    /// Whether nothing waits in a backlog, so that refused requests may be offered again.
    pub fn has_room(&self) -> bool {
        self.request_backlog == 0 && self.delivery_backlog == 0 && self.control_backlog.is_empty()
    }

    /// Whether deliveries wait for room: whoever makes further ones has to wait,
    /// or a slow shard's backlog grows without bound.
    pub fn is_congested(&self) -> bool {
        self.delivery_backlog > 0
    }

    /// Moves backlogs on, wakes the shards that were sent something and lets go what
    /// was read. Called once a turn: the next one begins at another ring.
    pub fn flush(&mut self) {
        self.next_request += 1;
        self.next_delivery += 1;
        self.spent.clear();
        if self.request_backlog > 0 {
            self.request_backlog -= flush_all(&mut self.requests_out, &mut self.touched);
        }
        if self.delivery_backlog > 0 {
            self.delivery_backlog -= flush_all(&mut self.deliveries_out, &mut self.touched);
        }
        while let Some(message) = self.control_backlog.pop_front() {
            if let Err(error) = self.to_control.try_send(message) {
                self.control_backlog.push_front(error.into_inner());
                break;
            }
        }
        for (touched, waker) in self.touched.iter_mut().zip(&self.wakers) {
            if std::mem::take(touched) {
                waker.wake();
            }
        }
    }
}

fn take_in_turn<T>(rings: &mut [Consumer<T>], next: &mut usize) -> Option<T> {
    for _ in 0..rings.len() {
        if *next >= rings.len() {
            *next = 0;
        }
        if let Ok(envelope) = rings[*next].pop() {
            // Stays on this ring: draining it whole keeps its cache lines warm.
            // A ring that is never empty yields at the end of the turn.
            return Some(envelope);
        }
        *next += 1;
    }
    None
}

fn flush_all<T>(outs: &mut [Option<Outgoing<T>>], touched: &mut [bool]) -> usize {
    let mut moved = 0;
    for (out, touched) in outs.iter_mut().zip(touched) {
        if let Some(out) = out.as_mut().filter(|out| !out.backlog.is_empty()) {
            let count = out.flush();
            *touched |= count > 0;
            moved += count;
        }
    }
    moved
}

/// Keeps the eventfds of a mesh open. Where threads have descriptor tables of
/// their own, whoever is the last to drop one closes it in that thread's table
/// alone: that is to be a thread with the process's table.
#[derive(Debug)]
pub struct Wakeups(#[expect(dead_code, reason = "held, not used")] Vec<Waker>);

/// Control's side of its rings.
pub struct ControlPort {
    outlets: Vec<Producer<Delivery>>,
    wakers: Vec<Waker>,
    inbox: mpsc::Receiver<ToControl>,
}

impl ControlPort {
    pub(super) fn new(
        outlets: Vec<Producer<Delivery>>,
        wakers: Vec<Waker>,
        inbox: mpsc::Receiver<ToControl>,
    ) -> Self {
        Self {
            outlets,
            wakers,
            inbox,
        }
    }

    /// How many shards the node has.
    pub fn shards(&self) -> u16 {
        self.outlets.len() as u16
    }

    /// The wake-ups of all shards, to be kept open.
    pub fn wakeups(&self) -> Wakeups {
        Wakeups(self.wakers.clone())
    }

    /// Sends to a shard and wakes it.
    ///
    /// # Errors
    /// Gives the delivery back when the shard's ring is full.
    pub fn try_deliver(&mut self, to: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        self.outlets[usize::from(to)]
            .push(delivery)
            .map_err(|PushError::Full(delivery)| delivery)?;
        self.wakers[usize::from(to)].wake();
        Ok(())
    }

    /// The next message from any shard; `None` when all shards are gone.
    pub async fn receive(&mut self) -> Option<ToControl> {
        self.inbox.recv().await
    }
}
