//! One run from the first connection to the last: the threads, the order of
//! the phases, interrupts, and what is measured at their borders.

mod ticks;

use std::io;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use webrocket::sys::unshare_descriptors;

use crate::backend::Crew;
use crate::broker::{Broker, BrokerError};
use crate::client::Door;
use crate::limits::{DESERTED_TIME, LOOK_INTERVAL, SETTLE_TIME, SLEEP_MAX};
use crate::plan::Plan;
use crate::process::Usage;
use crate::progress::{Phase, Ramp};
use crate::pump::{Outcome, Pump};
use crate::report::{Marks, Report, Sample};
use crate::server::Observation;
use crate::timeline::{Shared, Timeline, nanoseconds};
use crate::tokens::Mint;
use ticks::Ticks;

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

/// How somebody else leads a run.
pub(crate) struct Gate {
    /// All clients have joined or failed.
    pub(crate) ready: oneshot::Sender<()>,
    /// How long after this word the load begins.
    pub(crate) go: oneshot::Receiver<Duration>,
    /// True ends it early; so does the loss of whoever could say it.
    pub(crate) stop: watch::Receiver<bool>,
    /// Where to look at how far it is.
    pub(crate) shared: watch::Sender<Option<Arc<Shared>>>,
}

/// Carries out `plan` against `broker`, from opening the channels on, alone or
/// led through a gate.
///
/// # Errors
/// Nothing can be reported.
pub(crate) fn run(plan: Plan, broker: &Broker, gate: Option<Gate>) -> Result<Report, RunError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(broker.open_channels(&plan))?;
    let mut interrupts = Interrupts {
        signal: {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        },
        stop: gate.as_ref().map(|gate| gate.stop.clone()),
    };
    let mut seed = [0; 4];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    let run = u32::from_ne_bytes(seed);

    let plan = Arc::new(plan);
    let before = Sample::take(broker);
    let first_look = broker.source.observe();
    let shared = Arc::new(Shared::new(plan.senders()));
    let backend = broker.backend.as_ref().filter(|_| plan.authenticates());
    let mint = backend.map(|url| Mint::start(url.clone(), plan.threads));
    let mint = mint.transpose()?;
    let backend = broker.backend.as_ref().filter(|_| plan.backend.works());
    let crew =
        backend.map(|url| Crew::start(Arc::clone(&plan), Arc::clone(&shared), url.clone(), run));
    let mut crew = crew.transpose()?;
    if let Some(gate) = &gate {
        let _ = gate.shared.send(Some(Arc::clone(&shared)));
    }
    let began = SystemTime::now();
    let threads = (0..plan.threads)
        .map(|number| {
            let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
            let tokens = mint.as_ref().and_then(|mint| mint.customer(number));
            let (to, door) = (broker.websocket, Door::new(&broker.host, &broker.vhost));
            thread::Builder::new()
                .name(format!("clients-{number}"))
                .spawn(move || {
                    // The limit of descriptors counts for each thread then.
                    unshare_descriptors(&[])?;
                    Pump::new(plan, shared, to, door, tokens, number, run)?.run()
                })
        })
        .collect::<io::Result<Vec<_>>>()?;

    let conductor = Conductor {
        plan: &plan,
        shared: &shared,
        threads: &threads,
        broker,
        interrupts: &mut interrupts,
        crew: &mut crew,
        gate,
    };
    let mut marks = runtime.block_on(async {
        let ticks = Ticks::start(&shared, broker.source.pid);
        let mut marks = conductor.conduct(before).await;
        marks.ticks = ticks.stop();
        marks
    });
    marks.looks.before = first_look;
    marks.is_shared = broker.source.pid.is_some();
    marks.began = Some(began);
    marks.take_usage_from_metrics();
    let outcomes = threads
        .into_iter()
        .map(join)
        .collect::<Result<Vec<_>, _>>()?;
    marks.tokens = mint.and_then(Mint::finish);
    let crew = crew.and_then(Crew::finish);
    Ok(Report::new(&plan, &marks, &outcomes, crew.as_ref()))
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
    interrupts: &'a mut Interrupts,
    crew: &'a mut Option<Crew>,
    gate: Option<Gate>,
}

/// What ends a run early.
struct Interrupts {
    signal: Signal,
    /// Until it has been said.
    stop: Option<watch::Receiver<bool>>,
}

