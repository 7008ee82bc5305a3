//! The leader: shares a load out, starts all agents together and merges what they
//! bring home.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

use super::protocol::{Done, Figures, FromAgent, LineError, ToAgent, VERSION, read_lines, send};
use super::split::{SplitError, split};
use crate::args::{Fleet, Load};
use crate::broker::Broker;
use crate::limits::{
    AGENT_HELLO_TIMEOUT, AGENT_REPORT_BYTES_MAX, AGENT_SILENCE_MAX, AGENTS_MAX, GO_DELAY,
    LOOK_INTERVAL,
};
use crate::progress::{Phase, Ramp, Traffic};
use crate::report::{Incompatible, Interval, Marks, Report, Sample, Verdict};

/// Why there is nothing to report.
#[derive(Debug, Error)]
pub(crate) enum FleetError {
    /// No runtime.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// Too many.
    #[error("more than {AGENTS_MAX} agents")]
    TooMany,
    /// The load does not suit so many.
    #[error("{0}")]
    Split(#[from] SplitError),
    /// One can't take part.
    #[error("agent {agent}: {reason}")]
    Agent {
        /// Its address.
        agent: String,
        /// What it says, or what it does not.
        reason: String,
    },
    /// None has brought a report.
    #[error("no agent has reported: {0}")]
    Nothing(String),
    /// Reports that don't fit: agents of different versions.
    #[error("cannot merge: {0}")]
    Merge(#[from] Incompatible),
}

/// What becomes known of an agent, by its place.
type News = (usize, Result<FromAgent, String>);

/// Runs `load` with the fleet's agents and gives the merged report. Agents that
/// are lost on the way are told in it.
///
/// # Errors
/// Nobody can begin, or nobody brings anything home.
pub(crate) fn lead(fleet: &Fleet, load: &Load, broker: &Broker) -> Result<Report, FleetError> {
    if fleet.agents.len() > AGENTS_MAX {
        return Err(FleetError::TooMany);
    }
    let loads = split(load, fleet.agents.len())?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let interrupts = signal(SignalKind::interrupt())?;
        let (news, heard) = channel(fleet.agents.len());
        let mut agents = Vec::new();
        for (place, (agent, load)) in fleet.agents.iter().zip(loads).enumerate() {
            let joined = Led::join(agent, fleet.token(), place, &news).await;
            let mut led = joined.map_err(|reason| FleetError::Agent {
                agent: agent.clone(),
                reason,
            })?;
            let mut options = broker.to_options();
            options.extend(load.to_options());
            led.tell(&ToAgent::Run { options }).await;
            agents.push(led);
        }
        let leader = Leader {
            broker,
            marks: Marks::new(Sample::take(broker), broker.shards()),
            agents,
            heard,
            interrupts,
            interrupted: false,
        };
        leader.run(load).await
    })
}

/// One agent of the fleet.
struct Led {
    name: String,
    write: OwnedWriteHalf,
    figures: Figures,
    is_ready: bool,
    done: Option<Done>,
    /// Why it takes no part any more.
    lost: Option<String>,
    heard_at: Instant,
}

impl Led {
    /// Connects and says hello.
    async fn join(
        name: &str,
        token: &str,
        place: usize,
        news: &Sender<News>,
    ) -> Result<Self, String> {
        let connecting = timeout(AGENT_HELLO_TIMEOUT, TcpStream::connect(name)).await;
        let stream = connecting
            .map_err(|_| "it does not answer".to_owned())?
            .map_err(|error| format!("cannot connect: {error}"))?;
        let (read, mut write) = stream.into_split();
        let mut lines = read_lines::<FromAgent>(read, AGENT_REPORT_BYTES_MAX);
        let hello = ToAgent::Hello {
            version: VERSION,
            token: token.to_owned(),
        };
        let lost = |error: LineError| error.to_string();
        send(&mut write, &hello).await.map_err(lost)?;
        let answer = timeout(AGENT_HELLO_TIMEOUT, lines.recv()).await;
        match answer {
            Ok(Some(Ok(FromAgent::Hello { version: VERSION }))) => {}
            Ok(Some(Ok(FromAgent::Refused(refusal)))) => return Err(refusal.to_string()),
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(Some(Ok(_)) | None) | Err(_) => return Err("it is no agent".to_owned()),
        }
        tokio::spawn(pass_on(lines, place, news.clone()));
        Ok(Self {
            name: name.to_owned(),
            write,
            figures: Figures::default(),
            is_ready: false,
            done: None,
            lost: None,
            heard_at: Instant::now(),
        })
    }

