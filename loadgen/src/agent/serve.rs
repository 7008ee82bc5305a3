//! `loadgen agent`: waits for a leader and runs its part of the load.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::protocol::{
    Done, Figures, FromAgent, LineError, Packed, Refusal, ToAgent, VERSION, read_lines, send,
};
use crate::args::{Load, Place, Watch};
use crate::limits::{
    AGENT_ALIVE_INTERVAL, AGENT_CONNECTIONS_MAX, AGENT_HELLO_TIMEOUT, AGENT_ORDER_BYTES_MAX,
};
use crate::report::Report;
use crate::run::Gate;

/// Where to listen, and for whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Agent {
    /// Address to listen at; beyond loopback a token is needed
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7200")]
    listen: SocketAddr,

    /// What a leader has to give as its --agent-token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LOADGEN_AGENT_TOKEN",
        hide_env_values = true
    )]
    agent_token: Option<String>,
}

/// Why an agent can't serve.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    /// Anybody could make this machine attack another.
    #[error("{0} is not loopback: give --agent-token or LOADGEN_AGENT_TOKEN")]
    NoToken(SocketAddr),
    /// In use, or not ours.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// As given.
        at: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No runtime.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The options of a leader: a load and its place, nothing that touches this
/// machine's files.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Job {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    load: Load,
}

impl Agent {
    /// Serves until it is killed.
    ///
    /// # Errors
    /// It never could.
    pub(crate) fn run(&self) -> Result<(), AgentError> {
        if self.agent_token.is_none() && !self.listen.ip().is_loopback() {
            return Err(AgentError::NoToken(self.listen));
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> Result<(), AgentError> {
        let at = self.listen;
        let listen = |source| AgentError::Listen { at, source };
        let listener = TcpListener::bind(at).await.map_err(listen)?;
        eprintln!("agent at {}", listener.local_addr().map_err(listen)?);
        let token: Arc<str> = self.agent_token.clone().unwrap_or_default().into();
        let turn = Arc::new(Semaphore::new(1));
        let places = Arc::new(Semaphore::new(AGENT_CONNECTIONS_MAX));
        loop {
            // Past the bound leaders wait in the kernel.
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (token, turn) = (Arc::clone(&token), Arc::clone(&turn));
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = attend(stream, &token, &turn).await {
                    eprintln!("leader {from}: {error}");
                }
            });
        }
    }
}

/// One leader, from its hello to the report.
async fn attend(stream: TcpStream, token: &str, turn: &Semaphore) -> Result<(), LineError> {
    let (read, mut write) = stream.into_split();
    let mut lines = read_lines::<ToAgent>(read, AGENT_ORDER_BYTES_MAX);
    let refusal = match next(&mut lines).await? {
        ToAgent::Hello { version, .. } if version != VERSION => Some(Refusal::Version),
        ToAgent::Hello { token: given, .. }
            if bool::from(given.as_bytes().ct_eq(token.as_bytes())) =>
        {
            None
        }
        _ => Some(Refusal::Token),
    };
    if let Some(refusal) = refusal {
        return send(&mut write, &FromAgent::Refused(refusal)).await;
    }
    let Ok(_turn) = turn.try_acquire() else {
        return send(&mut write, &FromAgent::Refused(Refusal::Busy)).await;
    };
    send(&mut write, &FromAgent::Hello { version: VERSION }).await?;
    let ToAgent::Run { options } = next(&mut lines).await? else {
        return Err(LineError::Closed);
    };
    let last = match Job::try_parse_from(["loadgen".to_owned()].into_iter().chain(options)) {
        Ok(job) => work(job, &mut lines, &mut write).await,
        Err(error) => FromAgent::Failed {
            error: error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        },
    };
    send(&mut write, &last).await
}

/// The next order of one who has still to show what it wants.
async fn next(lines: &mut Receiver<Result<ToAgent, LineError>>) -> Result<ToAgent, LineError> {
    let line = timeout(AGENT_HELLO_TIMEOUT, lines.recv()).await;
    line.ok().flatten().unwrap_or(Err(LineError::Closed))
}

/// Runs the job and does what the leader says meanwhile. A leader that goes away
/// ends it.
async fn work(
    job: Job,
    lines: &mut Receiver<Result<ToAgent, LineError>>,
    write: &mut OwnedWriteHalf,
) -> FromAgent {
    let (tell_ready, mut ready) = oneshot::channel();
    let (tell_go, go) = oneshot::channel();
    let (stop, stopped) = watch::channel(false);
    let (tell_shared, mut shared) = watch::channel(None);
    let gate = Gate {
        ready: tell_ready,
        go,
        stop: stopped,
        shared: tell_shared,
    };
    let mut run = spawn_blocking(move || carry_out(&job, gate));
    let mut go = Some(tell_go);
    let mut is_ready = false;
    let mut is_led = true;
    let mut every = interval(AGENT_ALIVE_INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let said = tokio::select! {
            done = &mut run => {
                return match done {
                    Ok(Ok(report)) => FromAgent::Report(Box::new(Done {
                        intervals: report.intervals.iter().map(Packed::from).collect(),
                        report,
                    })),
                    Ok(Err(error)) => FromAgent::Failed { error },
                    Err(panic) => FromAgent::Failed { error: panic.to_string() },
                };
            }
            told = &mut ready, if !is_ready => {
                is_ready = true;
                // A run that ends in its ramp is never ready.
                match told {
                    Ok(()) => FromAgent::Ready,
                    Err(_) => continue,
                }
            }
            line = lines.recv(), if is_led => {
                match line {
                    Some(Ok(ToAgent::Go { delay_ms })) => {
                        if let Some(go) = go.take() {
                            let _ = go.send(Duration::from_millis(delay_ms));
                        }
                    }
                    Some(Ok(ToAgent::Stop)) => {
                        let _ = stop.send(true);
                    }
                    Some(Ok(ToAgent::Hello { .. } | ToAgent::Run { .. }) | Err(_)) | None => {
                        is_led = false;
                        let _ = stop.send(true);
                    }
                }
                continue;
            }
            _ = every.tick() => FromAgent::Alive(figures(&mut shared)),
        };
        if is_led && send(write, &said).await.is_err() {
            is_led = false;
            let _ = stop.send(true);
        }
    }
}

fn figures(shared: &mut watch::Receiver<Option<Arc<crate::timeline::Shared>>>) -> Figures {
    let shared = shared.borrow_and_update();
    shared.as_ref().map_or_else(Figures::default, |shared| {
        let traffic = shared.traffic();
        Figures {
            subscribed: shared.subscribed(),
            failed: shared.failed(),
            sent: traffic.sent,
            received: traffic.received,
        }
    })
}

fn carry_out(job: &Job, gate: Gate) -> Result<Report, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if job.place.self_host {
        return Err("an agent starts no broker".to_owned());
    }
    let plan = job.load.plan().map_err(|error| text(&error))?;
    let prepared = crate::prepare(&job.place, &Watch::default(), &plan);
    let broker = prepared.map_err(|error| text(&error))?;
    crate::measure(plan, &broker, Some(gate)).map_err(|error| text(&error))
}
