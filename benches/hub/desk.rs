//! A shard without sockets: bytes that came go through session and hub, and
//! what leaves is counted.

use std::sync::Arc;

use webrocket::hub::envelope::{Change, Delivery, Outcome};
use webrocket::hub::{Answer, Effects, Flow, Hub};
use webrocket::limits::MESSAGE_BYTES_MAX;
use webrocket::meter::VhostMeters;
use webrocket::model::{AccessToken, ChannelId, ChannelName, ConnId, Sid, VhostId, VhostPath};
use webrocket::session::{Client, Frontend, Reply, Request};
use webrocket::wire::frame::{self, Opcode, write_client_frame};
use webrocket::wire::message::Incoming;

use crate::sink::Sink;

const VHOST: VhostId = VhostId(0);

/// Batches of one flush; more than there are subscribers.
const BUDGET: usize = 1 << 20;

pub(crate) struct Desk {
    hub: Hub,
    sink: Sink,
    frontend: Frontend,
    client: Client,
    /// What a frontend sends, and where it is unmasked.
    sent: Vec<u8>,
    received: Vec<u8>,
    packet: Vec<u8>,
    answers: Vec<u8>,
}

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A ping of 98 bytes is answered with its pong.
    Ping,
    /// A frontend's event of 100 bytes goes to the subscribers of its channel.
    Event,
    /// A backend's event of 100 bytes does, and is answered.
    Broadcast,
}

impl Work {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "ping" => Some(Self::Ping),
            "event" => Some(Self::Event),
            "BC" => Some(Self::Broadcast),
            _ => None,
        }
    }
}

impl Desk {
    /// With so many subscribers of the one channel; the first of them is who sends.
    pub(crate) fn new(work: Work, subscribers: u32) -> Self {
        let mut sink = Sink::default();
        let mut hub = Hub::new(0, 1, Arc::default());
        let path = VhostPath::parse("/bench").expect("a path");
        let name = ChannelName::parse("room").expect("a name");
        let changes = [
            Change::VhostAdded {
                vhost: VHOST,
                path,
                token: AccessToken::from_random([1; 20]),
                meters: VhostMeters::new(1),
            },
            Change::ChannelOpened {
                vhost: VHOST,
                channel: ChannelId(0),
                name,
            },
        ];
        for (version, change) in (1..).zip(changes) {
            let change = Box::new(change);
            hub.handle_delivery(Delivery::Change { version, change }, &mut sink);
        }
        for slot in 0..subscribers {
            let subscribe = br#"{"subscribe":{"channel":"room"}}"#;
            hub.open(
                conn(slot),
                VHOST,
                Sid::from_random([slot as u8; 16]),
                &mut sink,
            );
            let flow = hub.handle_message(conn(slot), subscribe, &mut sink);
            assert_eq!(flow, Flow::Next, "subscribed");
        }
        let data = "x".repeat(20);
        let mut sent = Vec::new();
        match work {
            Work::Ping => {
                write_client_frame(&mut sent, Opcode::Ping, [1, 2, 3, 4], &[b'x'; 98]);
            }
            Work::Event | Work::Broadcast => {
                let event = format!(
                    r#"{{"broadcast":{{"channel":"room","event":"said","data":{{"d":"{data}"}}}}}}"#
                );
                write_client_frame(&mut sent, Opcode::Text, [1, 2, 3, 4], event.as_bytes());
            }
        }
        let mut client = Client::new(VHOST);
        client.keep();
        Self {
            hub,
            sink,
            frontend: Frontend::new(VHOST, None),
            client,
            received: sent.clone(),
            sent,
            packet: format!("BC\nroom\nsaid\n{{\"d\":\"{}\"}}\n\r\n\r\n", "x".repeat(62))
                .into_bytes(),
            answers: Vec::new(),
        }
    }

    /// One turn of the pump with one message in it; tells how often bytes were handed to a connection.
    pub(crate) fn turn(&mut self, work: Work) -> usize {
        let before = self.sink.handed;
        self.hub.set_time(0, 0, &mut self.sink);
        match work {
            Work::Ping | Work::Event => self.hear_frontend(),
            Work::Broadcast => self.hear_client(),
        }
        self.hub.flush(BUDGET, &mut self.sink);
        self.sink.handed - before
    }

    fn hear_frontend(&mut self) {
        self.received.copy_from_slice(&self.sent);
        let mut consumed = 0;
        let incoming =
            self.frontend
                .reader
                .next(&mut self.received, MESSAGE_BYTES_MAX, &mut consumed);
        match incoming {
            Ok(Some(Incoming::Ping(payload))) => {
                self.answers.clear();
                frame::write_pong(&mut self.answers, payload);
                self.sink.push(0, &self.answers);
            }
            Ok(Some(Incoming::Message {
                checked: Some(text),
                ..
            })) => {
                let flow = self.hub.handle_text(conn(0), text, &mut self.sink);
                assert_eq!(flow, Flow::Next);
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn hear_client(&mut self) {
        let found = self.client.scanner.next(&self.packet);
        let Ok(Some((packet, _))) = found else {
            unreachable!("a whole packet");
        };
        let request = Request::decode(&packet).expect("a request");
        let number = self.client.try_begin(&request).expect("room");
        let Request::Broadcast {
            channel,
            event,
            data,
        } = request
        else {
            unreachable!("a broadcast");
        };
        let place = (VHOST, channel, event);
        let answer = self
            .hub
            .broadcast(conn(0), number, place, data, &mut self.sink);
        assert_eq!(answer, Answer::Now(Outcome::Done));
        self.client.settle(number, Reply::Outcome(Outcome::Done));
        self.answers.clear();
        self.client.take_answers(&mut self.answers);
        self.sink.push(u32::MAX, &self.answers);
    }
}

fn conn(slot: u32) -> ConnId {
    ConnId {
        slot,
        generation: 0,
    }
}