    async fn tell(&mut self, order: &ToAgent) {
        if self.is_over() {
            return;
        }
        if let Err(error) = send(&mut self.write, order).await {
            self.lost = Some(error.to_string());
        }
    }

    fn is_over(&self) -> bool {
        self.done.is_some() || self.lost.is_some()
    }
}

async fn pass_on(
    mut lines: Receiver<Result<FromAgent, LineError>>,
    place: usize,
    news: Sender<News>,
) {
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|error| error.to_string());
        if news.send((place, line)).await.is_err() {
            return;
        }
    }
}

struct Leader<'a> {
    broker: &'a Broker,
    /// What was seen of the broker at the phases' borders.
    marks: Marks,
    agents: Vec<Led>,
    heard: Receiver<News>,
    interrupts: Signal,
    interrupted: bool,
}

impl Leader<'_> {
    async fn run(mut self, load: &Load) -> Result<Report, FleetError> {
        self.marks.looks.before = self.broker.source.observe();
        self.ramp(load.clients as usize + load.slow_clients as usize)
            .await;
        self.marks.settled = Sample::take(self.broker);
        self.marks.looks.settled = self.broker.source.observe();
        if self.interrupted || self.agents.iter().any(Led::is_over) {
            // One without which the load is not what was asked for.
            self.tell_all(&ToAgent::Stop).await;
        } else {
            let delay_ms = GO_DELAY.as_millis() as u64;
            self.tell_all(&ToAgent::Go { delay_ms }).await;
            self.phase("warm-up", load.warmup.0 + GO_DELAY).await;
            self.marks.measured_from = Sample::take(self.broker);
            self.marks.looks.measured_from = self.broker.source.observe();
            let began = Instant::now();
            self.phase("measure", load.duration.0).await;
            self.marks.measured_to = Sample::take(self.broker);
            self.marks.looks.measured_to = self.broker.source.observe();
            self.marks.measured = began.elapsed();
            self.phase("drain", load.drain.0).await;
            self.marks.take_usage_from_metrics();
        }
        while !self.agents.iter().all(Led::is_over) {
            self.listen(LOOK_INTERVAL).await;
        }
        self.merge()
    }

    /// Until all are ready, or one never will be.
    async fn ramp(&mut self, clients: usize) {
        let mut progress = Ramp::new(clients);
        let is_settled =
            |agents: &[Led]| agents.iter().all(|it| it.is_ready) || agents.iter().any(Led::is_over);
        while !self.interrupted && !is_settled(&self.agents) {
            self.listen(LOOK_INTERVAL).await;
            let sum =
                |of: fn(&Figures) -> usize| self.agents.iter().map(|it| of(&it.figures)).sum();
            progress.show(sum(|it| it.subscribed), sum(|it| it.failed));
        }
    }

    /// Shows how it goes, and stops all when one is lost or somebody interrupts.
    async fn phase(&mut self, name: &'static str, length: Duration) {
        let end = Instant::now() + length;
        let mut phase = Phase::new(name, length, self.traffic());
        while Instant::now() < end && !self.agents.iter().all(Led::is_over) {
            let has_lost = self.agents.iter().any(|it| it.lost.is_some());
            let was_interrupted = self.interrupted;
            self.listen(LOOK_INTERVAL.min(end - Instant::now())).await;
            let loses = !has_lost && self.agents.iter().any(|it| it.lost.is_some());
            if loses || (self.interrupted && !was_interrupted) {
                self.tell_all(&ToAgent::Stop).await;
            }
            phase.show(self.traffic());
        }
    }

    fn traffic(&self) -> Traffic {
        let figures = self.agents.iter().map(|it| it.figures);
        figures.fold(Traffic::default(), |sum, it| Traffic {
            sent: sum.sent + it.sent,
            received: sum.received + it.received,
        })
    }

    async fn tell_all(&mut self, order: &ToAgent) {
        for agent in &mut self.agents {
            agent.tell(order).await;
        }
    }

    /// Takes in what is heard within `time`; who is silent for too long is lost.
    async fn listen(&mut self, time: Duration) {
        tokio::select! {
            news = self.heard.recv() => {
                if let Some((place, news)) = news {
                    self.take(place, news);
                }
            }
            _ = self.interrupts.recv() => {
                if self.interrupted {
                    std::process::exit(1);
                }
                self.interrupted = true;
            }
            () = sleep(time) => {}
        }
        for agent in self.agents.iter_mut().filter(|it| !it.is_over()) {
            if agent.heard_at.elapsed() > AGENT_SILENCE_MAX {
                agent.lost = Some("it fell silent".to_owned());
            }
        }
    }

    fn take(&mut self, place: usize, news: Result<FromAgent, String>) {
        let agent = &mut self.agents[place];
        if agent.is_over() {
            return;
        }
        agent.heard_at = Instant::now();
        match news {
            Ok(FromAgent::Alive(figures)) => agent.figures = figures,
            Ok(FromAgent::Ready) => agent.is_ready = true,
            Ok(FromAgent::Report(done)) => agent.done = Some(*done),
            Ok(FromAgent::Failed { error }) | Err(error) => agent.lost = Some(error),
            Ok(FromAgent::Hello { .. } | FromAgent::Refused(_)) => {
                agent.lost = Some("it broke the protocol".to_owned());
            }
        }
    }

    fn merge(self) -> Result<Report, FleetError> {
        let mut lost = BTreeMap::new();
        let (mut named, mut intervals) = (Vec::new(), Vec::new());
        for agent in self.agents {
            match (agent.done, agent.lost) {
                (Some(done), _) => {
                    named.push((agent.name, done.report));
                    intervals.push(done.intervals.into_iter().map(Interval::from).collect());
                }
                (None, reason) => {
                    lost.insert(agent.name, reason.unwrap_or_default());
                }
            }
        }
        if named.is_empty() {
            let reasons = lost
                .iter()
                .map(|(name, reason)| format!("{name}: {reason}"));
            return Err(FleetError::Nothing(reasons.collect::<Vec<_>>().join("; ")));
        }
        let begins_s = begins(&named);
        let mut merged = Report::merge(named, &begins_s)?;
        let first_s = begins_s.iter().copied().fold(f64::INFINITY, f64::min);
        let begins_s = begins_s.iter().map(|begin_s| begin_s - first_s);
        merged.take_intervals(begins_s.zip(intervals).collect());
        merged.interrupted |= self.interrupted;
        if !lost.is_empty() || self.interrupted {
            merged.verdict = Verdict::Failed;
        }
        merged.lost_parts = lost;
        merged.look_at_broker(&self.marks);
        Ok(merged)
    }
}

/// When each agent's clock began, counted from the moment at which all began to
/// measure: their own clocks need not agree.
fn begins(named: &[(String, Report)]) -> Vec<f64> {
    let begins = named.iter().map(|(_, report)| {
        let measure = report.phases.iter().find(|phase| phase.name == "measure");
        -measure.map_or(0.0, |phase| phase.start_s)
    });
    begins.collect()
}
