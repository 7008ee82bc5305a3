//! What the workers are given, and what they answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kosmonaut::{Event, Notice, Worker};
use serde::Deserialize;

use crate::limits::WORKER_HANDLERS_MAX;
use crate::numbers::Numbers;
use crate::payload::{Carried, Stamp};
use crate::plan::Plan;
use crate::pump::Recorder;
use crate::timeline::Shared;

/// Shared by all workers of a run.
pub(super) struct Desk {
    plan: Plan,
    shared: Arc<Shared>,
    client: kosmonaut::Client,
    run: u32,
    pub(super) recorder: Recorder,
    taken: Numbers,
    handled: Handled,
}

/// What all workers together have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handled {
    /// Triggers that count, each once.
    pub(crate) taken: u64,
    pub(crate) duplicated: u64,
    /// Of another run, or no trigger of a load generator.
    pub(crate) strange: u64,
    /// Workers that were registered, those that came back among them.
    pub(crate) ready: u64,
    /// Connections of workers that ended before the run.
    pub(crate) disconnects: BTreeMap<String, u64>,
    /// Replies that the broker has not taken.
    pub(crate) unanswered: BTreeMap<String, u64>,
}

/// The data of a trigger.
#[derive(Deserialize)]
struct Data {
    l: String,
}

impl Desk {
    pub(super) fn new(plan: &Plan, shared: &Arc<Shared>, url: &kosmonaut::Url, run: u32) -> Self {
        Self {
            plan: plan.clone(),
            shared: Arc::clone(shared),
            client: kosmonaut::Client::new(url.clone()),
            run,
            recorder: Recorder::new(plan.span_ns()),
            taken: Numbers::default(),
            handled: Handled::default(),
        }
    }

    pub(super) fn ready(&self) -> u64 {
        self.handled.ready
    }

    pub(super) fn handled(&self) -> Handled {
        self.handled.clone()
    }

    /// Takes note of a trigger; gives what to reply, where something is to be.
    fn take(&mut self, event: &Event) -> Option<(kosmonaut::Client, String, Stamp)> {
        let now_ns = self.shared.now_ns();
        let data: Option<Data> = event.deserialize().ok();
        let stamp = data.and_then(|data| Stamp::from_text(&data.l));
        let Some(stamp) = stamp.filter(|stamp| stamp.run == self.run) else {
            self.handled.strange += 1;
            return None;
        };
        let measured_from = self.shared.timeline().map_or(u64::MAX, |it| it.measure_ns);
        if stamp.intended_ns >= measured_from {
            if self.taken.insert(stamp.sequence) {
                self.handled.taken += 1;
                self.recorder.handle_time(now_ns);
                let after_ns = now_ns.saturating_sub(stamp.intended_ns);
                let trigger = &mut self.recorder.histograms().trigger;
                trigger.saturating_record(after_ns);
            } else {
                self.handled.duplicated += 1;
            }
        }
        self.plan.backend.replies.then(|| {
            let channel = self.plan.channel_name(stamp.publisher % self.plan.channels);
            (self.client.clone(), channel, stamp)
        })
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Ready => self.handled.ready += 1,
            Notice::Disconnected { cause, .. } => {
                let cause = cause.to_string();
                *self.handled.disconnects.entry(cause).or_default() += 1;
            }
            _ => self.handled.strange += 1,
        }
    }
}

/// One worker that takes its triggers to the desk.
pub(super) fn worker(desk: &Arc<Mutex<Desk>>, url: kosmonaut::Url) -> Worker {
    let (at, noticed) = (Arc::clone(desk), Arc::clone(desk));
    Worker::new(url)
        .concurrency(WORKER_HANDLERS_MAX)
        .on_notice(move |notice| lock(&noticed).handle_notice(notice))
        .on_any(move |event| {
            let reply = lock(&at).take(&event);
            let at = Arc::clone(&at);
            async move {
                let Some((client, channel, stamp)) = reply else {
                    return;
                };
                let sent = client
                    .broadcast(&channel, "reply", &Carried::new(&stamp))
                    .await;
                if let Err(error) = sent {
                    let cause = error.to_string();
                    *lock(&at).handled.unanswered.entry(cause).or_default() += 1;
                }
            }
        })
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
