//! One run from the first connection to the last: the threads, the order of
//! the phases, interrupts, and what is measured at their borders.

use std::io;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use webrocket::sys::unshare_descriptors;

use crate::broker::{Broker, BrokerError};
use crate::client::Door;
use crate::limits::{SETTLE_TIME, SLEEP_MAX};
use crate::plan::Plan;
use crate::process::Usage;
use crate::progress::Progress;
use crate::pump::{Outcome, Pump};
use crate::report::{Marks, Report, Sample};
use crate::server::Observation;
use crate::timeline::{Shared, Timeline, nanoseconds};

/// Why there is nothing to report.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// No ring, thread or random number.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// A channel can't be opened.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// A ring broke.
    #[error("the driver failed: {0}")]
    Driver(io::Error),
    /// A thread panicked; it has said why.
    #[error("a thread of clients died")]
    Died,
}

/// Carries out `plan` against `broker`, from opening the channels on.
///
/// # Errors
/// Nothing can be reported.
pub(crate) fn run(plan: Plan, broker: &Broker) -> Result<Report, RunError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(broker.open_channels(plan.channels))?;
    let mut interrupts = {
        let _context = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let mut seed = [0; 4];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    let run = u32::from_ne_bytes(seed);

    let plan = Arc::new(plan);
    let before = Sample::take(broker);
    let first_look = broker.source.observe();
    let shared = Arc::new(Shared::new());
    let threads = (0..plan.threads)
        .map(|number| {
            let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
            let (to, door) = (broker.websocket, Door::new(&broker.host, &broker.vhost));
            thread::Builder::new()
                .name(format!("clients-{number}"))
                .spawn(move || {
                    // The limit of descriptors counts for each thread then.
                    unshare_descriptors([])?;
                    Pump::new(plan, shared, to, door, number, run)?.run()
                })
        })
        .collect::<io::Result<Vec<_>>>()?;

    let conductor = Conductor {
        plan: &plan,
        shared: &shared,
        threads: &threads,
        broker,
        interrupts: &mut interrupts,
    };
    let mut marks = runtime.block_on(conductor.conduct(before));
    marks.looks.before = first_look;
    marks.is_shared = broker.source.pid.is_some();
    marks.take_usage_from_metrics();
    let outcomes = threads
        .into_iter()
        .map(join)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Report::new(&plan, &marks, &outcomes))
}

fn join(thread: JoinHandle<io::Result<Outcome>>) -> Result<Outcome, RunError> {
    let outcome = thread.join().map_err(|_| RunError::Died)?;
    outcome.map_err(RunError::Driver)
}

/// Leads the threads through the phases.
struct Conductor<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    threads: &'a [JoinHandle<io::Result<Outcome>>],
    broker: &'a Broker,
    interrupts: &'a mut Signal,
}

impl Conductor<'_> {
    async fn conduct(mut self, before: Sample) -> Marks {
        let mut marks = Marks::new(before, self.broker.shards());
        let whole_ramp = self.ramp().await;
        marks.ramp_ns = self.shared.now_ns();
        marks.interrupted = !whole_ramp;
        if !whole_ramp || self.shared.subscribed() == 0 {
            self.shared.stop_ramp();
            return marks;
        }
        let start_ns = self.shared.now_ns() + nanoseconds(SETTLE_TIME);
        let Plan {
            warmup,
            duration,
            drain,
            ..
        } = *self.plan;
        let timeline = Timeline::new(start_ns, warmup, duration, drain);
        self.shared.begin(timeline);
        let mut whole = self.wait_until(start_ns).await;
        marks.settled = Sample::take(self.broker);
        marks.looks.settled = self.look().await;
        if whole {
            Progress::tell("warm-up", warmup);
            whole = self.wait_until(timeline.measure_ns).await;
        }
        marks.measured_from = Sample::take(self.broker);
        marks.looks.measured_from = self.look().await;
        if whole {
            let label = if self.plan.publishers() == 0 {
                "idle"
            } else {
                "measure"
            };
            Progress::tell(label, duration);
            whole = self.wait_until(timeline.end_ns).await;
        }
        marks.interrupted = !whole;
        marks.measured_to = Sample::take(self.broker);
        marks.looks.measured_to = self.look().await;
        let end_ns = self.shared.end_ns(&timeline);
        marks.measured = Duration::from_nanos(end_ns.saturating_sub(timeline.measure_ns));
        Progress::tell("drain", drain);
        if !self.wait_until(end_ns + timeline.drain_ns).await {
            process::exit(1);
        }
        marks.looks.drained = self.look().await;
        marks
    }

    /// Looks at the broker, on a thread of the runtime's: this one goes on
    /// waiting for an interrupt.
    async fn look(&self) -> Observation {
        let source = self.broker.source.clone();
        spawn_blocking(move || source.observe())
            .await
            .unwrap_or_default()
    }

    /// Until every client has joined or failed; tells whether nothing came between.
    async fn ramp(&mut self) -> bool {
        let clients = self.plan.clients as usize;
        let mut progress = Progress::new(clients);
        loop {
            let (subscribed, failed) = (self.shared.subscribed(), self.shared.failed());
            progress.show(subscribed, failed);
            if subscribed + failed >= clients
                || self.shared.is_ramp_stopped()
                || self.threads.iter().any(JoinHandle::is_finished)
            {
                return true;
            }
            tokio::select! {
                () = sleep(SLEEP_MAX) => {}
                _ = self.interrupts.recv() => {
                    self.shared.stop_ramp();
                    return false;
                }
            }
        }
    }

    /// Waits; after an interrupt the sending ends, and the answer is false.
    async fn wait_until(&mut self, then_ns: u64) -> bool {
        let rest = then_ns.saturating_sub(self.shared.now_ns());
        tokio::select! {
            () = sleep(Duration::from_nanos(rest)) => true,
            _ = self.interrupts.recv() => {
                self.shared.cut();
                false
            }
        }
    }
}

impl Sample {
    /// What both processes have used so far.
    fn take(broker: &Broker) -> Self {
        Self {
            own: Usage::of(process::id()).unwrap_or_default(),
            broker: broker.usage(),
        }
    }
}
