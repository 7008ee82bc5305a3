//! A hub of one shard with two vhosts, for the tests of its parts.

use std::sync::Arc;

use super::channel::{Local, Subscriber};
use super::deflate::Compressing;
use super::envelope::{Change, Delivery, Outcome, Request, ToControl};
use super::question::{Errand, Finding, Question, Whose};
use super::{Answer, Effects, Flow, Hub};
use crate::meter::{Moment, Refused, VhostMeters};
use crate::model::{AccessToken, ChannelId, ChannelName, ConnId, ShardId, Sid, Status, VhostId};
use crate::wire::json::Members;

pub(super) const VHOST: VhostId = VhostId(3);
pub(super) const OTHER: VhostId = VhostId(4);

/// What the hub did.
#[derive(Default)]
pub(super) struct Port {
    /// To each connection, frames without their headers and put together.
    pub(super) said: Vec<(u32, String)>,
    /// So many deliveries are enough for a turn.
    pub(super) deliveries_max: Option<usize>,
    pub(super) disconnected: Vec<ConnId>,
    answers: Vec<Finding>,
    /// What other shards were asked, up to so many that fit.
    pub(super) requests: Vec<(ShardId, Request)>,
    pub(super) requests_max: usize,
    /// What its clock shows.
    pub(super) now_us: u64,
}

impl Port {
    fn say(&mut self, slot: u32, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.said.push((slot, text));
    }

    pub(super) fn said_to(&self, slot: u32) -> String {
        let said = self.said.iter().filter(|(to, _)| *to == slot);
        said.map(|(_, text)| text.as_str()).collect()
    }
}

impl Effects for Port {
    fn push(&mut self, slot: u32, bytes: &[u8]) {
        self.say(slot, bytes);
    }

    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        self.say(slot, batch);
    }

    fn is_spent(&self) -> bool {
        self.deliveries_max
            .is_some_and(|max| self.said.len() >= max)
    }

    fn queue(&mut self, slot: u32, batch: &[u8]) {
        self.say(slot, batch);
    }

    fn disconnect(&mut self, conn: ConnId) {
        self.disconnected.push(conn);
    }

    fn control(&mut self, message: ToControl) {
        if let ToControl::Answered { finding, .. } = message {
            self.answers.push(*finding);
        }
    }

    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        self.control(message);
        Ok(())
    }

    fn resume(&mut self, _conn: ConnId) {}
    fn answer(&mut self, _client: ConnId, _request: u32, _outcome: Outcome) {}
    fn trigger(&mut self, _worker: ConnId, _packet: &[u8]) -> bool {
        false
    }
    fn worker_ready(&mut self, _worker: ConnId) {}
    fn worker_replaced(&mut self, _worker: ConnId) {}
    fn vhost_deleted(&mut self, _vhost: VhostId) {}
    fn now(&mut self) -> Moment {
        Moment::from_us(self.now_us)
    }
    fn serve(&mut self) {}
    fn refused(&mut self, _conn: ConnId, _cause: Refused, _status: Status) {}
    fn try_present(&mut self, _conn: ConnId) -> bool {
        true
    }
    fn withdrawn(&mut self, _conn: ConnId) {}
    fn presented(&mut self, _conn: ConnId, _right: bool) {}
    fn quotas_replaced(&mut self) {}
    fn drain(&mut self, _window_ms: u32) {}
    fn stop(&mut self) {}
    fn has_room(&self, _to: ShardId) -> bool {
        self.requests.len() < self.requests_max
    }
    fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request> {
        if !self.has_room(to) {
            return Err(request);
        }
        self.requests.push((to, request));
        Ok(())
    }
    fn request(&mut self, to: ShardId, request: Request) {
        self.requests.push((to, request));
    }
    fn send(&mut self, _to: ShardId, _delivery: Delivery) {}
}

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) port: Port,
}

