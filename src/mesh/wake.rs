use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crate::sys::EventFd;

/// Wakes a shard, if it sleeps.
#[derive(Clone, Debug)]
pub(super) struct Waker {
    asleep: Arc<AtomicBool>,
    event: EventFd,
}

impl Waker {
    pub(super) fn new(event: EventFd) -> Self {
        Self {
            asleep: Arc::default(),
            event,
        }
    }

    /// To be called after an envelope was put into a ring of the shard.
    pub(super) fn wake(&self) {
        // Pairs with the fence in `Sleeper::sleep`: either this side sees that
        // the shard is asleep, or the shard sees the envelope.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.event.notify();
        }
    }

    pub(super) fn sleeper(&self) -> Sleeper {
        Sleeper {
            asleep: Arc::clone(&self.asleep),
            event: self.event.clone(),
        }
    }
}

/// A shard's own side of its wake-up.
#[derive(Debug)]
pub struct Sleeper {
    asleep: Arc<AtomicBool>,
    event: EventFd,
}

impl Sleeper {
    /// The descriptor that turns readable on a wake-up.
    pub fn event(&self) -> &EventFd {
        &self.event
    }

    /// Announces sleep. Look at every ring once more between this and the wait.
    pub fn sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back after the wait.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
