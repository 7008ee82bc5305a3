//! What must hold, looked at when the world has come to rest.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;

/// How often the interesting things happened.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) events: usize,
    pub(crate) partial: usize,
    pub(crate) hidden: usize,
    pub(crate) rosters: usize,
    pub(crate) forced: usize,
    pub(crate) lost_races: usize,
    pub(crate) retries: usize,
    pub(crate) triggers: usize,
    pub(crate) unavailable: usize,
    pub(crate) refused: usize,
    pub(crate) told: usize,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.partial += other.partial;
        self.hidden += other.hidden;
        self.rosters += other.rosters;
        self.forced += other.forced;
        self.lost_races += other.lost_races;
        self.retries += other.retries;
        self.triggers += other.triggers;
        self.unavailable += other.unavailable;
        self.refused += other.refused;
        self.told += other.told;
    }

    pub(crate) fn assert_all_happened(&self) {
        let Self {
            events,
            partial,
            hidden,
            rosters,
            forced,
            lost_races,
            retries,
            triggers,
            unavailable,
            refused,
            told,
        } = self;
        for count in [
            events,
            partial,
            hidden,
            rosters,
            forced,
            lost_races,
            retries,
            triggers,
            unavailable,
            refused,
            told,
        ] {
            assert!(*count > 50, "too rare to prove anything: {self:?}");
        }
    }
}

/// The order of one channel's life, as its witness saw it.
pub(crate) type Order = Vec<Value>;

/// The event name and its channel, for whatever belongs to a channel.
fn event(message: &Value) -> Option<(&str, &str)> {
    let (name, payload) = message.as_object()?.iter().next()?;
    let channel = payload.get("channel")?.as_str()?;
    Some((name.as_str(), channel))
}

fn is_custom(message: &Value) -> bool {
    event(message).is_some_and(|(name, _)| !name.starts_with(':'))
}

/// What the witness of each channel received, life by life of the channel.
pub(crate) fn orders(witnesses: &[&Client]) -> BTreeMap<String, Vec<Order>> {
    let mut orders: BTreeMap<String, Vec<Order>> = BTreeMap::new();
    for witness in witnesses {
        for message in &witness.received {
            match event(message) {
                Some((":subscribed", channel)) => {
                    orders.entry(channel.into()).or_default().push(Order::new());
                }
                Some((":unsubscribed", _)) | None => {}
                Some((_, channel)) => {
                    let lives = orders.get_mut(channel).expect("subscribed before");
                    lives.last_mut().expect("a life").push(message.clone());
                }
            }
        }
    }
    orders
}

/// One subscription of a session.
struct Period {
    roster: Option<Vec<Value>>,
    hidden: bool,
    events: Vec<Value>,
    ended: bool,
}

fn periods(client: &Client, totals: &mut Totals) -> Vec<(String, Period)> {
    let mut open: BTreeMap<String, Period> = BTreeMap::new();
    let mut done = Vec::new();
    let mut authenticated = false;
    for message in &client.received {
        match event(message) {
            Some((":subscribed", channel)) => {
                let hidden = client.hides.get(channel).copied().unwrap_or(false);
                let roster = message[":subscribed"]["subscribers"].as_array().cloned();
                totals.rosters += usize::from(roster.as_ref().is_some_and(|r| !r.is_empty()));
                let period = Period {
                    roster,
                    hidden,
                    events: Vec::new(),
                    ended: false,
                };
                assert!(
                    open.insert(channel.into(), period).is_none(),
                    "subscribed twice"
                );
            }
            Some((":unsubscribed", channel)) => {
                let mut period = open.remove(channel).unwrap_or_else(|| {
                    panic!(
                        "{channel} unsubscribed what it was not: {}",
                        client.transcript()
                    )
                });
                period.ended = true;
                done.push((channel.to_owned(), period));
            }
            Some((_, channel)) => {
                let period = open.get_mut(channel);
                let period = period.unwrap_or_else(|| panic!("not subscribed: {message}"));
                period.events.push(message.clone());
            }
            // Authenticating anew ends all subscriptions without a word.
            None => {
                let good = message.get(":authenticated").is_some();
                let answered = good || message[":error"]["code"] == 402;
                if answered && authenticated {
                    for (channel, mut period) in std::mem::take(&mut open) {
                        period.ended = true;
                        done.push((channel, period));
                    }
                }
                if answered {
                    authenticated = good;
                }
            }
        }
    }
    done.extend(open);
    done
}

/// A session's events are gapless pieces of the channels' orders.
pub(crate) fn check_client(
    client: &Client,
    orders: &BTreeMap<String, Vec<Order>>,
    totals: &mut Totals,
) {
    for (channel, period) in periods(client, totals) {
        totals.events += period.events.len();
        let told = period.events.iter().filter(|it| it.get("told").is_some());
        totals.told += told.count();
        totals.hidden += usize::from(period.hidden);
        let lives = orders.get(&channel).map_or(&[][..], Vec::as_slice);
        let complete = client.alive && !period.ended;
        let fits = lives.iter().enumerate().any(|(index, order)| {
            let last = index + 1 == lives.len();
            is_piece(&period, order, complete && last) && (!complete || last)
        });
        let unseen = lives.is_empty() && period.events.is_empty();
        assert!(
            fits || unseen,
            "{} on {channel}: {:?} (complete: {complete}) is no piece of {lives:?}",
            client.sid,
            period.events,
        );
        if lives
            .iter()
            .any(|order| order.len() > period.events.len() + 1)
        {
            totals.partial += 1;
        }
    }
}

/// Whether the events are a gapless piece of the order, to its end where the
/// subscription still stands, and the roster is what the order says at its start.
fn is_piece(period: &Period, order: &Order, to_the_end: bool) -> bool {
    (0..=order.len()).any(|start| {
        if period
            .roster
            .as_ref()
            .is_some_and(|roster| *roster != members(&order[..start]))
        {
            return false;
        }
        let mut piece = order[start..]
            .iter()
            .filter(|m| !(period.hidden && is_custom(m)));
        let matches = period
            .events
            .iter()
            .all(|event| piece.next() == Some(event));
        matches && (!to_the_end || piece.next().is_none())
    })
}

/// The members present after these events.
fn members(events: &[Value]) -> Vec<Value> {
    let mut members: Vec<Value> = Vec::new();
    for event in events {
        if let Some(record) = event.get(":memberJoined") {
            members.push(record.clone());
        } else if let Some(record) = event.get(":memberLeft") {
            let place = members.iter().position(|member| member["n"] == record["n"]);
            members.remove(place.expect("left without having joined"));
        }
    }
    members
}