impl Interrupts {
    async fn recv(&mut self) {
        let stopped = async {
            match &mut self.stop {
                Some(stop) => drop(stop.wait_for(|&is_told| is_told).await),
                None => std::future::pending().await,
            }
        };
        let is_stopped = tokio::select! {
            _ = self.signal.recv() => false,
            () = stopped => true,
        };
        if is_stopped {
            // It is said once.
            self.stop = None;
        }
    }
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
        if let Some(crew) = self.crew {
            crew.ready().await;
        }
        let Some(delay) = self.delay().await else {
            marks.interrupted = true;
            self.shared.stop_ramp();
            return marks;
        };
        let start_ns = self.shared.now_ns() + nanoseconds(delay);
        let Plan {
            warmup,
            duration,
            drain,
            ..
        } = *self.plan;
        let timeline = Timeline::new(start_ns, warmup, duration, drain);
        self.shared.begin(timeline);
        marks.timeline = Some(timeline);
        let mut waited = self.wait_until(start_ns, None).await;
        marks.settled = Sample::take(self.broker);
        marks.looks.settled = self.look().await;
        if waited == Waited::Whole {
            let phase = self.phase("warm-up", warmup);
            waited = self.wait_until(timeline.measure_ns, Some(phase)).await;
        }
        marks.measured_from = Sample::take(self.broker);
        marks.looks.measured_from = self.look().await;
        if waited == Waited::Whole {
            let label = if self.plan.publishers() == 0 {
                "idle"
            } else {
                "measure"
            };
            let phase = self.phase(label, duration);
            waited = self.wait_until(timeline.end_ns, Some(phase)).await;
        }
        marks.interrupted = waited == Waited::Interrupted;
        if let Waited::Deserted { since_ns } = waited {
            marks.deserted_ns = Some(since_ns);
        }
        marks.measured_to = Sample::take(self.broker);
        marks.looks.measured_to = self.look().await;
        let end_ns = self.shared.end_ns(&timeline);
        marks.measured = Duration::from_nanos(end_ns.saturating_sub(timeline.measure_ns));
        let phase = self.phase("drain", drain);
        self.drain_until(end_ns + timeline.drain_ns, phase).await;
        marks.drained_ns = self.shared.now_ns();
        marks.looks.drained = self.look().await;
        marks
    }

    /// Until the load: known, or told by whoever leads. None where it was stopped.
    async fn delay(&mut self) -> Option<Duration> {
        let Some(gate) = self.gate.take() else {
            return Some(SETTLE_TIME);
        };
        // Whoever leads may be gone; then the stop says so.
        let _ = gate.ready.send(());
        tokio::select! {
            delay = gate.go => Some(delay.ok()?.max(SETTLE_TIME)),
            () = self.interrupts.recv() => None,
        }
    }

    /// Looks at the broker, on a thread of the runtime's: this one goes on
    /// waiting for an interrupt.
    async fn look(&self) -> Observation {
        let source = self.broker.source.clone();
        spawn_blocking(move || source.observe())
            .await
            .unwrap_or_default()
    }

    fn phase(&self, name: &'static str, length: Duration) -> Phase {
        Phase::new(name, length, self.shared.traffic())
    }

    /// Until every client has joined or failed; tells whether nothing came between.
    async fn ramp(&mut self) -> bool {
        let clients = self.plan.population() as usize;
        let mut progress = Ramp::new(clients);
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
                () = self.interrupts.recv() => {
                    self.shared.stop_ramp();
                    return false;
                }
            }
        }
    }

    /// Waits; when interrupted, or deserted by the broker, the sending ends and
    /// the answer is not [`Waited::Whole`].
    async fn wait_until(&mut self, then_ns: u64, mut phase: Option<Phase>) -> Waited {
        let mut deserted_ns = None;
        loop {
            if let Some(phase) = &mut phase {
                phase.show(self.shared.traffic());
            }
            let now_ns = self.shared.now_ns();
            let rest = Duration::from_nanos(then_ns.saturating_sub(now_ns));
            if rest.is_zero() {
                return Waited::Whole;
            }
            if self.shared.is_deserted() {
                let since_ns = *deserted_ns.get_or_insert(now_ns);
                if now_ns - since_ns >= nanoseconds(DESERTED_TIME) {
                    self.shared.cut();
                    return Waited::Deserted { since_ns };
                }
            }
            tokio::select! {
                () = sleep(rest.min(LOOK_INTERVAL)) => {}
                () = self.interrupts.recv() => {
                    self.shared.cut();
                    return Waited::Interrupted;
                }
            }
        }
    }

    /// The drain, which a second interrupt ends with the process.
    async fn drain_until(&mut self, then_ns: u64, mut phase: Phase) {
        loop {
            phase.show(self.shared.traffic());
            let rest = Duration::from_nanos(then_ns.saturating_sub(self.shared.now_ns()));
            if rest.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(rest.min(LOOK_INTERVAL)) => {}
                () = self.interrupts.recv() => process::exit(1),
            }
        }
    }
}

/// How a wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Whole,
    Interrupted,
    /// Nobody is connected any more.
    Deserted {
        /// When that was seen.
        since_ns: u64,
    },
}

impl Sample {
    /// What both processes have used so far.
    pub(crate) fn take(broker: &Broker) -> Self {
        Self {
            own: Usage::of(process::id()).unwrap_or_default(),
            broker: broker.usage(),
        }
    }
}
