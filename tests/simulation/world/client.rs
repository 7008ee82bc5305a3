//! One frontend: what it sends, what it was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use webrocket::model::{Peer, Sid, SingleAccessToken, VhostId};
use webrocket::wire::frame::parse_server_header;

use super::answers::Answers;

/// Past this an outbox takes no more events: the client is a slow consumer.
const OUTBOX_BYTES_MAX: usize = 400;

/// A message under way to the broker, or not yet answered.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Nonsense,
    Auth {
        token: SingleAccessToken,
    },
    /// With how many subscriptions its vhost granted when it was handled.
    Subscribe {
        channel: &'static str,
        granted: usize,
    },
    Unsubscribe {
        channel: &'static str,
    },
    Broadcast {
        channel: &'static str,
        n: u64,
        trigger: bool,
        /// Whether it had the subscription when the message was handled.
        subscribed: bool,
    },
    Trigger {
        n: u64,
    },
    Close,
}

/// What a client sends: the text, and what it asks for.
pub(crate) type Message = (String, Asked);

pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) vhost: VhostId,
    pub(crate) sid: Sid,
    name: String,
    pub(crate) alive: bool,
    /// Its shard is about to close it: it is given nothing more.
    pub(crate) doomed: bool,
    /// Subscribed once for good; never disturbed.
    pub(crate) witness: bool,
    /// Whether it takes what it is sent; else that stays in its outbox.
    pub(crate) reading: bool,
    outbox_bytes: usize,
    /// Messages to send.
    pub(crate) script: VecDeque<Message>,
    pub(crate) held: Option<Message>,
    pub(crate) waiting: bool,
    answers: Answers,
    /// What it was sent; after its end, what it has read.
    pub(crate) sent: Vec<Value>,
    /// How much of that it has read.
    received: usize,
    /// Frames shared with others that it never read.
    lost: usize,
    /// What it asked for when it subscribed last, by channel.
    pub(crate) hides: BTreeMap<&'static str, bool>,
    /// Channels that it was told it has.
    pub(crate) subscriptions: BTreeSet<String>,
    authenticated: bool,
    /// Triggers that a worker has, or it is told 503; and some that may have been.
    pub(crate) handed: Vec<u64>,
    pub(crate) perhaps: Vec<u64>,
    /// Tokens that gave it nothing.
    pub(crate) refused: Vec<SingleAccessToken>,
    /// Events that came back to it.
    pub(crate) echoes: usize,
}

impl Client {
    pub(crate) fn new(peer: Peer, vhost: VhostId, sid: Sid, witness: bool) -> Self {
        Self {
            peer,
            vhost,
            sid,
            name: sid.to_string(),
            alive: true,
            doomed: false,
            witness,
            reading: true,
            outbox_bytes: 0,
            script: VecDeque::new(),
            held: None,
            waiting: false,
            answers: Answers::default(),
            sent: Vec::new(),
            received: 0,
            lost: 0,
            hides: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            authenticated: false,
            handed: Vec::new(),
            perhaps: Vec::new(),
            refused: Vec::new(),
            echoes: 0,
        }
    }

    /// Bytes that its shard sends. False where it is too slow for them.
    #[must_use]
    pub(crate) fn give(&mut self, bytes: &[u8], shared: bool) -> bool {
        assert!(self.alive, "{} is told something after its end", self.name);
        if self.doomed {
            self.lost += frames(bytes).iter().filter(|it| is_shared(it)).count();
            return true;
        }
        let full = self.outbox_bytes + bytes.len() > OUTBOX_BYTES_MAX;
        if shared && full && self.outbox_bytes > 0 {
            self.lost += frames(bytes).iter().filter(|it| is_shared(it)).count();
            return false;
        }
        for message in frames(bytes) {
            self.match_answer(&message);
            self.count_subscriptions(&message);
            self.sent.push(message);
        }
        self.outbox_bytes += bytes.len();
        if self.reading {
            self.read_on();
        }
        true
    }

    /// Reads what has gathered.
    pub(crate) fn read_on(&mut self) {
        self.reading = true;
        self.outbox_bytes = 0;
        self.received = self.sent.len();
    }

    /// The connection is closed: what it has not read is lost.
    pub(crate) fn end(&mut self) {
        self.alive = false;
        let unread = self.sent.split_off(self.received);
        self.lost += unread.iter().filter(|it| is_shared(it)).count();
    }

    /// Frames that it shared with others: events, members that came and went.
    pub(crate) fn channel_frames(&self) -> usize {
        self.sent.iter().filter(|it| is_shared(it)).count() + self.lost
    }

