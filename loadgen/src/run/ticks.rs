//! What the processes use, looked at once a second.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::SPAN_MIN;
use crate::process::cpu_and_memory;
use crate::report::Tick;
use crate::timeline::Shared;

/// A task that looks until it is stopped.
pub(super) struct Ticks {
    seen: Arc<Mutex<Vec<Tick>>>,
    task: AbortHandle,
}

impl Ticks {
    /// Looks at this process, and at the broker's where that is known.
    pub(super) fn start(shared: &Arc<Shared>, broker: Option<u32>) -> Self {
        let seen = Arc::<Mutex<Vec<Tick>>>::default();
        let (shared, into) = (Arc::clone(shared), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut every = interval(SPAN_MIN);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                let own = cpu_and_memory(process::id()).unwrap_or_default();
                let broker = broker.and_then(|pid| cpu_and_memory(pid).ok());
                let tick = Tick {
                    at_ns: shared.now_ns(),
                    own_cpu: own.0,
                    broker_cpu: broker.map(|it| it.0),
                    broker_resident_bytes: broker.map(|it| it.1),
                };
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(tick);
            }
        });
        Self {
            seen,
            task: task.abort_handle(),
        }
    }

    /// What was seen.
    pub(super) fn stop(self) -> Vec<Tick> {
        self.task.abort();
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
