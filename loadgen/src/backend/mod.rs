//! The backend's side of a run, beside the clients: workers that take what they
//! trigger, and Kosmonaut clients that broadcast, open, close and ask for tokens.

mod desk;
mod line;

pub(crate) use desk::Handled;
pub(crate) use line::{Asked, What};

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::limits::{LOOK_INTERVAL, WORKERS_READY_TIMEOUT};
use crate::plan::Plan;
use crate::process::thread_cpu;
use crate::pump::{Cpu, Publisher, Recorded};
use crate::timeline::{Shared, Timeline};
use desk::Desk;
use line::Line;

/// All roles of the backend, on a thread of their own.
#[derive(Debug)]
pub(crate) struct Crew {
    ready: Option<oneshot::Receiver<()>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<CrewOutcome>,
}

/// What the thread brings home.
#[derive(Debug)]
pub(crate) struct CrewOutcome {
    pub(crate) handled: Handled,
    pub(crate) recorded: Recorded,
    /// By channel, as the backend broadcasts on each.
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) cpu: Cpu,
}

impl Crew {
    /// Workers connect at once; requests follow the timeline.
    ///
    /// # Errors
    /// No thread or runtime.
    pub(crate) fn start(
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        url: kosmonaut::Url,
        run: u32,
    ) -> io::Result<Self> {
        let (tell_ready, ready) = oneshot::channel();
        let (stop, stopped) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new()
            .name("backend".into())
            .spawn(move || {
                let work = Work {
                    plan,
                    shared,
                    url,
                    run,
                    stopped,
                };
                runtime.block_on(work.run(tell_ready))
            })?;
        Ok(Self {
            ready: Some(ready),
            stop,
            thread,
        })
    }

    /// Waits until every worker is registered, or for as long as that may take.
    pub(crate) async fn ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            let _ = timeout(WORKERS_READY_TIMEOUT, ready).await;
        }
    }

    /// Ends all work; to be called once the clients are done.
    pub(crate) fn finish(self) -> Option<CrewOutcome> {
        // Whoever has ended needs no word.
        let _ = self.stop.send(true);
        self.thread.join().ok()
    }
}

struct Work {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    url: kosmonaut::Url,
    run: u32,
    stopped: watch::Receiver<bool>,
}

impl Work {
    async fn run(self, tell_ready: oneshot::Sender<()>) -> CrewOutcome {
        let desk = Desk::new(&self.plan, &self.shared, &self.url, self.run);
        let desk = Arc::new(Mutex::new(desk));
        let mut workers = JoinSet::new();
        for _ in 0..self.plan.backend.workers {
            let worker = desk::worker(&desk, self.url.clone());
            let mut stopped = self.stopped.clone();
            workers.spawn(async move {
                let stopped = stopped.wait_for(|&is_stopped| is_stopped);
                worker.run_until(stopped).await
            });
        }
        let mut lines = Line::all(&self.plan, &self.url, self.run);
        self.await_workers(&desk).await;
        // The conductor may have given up waiting.
        let _ = tell_ready.send(());
        let mut cpu = Cpu::default();
        if let Some(timeline) = self.timeline().await {
            cpu = self.keep(&mut lines, &timeline).await;
        }
        let mut stopped = self.stopped.clone();
        let _ = stopped.wait_for(|&is_stopped| is_stopped).await;
        while workers.join_next().await.is_some() {}
        let (mut asked, mut publishers) = (Vec::new(), Vec::new());
        for line in lines {
            let (one, own) = line.finish().await;
            asked.push(one);
            publishers.extend(own);
        }
        let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
        CrewOutcome {
            handled: desk.handled(),
            recorded: desk.recorder.finish(),
            publishers,
            asked,
            cpu,
        }
    }

    async fn await_workers(&self, desk: &Mutex<Desk>) {
        while !*self.stopped.borrow() {
            let ready = desk.lock().unwrap_or_else(PoisonError::into_inner).ready();
            if ready >= u64::from(self.plan.backend.workers) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// None where the ramp was the end.
    async fn timeline(&self) -> Option<Timeline> {
        loop {
            if let Some(timeline) = self.shared.timeline() {
                return Some(timeline);
            }
            if *self.stopped.borrow() {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks whatever is due until the sending ends; gives the thread's use of its
    /// core while measuring.
    async fn keep(&self, lines: &mut [Line], timeline: &Timeline) -> Cpu {
        for line in lines.iter_mut() {
            line.begin(timeline);
        }
        let mut measured_from = None;
        loop {
            let now_ns = self.shared.now_ns();
            let end_ns = self.shared.end_ns(timeline);
            if now_ns >= timeline.measure_ns && measured_from.is_none() {
                measured_from = Some((now_ns, thread_cpu()));
            }
            if now_ns >= end_ns || *self.stopped.borrow() {
                let (from_ns, used) = measured_from.unwrap_or((now_ns, thread_cpu()));
                return Cpu {
                    used: thread_cpu().saturating_sub(used),
                    passed: Duration::from_nanos(now_ns - from_ns),
                };
            }
            for line in lines.iter_mut() {
                line.ask_due(&self.shared, end_ns).await;
            }
            let next_ns = lines.iter().filter_map(Line::next_ns).min();
            let rest = next_ns
                .unwrap_or(end_ns)
                .saturating_sub(self.shared.now_ns());
            sleep(Duration::from_nanos(rest).min(LOOK_INTERVAL)).await;
        }
    }
}