    fn match_answer(&mut self, message: &Value) {
        let code = message[":error"]["code"].as_u64();
        let own = message["said"]["sid"] == self.name.as_str();
        let named = |what: &str| message[what]["channel"].as_str();
        // The broker ends subscriptions to closed channels by itself.
        let ended = named(":unsubscribed").is_some();
        let admitted = message.get(":authenticated").is_some();
        let confirmed = ended || named(":subscribed").is_some();
        if !(own || confirmed || admitted || code.is_some_and(|code| code != 503)) {
            return;
        }
        let authenticated = self.authenticated;
        let answers = |asked: &Asked| match asked {
            Asked::Nonsense => code == Some(400),
            Asked::Auth { .. } => code == Some(402) || admitted,
            Asked::Subscribe { channel, .. } => {
                named(":subscribed") == Some(channel) || matches!(code, Some(403 | 454))
            }
            Asked::Unsubscribe { channel } => {
                named(":unsubscribed") == Some(channel) || matches!(code, Some(453 | 454))
            }
            Asked::Broadcast {
                n,
                trigger,
                subscribed,
                ..
            } => match code {
                Some(454) => true,
                Some(453) => !subscribed,
                Some(403) => *subscribed && *trigger && !authenticated,
                _ => own && message["said"]["n"] == *n,
            },
            Asked::Trigger { .. } => code == Some(403),
            Asked::Close => false,
        };
        let Ok(asked) = self.answers.take(answers, ended) else {
            panic!(
                "{}: {message} answers nothing, asked was {:?}, told:{}",
                self.name,
                self.answers.open(),
                self.transcript()
            )
        };
        match asked {
            Some(Asked::Auth { token }) if !admitted => self.refused.push(token),
            Some(Asked::Subscribe { granted, .. }) if confirmed => {
                // No session has more subscriptions than its quota.
                assert!(self.subscriptions.len() < granted, "past its quota");
            }
            Some(Asked::Broadcast { n, .. }) if own => {
                self.echoes += 1;
                // The event has its place, so its trigger is handed over.
                if let Some(place) = self.perhaps.iter().position(|&known| known == n) {
                    self.perhaps.swap_remove(place);
                    self.handed.push(n);
                }
            }
            _ => {}
        }
    }

    /// A message is about to be handled, where so many subscriptions are granted.
    pub(crate) fn ask(&mut self, asked: &mut Asked, granted: usize) {
        let authenticated = self.authenticated;
        let may_be_silent = match asked {
            Asked::Nonsense | Asked::Auth { .. } => false,
            // It is subscribed already, or the channel closes meanwhile. An
            // answer that is lost would leave it waiting.
            Asked::Subscribe { granted: now, .. } => {
                *now = granted;
                true
            }
            Asked::Unsubscribe { .. } | Asked::Close => true,
            Asked::Broadcast {
                channel,
                n,
                trigger,
                subscribed,
            } => {
                *subscribed = self.subscriptions.contains(*channel);
                // Hidden subscribers don't see their own events.
                let hides = self.hides.get(channel) == Some(&true);
                if *trigger && *subscribed && authenticated {
                    self.perhaps.push(*n);
                }
                *subscribed && hides && (!*trigger || authenticated)
            }
            Asked::Trigger { .. } => authenticated,
        };
        self.answers.ask(asked.clone(), may_be_silent);
    }

    /// The message has to be offered again.
    pub(crate) fn unask(&mut self, asked: &Asked) {
        self.answers.unask();
        if let Asked::Broadcast { n, .. } = asked {
            self.perhaps.retain(|known| known != n);
        }
    }

    /// The message was handled.
    pub(crate) fn note_handled(&mut self, asked: &Asked) {
        if let Asked::Trigger { n } = asked
            && self.authenticated
        {
            self.handed.push(*n);
        }
    }

    /// Nothing more comes: whoever was owed an answer has it.
    pub(crate) fn assert_answered(&self) {
        assert!(
            self.answers.is_complete(),
            "{} never heard of {:?}, told:{}",
            self.name,
            self.answers.open(),
            self.transcript()
        );
    }

    fn count_subscriptions(&mut self, message: &Value) {
        let channel = |what: &str| message[what]["channel"].as_str().map(str::to_owned);
        self.subscriptions.extend(channel(":subscribed"));
        if let Some(channel) = channel(":unsubscribed") {
            self.subscriptions.remove(&channel);
        }
        // An `auth` may have ended all of them without a word ([AU-12..14]).
        let authenticated = message.get(":authenticated").is_some();
        if authenticated || message[":error"]["code"] == 402 {
            if self.authenticated {
                self.subscriptions.clear();
            }
            self.authenticated = authenticated;
        }
    }

    /// The channel that it subscribed to last.
    pub(crate) fn last_channel(&self) -> Option<&str> {
        let subscribed = |message: &Value| message.get(":subscribed").is_some();
        let last = self.sent.iter().rfind(|message| subscribed(message))?;
        last[":subscribed"]["channel"].as_str()
    }

    /// All that it was sent, a line each.
    pub(crate) fn transcript(&self) -> String {
        self.sent
            .iter()
            .map(|message| format!("\n{message}"))
            .collect()
    }

    pub(crate) fn errors(&self, code: u64) -> usize {
        self.sent
            .iter()
            .filter(|message| message[":error"]["code"] == code)
            .count()
    }
}

/// The messages in whole frames; anything else is a broken outbox.
fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let header = parse_server_header(bytes)
            .expect("a frame")
            .expect("a whole header");
        let end = header.header_bytes + header.payload_bytes;
        let payload = &bytes[header.header_bytes..end];
        messages.push(serde_json::from_slice(payload).expect("JSON"));
        bytes = &bytes[end..];
    }
    messages
}

fn is_shared(message: &Value) -> bool {
    let names = message.as_object().into_iter().flat_map(|it| it.keys());
    let mut names = names.map(String::as_str);
    // What the operator says to one session has no channel.
    let direct = message
        .get("told")
        .is_some_and(|it| it["channel"].is_null());
    !direct && names.any(|name| !name.starts_with(':') || name.starts_with(":member"))
}
