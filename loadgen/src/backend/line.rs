//! Requests of one kind, on a fixed schedule.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::task::{JoinSet, yield_now};

use crate::limits::{BACKEND_REQUESTS_MAX, SENDS_PER_TURN_MAX};
use crate::pace::Pace;
use crate::payload::{Carried, Stamp};
use crate::plan::Plan;
use crate::pump::{Histograms, Publisher};
use crate::schedule::{Due, Schedule};
use crate::timeline::{Shared, Timeline, nanoseconds};
use crate::tokens::{PATTERN, uid};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Broadcast,
    /// Opening and closing of further channels, by turns.
    Channel,
    Token,
}

/// What came of one kind of requests; those of the warm-up don't count.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) per_s: f64,
    pub(crate) sent: u64,
    pub(crate) done: u64,
    /// Too many were under way.
    pub(crate) unsent: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    /// From when a request was due to its answer.
    pub(crate) times: Histogram<u64>,
    /// From when a request was due to its leaving.
    pub(crate) lateness: Histogram<u64>,
}

/// The requests of one kind.
pub(super) struct Line {
    asked: Asked,
    /// In turn those of the channels, for broadcasts.
    schedule: Schedule,
    turns: u32,
    clients: Vec<kosmonaut::Client>,
    names: Vec<String>,
    publishers: Vec<Publisher>,
    run: u32,
    data_bytes: usize,
    measure_ns: u64,
    count: u64,
    under_way: JoinSet<Answer>,
}

struct Answer {
    counts: bool,
    after_ns: u64,
    result: Result<(), kosmonaut::Error>,
}

impl Line {
    /// Those that the plan asks for.
    pub(super) fn all(plan: &Plan, url: &kosmonaut::Url, run: u32) -> Vec<Self> {
        let backend = &plan.backend;
        let kinds = [
            (What::Broadcast, backend.rate, backend.clients),
            (What::Channel, backend.channel_churn, 1),
            (What::Token, backend.token_rate, 1),
        ];
        let wanted = kinds.into_iter().filter(|(_, per_s, _)| *per_s > 0.0);
        wanted
            .map(|(what, per_s, clients)| Self::new(plan, url, run, what, per_s, clients))
            .collect()
    }

    fn new(
        plan: &Plan,
        url: &kosmonaut::Url,
        run: u32,
        what: What,
        per_s: f64,
        clients: u32,
    ) -> Self {
        let is_broadcast = what == What::Broadcast;
        let channels = 0..if is_broadcast { plan.channels } else { 0 };
        Self {
            asked: Asked {
                what,
                per_s,
                sent: 0,
                done: 0,
                unsent: 0,
                refused: BTreeMap::new(),
                times: Histograms::empty(),
                lateness: Histograms::empty(),
            },
            schedule: Schedule::new(Pace::constant(per_s), 1, Vec::new(), 0, 0),
            turns: plan.channels.max(1),
            clients: (0..clients)
                .map(|_| kosmonaut::Client::new(url.clone()))
                .collect(),
            names: channels.clone().map(|it| plan.channel_name(it)).collect(),
            publishers: channels.map(|it| Publisher::of_backend(plan, it)).collect(),
            run,
            data_bytes: plan.data_bytes,
            measure_ns: u64::MAX,
            count: 0,
            under_way: JoinSet::new(),
        }
    }

    /// The timeline is set.
    pub(super) fn begin(&mut self, timeline: &Timeline) {
        self.measure_ns = timeline.measure_ns;
        self.schedule = Schedule::new(
            Pace::constant(self.asked.per_s),
            self.turns,
            (0..self.turns).collect(),
            timeline.start_ns,
            timeline.end_ns,
        );
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.schedule.next_ns()
    }

    /// What is due by now, in its order on each connection.
    pub(super) async fn ask_due(&mut self, shared: &Shared, end_ns: u64) {
        while let Some(answer) = self.under_way.try_join_next() {
            self.take(answer);
        }
        self.schedule.cut(end_ns);
        for _ in 0..SENDS_PER_TURN_MAX {
            let Some(due) = self.schedule.take_due(shared.now_ns()) else {
                break;
            };
            self.ask(shared, &due);
        }
        // The tasks begin their requests in the order in which they were made.
        yield_now().await;
    }

    fn ask(&mut self, shared: &Shared, due: &Due) {
        let counts = due.intended_ns >= self.measure_ns;
        if self.under_way.len() >= BACKEND_REQUESTS_MAX {
            self.asked.unsent += u64::from(counts);
            return;
        }
        let now_ns = shared.now_ns();
        let late_ns = now_ns.saturating_sub(due.intended_ns);
        if counts {
            self.asked.sent += 1;
            self.asked.lateness.saturating_record(late_ns);
        }
        let (number, turn) = (self.count, due.turn);
        self.count += 1;
        let client = self.clients[turn % self.clients.len()].clone();
        let began = Instant::now();
        let timed = move |result| Answer {
            counts,
            after_ns: late_ns + nanoseconds(began.elapsed()),
            result,
        };
        match self.asked.what {
            What::Broadcast => {
                let publisher = &mut self.publishers[turn];
                let stamp = Stamp {
                    run: self.run,
                    publisher: publisher.number,
                    sequence: publisher.take_sequence(counts),
                    intended_ns: due.intended_ns,
                    sent_ns: now_ns,
                };
                shared.set_sequence(stamp.publisher, stamp.sequence + 1);
                let data = Carried::sized(&stamp, self.data_bytes);
                let channel = self.names[turn].clone();
                self.under_way
                    .spawn(async move { timed(client.broadcast(&channel, "load", &data).await) });
            }
            What::Channel => {
                let name = format!("load-churn-{:08x}-{}", self.run, number / 2);
                self.under_way.spawn(async move {
                    timed(match number % 2 {
                        0 => client.open_channel(&name).await,
                        _ => client.close_channel(&name).await,
                    })
                });
            }
            What::Token => {
                let uid = uid(number as u32);
                self.under_way.spawn(async move {
                    let token = client.request_single_access_token(&uid, PATTERN).await;
                    timed(token.map(drop))
                });
            }
        }
    }

    fn take(&mut self, answer: Result<Answer, tokio::task::JoinError>) {
        let Some(answer) = answer.ok().filter(|answer| answer.counts) else {
            return;
        };
        match answer.result {
            Ok(()) => {
                self.asked.done += 1;
                self.asked.times.saturating_record(answer.after_ns);
            }
            Err(error) => *self.asked.refused.entry(error.to_string()).or_default() += 1,
        }
    }

    /// Waits for what is under way: each request ends by its own time limit.
    pub(super) async fn finish(mut self) -> (Asked, Vec<Publisher>) {
        while let Some(answer) = self.under_way.join_next().await {
            self.take(answer);
        }
        (self.asked, self.publishers)
    }
}
