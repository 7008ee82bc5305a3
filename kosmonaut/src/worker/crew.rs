//! Hands events to handlers, in order and no more at a time than allowed.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::pending;

use tokio::task::{Id, JoinSet};

use super::{Event, Handler, Handlers, Notice, Notices};
use crate::limits::EVENTS_QUEUED_MAX;

/// Outlives connections: what was received is handled. Dropped, it aborts the
/// handlers that run.
pub(super) struct Crew<'a> {
    handlers: &'a Handlers,
    notices: &'a Notices,
    concurrency: usize,
    queue: VecDeque<(Handler, Event)>,
    running: JoinSet<()>,
    /// The event that each task handles, to name it should it panic.
    events: HashMap<Id, String>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(handlers: &'a Handlers, concurrency: usize, notices: &'a Notices) -> Self {
        Self {
            handlers,
            notices,
            concurrency,
            queue: VecDeque::new(),
            running: JoinSet::new(),
            events: HashMap::new(),
        }
    }

    /// Whether another event may be received.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < EVENTS_QUEUED_MAX
    }

    /// Takes the event of a `TR` packet.
    pub(super) fn handle_trigger(&mut self, trigger: &[u8]) {
        let Some(event) = Event::parse(trigger) else {
            self.notices.tell(Notice::UnreadableTrigger);
            return;
        };
        if let Some(handler) = self.handlers.find(&event.name) {
            self.queue.push_back((Handler::clone(handler), event));
            self.start();
        }
    }

    /// Waits until a handler has finished, and starts those that waited for it.
    /// Without a running handler it waits forever. Cancel safe.
    pub(super) async fn work(&mut self) {
        match self.running.join_next_with_id().await {
            None => pending().await,
            Some(Ok((id, ()))) => {
                self.events.remove(&id);
            }
            Some(Err(failed)) => {
                let event = self.events.remove(&failed.id()).unwrap_or_default();
                self.notices.tell(Notice::HandlerPanicked { event });
            }
        }
        self.start();
    }

    /// Works for as long as it is polled.
    pub(super) async fn work_on(&mut self) -> Infallible {
        loop {
            self.work().await;
        }
    }

    /// Handles all that was received.
    pub(super) async fn finish(&mut self) {
        // Where one waits one runs, so that nothing is left when none runs.
        while !self.running.is_empty() {
            self.work().await;
        }
    }

    fn start(&mut self) {
        while self.running.len() < self.concurrency {
            let Some((handler, event)) = self.queue.pop_front() else {
                return;
            };
            let name = event.name.clone();
            // Called within the task, so that a panic before its first await is caught too.
            let task = self.running.spawn(async move { handler(event).await });
            self.events.insert(task.id(), name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::boxed_handler;

    #[tokio::test]
    async fn room_ends_at_the_bound() {
        let handlers = Handlers {
            any: Some(boxed_handler(|_| async {})),
            ..Handlers::default()
        };
        let notices = Notices(None);
        let mut crew = Crew::new(&handlers, 1, &notices);
        // One runs, the others wait.
        for _ in 0..EVENTS_QUEUED_MAX {
            crew.handle_trigger(br#"{"a":{"sid":"s"}}"#);
        }
        assert!(crew.has_room());
        crew.handle_trigger(br#"{"a":{"sid":"s"}}"#);
        assert!(!crew.has_room());
        crew.work().await;
        assert!(crew.has_room());
        crew.finish().await;
        assert!(crew.queue.is_empty() && crew.events.is_empty());
    }
}