impl World {
    /// Two vhosts; channels `room` (1), `quiet` (2) and `presence-x` (3) in the first.
    pub(super) fn new() -> Self {
        let mut world = Self {
            hub: Hub::new(0, 1, Arc::default()),
            port: Port::default(),
        };
        for (vhost, path) in [(VHOST, "/v"), (OTHER, "/other")] {
            world.change(Change::VhostAdded {
                vhost,
                path: crate::model::VhostPath::parse(path).expect("a path"),
                token: AccessToken::from_random([0; 20]),
                meters: VhostMeters::new(1),
            });
        }
        for (channel, name) in [(1, "room"), (2, "quiet"), (3, "presence-x")] {
            world.open_channel(channel, name);
        }
        world
    }

    pub(super) fn change(&mut self, change: Change) {
        let change = Box::new(change);
        let delivery = Delivery::Change { version: 1, change };
        self.hub.handle_delivery(delivery, &mut self.port);
    }

    pub(super) fn open_channel(&mut self, channel: u64, name: &str) {
        self.change(Change::ChannelOpened {
            vhost: VHOST,
            channel: ChannelId(channel),
            name: ChannelName::parse(name).expect("a name"),
        });
    }

    pub(super) fn connect(&mut self, slot: u32, vhost: VhostId) -> Sid {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&slot.to_be_bytes());
        let sid = Sid::from_random(random);
        self.hub.open(conn(slot), vhost, sid, &mut self.port);
        sid
    }

    /// A session that is subscribed to `room`.
    pub(super) fn subscribe(&mut self, slot: u32) -> Sid {
        let sid = self.connect(slot, VHOST);
        self.message(slot, r#"{"subscribe":{"channel":"room"}}"#);
        sid
    }

    pub(super) fn message(&mut self, slot: u32, text: &str) {
        let flow = self
            .hub
            .handle_message(conn(slot), text.as_bytes(), &mut self.port);
        assert_eq!(flow, Flow::Next, "{text}");
    }

    /// Makes the session that of a user who may do anything.
    pub(super) fn authenticate(&mut self, slot: u32, uid: &str) {
        let grant = crate::hub::envelope::Grant {
            uid: uid.into(),
            pattern: ".*".into(),
        };
        let delivery = Delivery::Token {
            conn: conn(slot),
            grant: Ok(Box::new(grant)),
        };
        self.hub.handle_delivery(delivery, &mut self.port);
    }

    pub(super) fn ask(&mut self, question: Question) -> Finding {
        let question = Box::new(question);
        let delivery = Delivery::Query { query: 9, question };
        self.hub.handle_delivery(delivery, &mut self.port);
        self.port.answers.pop().expect("an answer at once")
    }

    pub(super) fn errand(&mut self, whose: Whose, from: u32, errand: Errand) -> Finding {
        self.ask(Question::Sessions {
            vhost: VHOST,
            whose,
            from,
            errand,
        })
    }

    pub(super) fn backend_says(&mut self, channel: &str, times: usize) {
        for _ in 0..times {
            let said = (VHOST, channel, "said");
            let answer = self
                .hub
                .broadcast(conn(0), 1, said, Members::EMPTY, &mut self.port);
            assert_eq!(answer, Answer::Now(Outcome::Done));
        }
    }
}

pub(super) fn conn(slot: u32) -> ConnId {
    ConnId {
        slot,
        generation: 1,
    }
}

/// A channel with so many subscribers.
pub(super) fn local(vhost: VhostId, subscribers: u32) -> Local {
    let subscribed = (0..subscribers).map(|slot| Subscriber {
        slot,
        hidden: false,
    });
    Local {
        id: ChannelId(u64::from(subscribers)),
        name: ChannelName::parse("room").expect("a name"),
        home: 0,
        vhost,
        cork_us: 0,
        meter: Arc::default(),
        subscribers: subscribed.collect(),
        shared: 0,
        current: None,
        frozen: None,
        compressing: Compressing::default(),
    }
}
