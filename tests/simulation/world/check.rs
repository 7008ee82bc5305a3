//! What must hold, looked at when the world has come to rest.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use webrocket::model::VhostId;

use super::client::Client;

const HAPPENINGS: [&str; 25] = [
    "answers to backends",
    "channels closed",
    "drains",
    "echoes",
    "events",
    "events in one bundle",
    "frontends sent away",
    "hidden subscriptions",
    "messages offered again",
    "messages past a quota",
    "operator's events",
    "partial subscriptions",
    "quotas replaced",
    "races for a token lost",
    "rosters",
    "slow consumers evicted",
    "tokens expired",
    "triggers",
    "triggers past a worker",
    "triggers without a worker",
    "turns past a cork",
    "vhosts deleted",
    "wake-ups late or lost",
    "workers expired",
    "workers replaced",
];

/// How often the interesting things happened.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<&'static str, usize>);

impl Totals {
    pub(crate) fn count(&mut self, what: &'static str, times: usize) {
        assert!(HAPPENINGS.contains(&what), "{what} has no name");
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other
            .0
            .iter()
            .for_each(|(what, &times)| self.count(what, times));
    }

    /// A simulation in which nothing happens would pass as well.
    pub(crate) fn assert_all_happened(&self) {
        for what in HAPPENINGS {
            let times = self.0.get(what).copied().unwrap_or_default();
            assert!(times > 20, "{what}: too rare to prove anything: {self}");
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().map(|(what, times)| format!("{times} {what}"));
        write!(f, "{}", counts.collect::<Vec<_>>().join(", "))
    }
}

/// What its witness saw of one channel's life.
#[derive(Debug, Default)]
pub(crate) struct Order {
    events: Vec<Value>,
    /// The witness itself was sent away: there may have been more.
    cut: bool,
}

/// By the channels of all vhosts, life by life.
pub(crate) type Orders = BTreeMap<(VhostId, String), Vec<Order>>;

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
pub(crate) fn orders(clients: &[Client]) -> Orders {
    let mut orders = Orders::new();
    for witness in clients.iter().filter(|client| client.witness) {
        let place = |channel: &str| (witness.vhost, channel.to_owned());
        for message in &witness.sent {
            match event(message) {
                Some((":subscribed", channel)) => {
                    let lives = orders.entry(place(channel)).or_default();
                    lives.push(Order::default());
                }
                Some((":unsubscribed", _)) | None => {}
                Some((_, channel)) => {
                    let lives = orders.get_mut(&place(channel)).expect("subscribed before");
                    let events = &mut lives.last_mut().expect("a life").events;
                    events.push(message.clone());
                }
            }
        }
        if let Some(life) = witness.last_channel().and_then(|channel| {
            let lives = orders.get_mut(&place(channel))?;
            lives.last_mut()
        }) {
            life.cut = !witness.alive;
        }
    }
    for order in orders.values().flatten() {
        let mut numbers: Vec<u64> = order.numbers().collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "an event came twice");
    }
    orders
}

impl Order {
    /// The numbers of the custom events; no two are the same.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let custom = self.events.iter().filter(|message| is_custom(message));
        custom.filter_map(|message| message.as_object()?.values().next()?["n"].as_u64())
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.numbers().any(|known| known == number)
    }
}

/// One subscription of a session.
struct Period {
    roster: Option<Vec<Value>>,
    hidden: bool,
    events: Vec<Value>,
    ended: bool,
    /// It ended with `:unsubscribed`.
    confirmed: bool,
}

impl Period {
    /// The number in its own record, where it was announced.
    fn own_number(&self) -> Option<u64> {
        self.events.first()?[":memberJoined"]["n"]
            .as_u64()
            .filter(|_| self.roster.is_some() && !self.hidden)
    }
}

fn periods(client: &Client, totals: &mut Totals) -> Vec<(String, Period)> {
    let mut open: BTreeMap<String, Period> = BTreeMap::new();
    let mut done = Vec::new();
    let mut authenticated = false;
    for message in &client.sent {
        match event(message) {
            Some((":subscribed", channel)) => {
                let hidden = client.hides.get(channel).copied().unwrap_or(false);
                let roster = message[":subscribed"]["subscribers"].as_array().cloned();
                let filled = roster.as_ref().is_some_and(|r| !r.is_empty());
                totals.count("rosters", usize::from(filled));
                let period = Period {
                    roster,
                    hidden,
                    events: Vec::new(),
                    ended: false,
                    confirmed: false,
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
                period.confirmed = true;
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
pub(crate) fn check_client(client: &Client, orders: &Orders, totals: &mut Totals) {
    for (channel, period) in periods(client, totals) {
        totals.count("events", period.events.len());
        let told = period.events.iter().filter(|it| it.get("told").is_some());
        totals.count("operator's events", told.count());
        totals.count("hidden subscriptions", usize::from(period.hidden));
        let lives = orders.get(&(client.vhost, channel.clone()));
        let lives = lives.map_or(&[][..], Vec::as_slice);
        let complete = client.alive && !period.ended;
        let fits = lives.iter().enumerate().any(|(index, order)| {
            let last = index + 1 == lives.len();
            is_piece(&period, order, complete && last) && (!complete || last)
        });
        let unseen = lives.is_empty() && period.events.is_empty();
        assert!(
            fits || unseen,
            "{} on {channel}: {:?} of {:?} (complete: {complete}) is no piece of {lives:?}",
            client.sid,
            period.events,
            period.roster,
        );
        let more = |order: &Order| order.events.len() > period.events.len() + 1;
        totals.count("partial subscriptions", usize::from(lives.iter().any(more)));
    }
}

/// Whether the events are a gapless piece of the order, to its end where the
/// subscription still stands, and the roster is what the order says at its start.
fn is_piece(period: &Period, order: &Order, to_the_end: bool) -> bool {
    let events = &order.events;
    let is_piece_from = |start: usize| {
        let roster = period.roster.as_ref();
        if roster.is_some_and(|roster| *roster != members(&events[..start])) {
            return false;
        }
        let mut piece = events[start..]
            .iter()
            .filter(|m| !(period.hidden && is_custom(m)));
        for event in &period.events {
            match piece.next() {
                Some(known) if known == event => {}
                None if order.cut => return true,
                _ => return false,
            }
        }
        let next = piece.next();
        if period.confirmed
            && let Some(own) = period.own_number()
        {
            // Nothing is left out before its own leave, or the channel's end.
            return next.is_none_or(|message| message[":memberLeft"]["n"] == own);
        }
        !to_the_end || next.is_none()
    };
    let begins_behind = period.events.first().is_none_or(|it| !events.contains(it));
    (order.cut && begins_behind) || (0..=events.len()).any(is_piece_from)
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
