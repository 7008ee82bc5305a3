//! One frontend: what it sends, what it was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use webrocket::model::Peer;
use webrocket::wire::frame::parse_server_header;

pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) sid: String,
    pub(crate) alive: bool,
    /// Subscribed once for good; never disturbed.
    pub(crate) witness: bool,
    /// Messages to send.
    pub(crate) script: VecDeque<String>,
    pub(crate) held: Option<String>,
    pub(crate) waiting: bool,
    /// Answers that must come in this order: echoes by number, 400 as `None`.
    pub(crate) expected: VecDeque<Option<u64>>,
    pub(crate) received: Vec<Value>,
    /// What it asked for when it subscribed last, by channel.
    pub(crate) hides: BTreeMap<String, bool>,
    pub(crate) triggers: usize,
    /// Channels that it was told it has, and how many it may have.
    subscriptions: BTreeSet<String>,
    subscriptions_max: usize,
}

impl Client {
    pub(crate) fn new(peer: Peer, sid: String, witness: bool, subscriptions_max: usize) -> Self {
        Self {
            peer,
            sid,
            alive: true,
            witness,
            script: VecDeque::new(),
            held: None,
            waiting: false,
            expected: VecDeque::new(),
            received: Vec::new(),
            hides: BTreeMap::new(),
            triggers: 0,
            subscriptions: BTreeSet::new(),
            subscriptions_max,
        }
    }

    /// Takes whole frames in; anything else is a broken outbox.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let header = parse_server_header(bytes)
                .expect("a frame")
                .expect("a whole header");
            let end = header.header_bytes + header.payload_bytes;
            let payload = &bytes[header.header_bytes..end];
            let message: Value = serde_json::from_slice(payload).expect("JSON");
            self.match_answer(&message);
            self.count_subscriptions(&message);
            self.received.push(message);
            bytes = &bytes[end..];
        }
    }

    /// Frames that it shared with others: events, members that came and went.
    pub(crate) fn channel_frames(&self) -> usize {
        let shared = |message: &&Value| {
            let names = message.as_object().into_iter().flat_map(|it| it.keys());
            let mut names = names.map(String::as_str);
            // What the operator says to one session has no channel.
            let direct = message
                .get("told")
                .is_some_and(|it| it["channel"].is_null());
            !direct && names.any(|name| !name.starts_with(':') || name.starts_with(":member"))
        };
        self.received.iter().filter(shared).count()
    }

    /// Answers come in the order of requests ([SU-13]).
    fn match_answer(&mut self, message: &Value) {
        let answer = if message[":error"]["code"] == 400 {
            None
        } else if message["said"]["sid"] == self.sid.as_str() {
            Some(message["said"]["n"].as_u64().expect("a number"))
        } else {
            return;
        };
        // Broadcasts that were refused, or are hidden from their sender, answer otherwise.
        while let Some(expected) = self.expected.pop_front() {
            if expected == answer {
                return;
            }
            assert!(
                expected.is_some(),
                "the answer 400 was overtaken by {answer:?}"
            );
        }
        panic!("answer {answer:?} out of order");
    }

    /// No session has more subscriptions than its quota.
    fn count_subscriptions(&mut self, message: &Value) {
        let channel = |what: &str| message[what]["channel"].as_str().map(str::to_owned);
        self.subscriptions.extend(channel(":subscribed"));
        if let Some(channel) = channel(":unsubscribed") {
            self.subscriptions.remove(&channel);
        }
        // An `auth` may have ended all of them without a word ([AU-12..14]).
        let authenticated = message.get(":authenticated").is_some();
        if authenticated || message[":error"]["code"] == 402 {
            self.subscriptions.clear();
        }
        assert!(self.subscriptions.len() <= self.subscriptions_max);
    }

    /// All that it was sent, a line each.
    pub(crate) fn transcript(&self) -> String {
        self.received
            .iter()
            .map(|message| format!("\n{message}"))
            .collect()
    }

    pub(crate) fn errors(&self, code: u64) -> usize {
        self.received
            .iter()
            .filter(|message| message[":error"]["code"] == code)
            .count()
    }
}
