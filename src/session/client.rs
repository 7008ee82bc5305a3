use std::collections::VecDeque;

use super::Request;
use crate::hub::envelope::Outcome;
use crate::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::model::VhostId;
use crate::wire::packet::{self, Scanner};

/// A backend client (REQ). Its answers leave in the order of its requests.
#[derive(Debug)]
pub struct Client {
    /// Where it belongs.
    pub vhost: VhostId,
    /// Finds the end of the next packet.
    pub scanner: Scanner,
    kept: bool,
    next: u32,
    /// Requests without their answer sent, in order.
    outstanding: VecDeque<(u32, Option<Reply>)>,
    /// The last request is a barrier and not answered.
    barred: bool,
}

/// What a client is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK`, `AT` or `ER`.
    Outcome(Outcome),
    /// `HB`.
    Heartbeat,
}

impl Client {
    /// A client before its first request.
    pub fn new(vhost: VhostId) -> Self {
        Self {
            vhost,
            scanner: Scanner::default(),
            kept: false,
            next: 0,
            outstanding: VecDeque::new(),
            barred: false,
        }
    }

    /// Whether the connection stays after an answer.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// `KA`: the connection stays.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether every request has been answered.
    pub fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether any further request may be taken.
    pub fn has_room(&self) -> bool {
        let limit = if self.kept { REQUESTS_IN_FLIGHT_MAX } else { 1 };
        // Without `KA` a connection serves one request ([BE-16]).
        !self.barred && self.outstanding.len() < limit && (self.kept || self.next == 0)
    }

    /// Takes the request, unless it has to wait for earlier answers.
    pub fn try_begin(&mut self, request: &Request<'_>) -> Option<u32> {
        let barrier = request.is_barrier();
        if !self.has_room() || (barrier && !self.outstanding.is_empty()) {
            return None;
        }
        Some(self.begin(barrier))
    }

    /// Takes a packet that is no request; it is answered in its place.
    pub fn begin_refused(&mut self) -> u32 {
        self.begin(false)
    }

    fn begin(&mut self, barrier: bool) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.barred = barrier;
        self.outstanding.push_back((number, None));
        number
    }

    /// The request was not taken after all: it will be offered again.
    pub fn take_back(&mut self) {
        if self.outstanding.pop_back().is_some() {
            self.next = self.next.wrapping_sub(1);
            self.barred = false;
        }
    }

    /// The answer to a request is known.
    pub fn settle(&mut self, number: u32, reply: Reply) {
        if let Some(entry) = self.outstanding.iter_mut().find(|entry| entry.0 == number) {
            entry.1 = Some(reply);
        }
    }

    /// Writes the answers whose turn it is.
    pub fn take_answers(&mut self, out: &mut Vec<u8>) {
        while let Some((_, Some(reply))) = self.outstanding.front() {
            match reply {
                Reply::Heartbeat => out.extend_from_slice(packet::HEARTBEAT),
                Reply::Outcome(Outcome::Done) => out.extend_from_slice(packet::OK),
                Reply::Outcome(Outcome::Token(token)) => packet::write_token(out, token),
                Reply::Outcome(Outcome::Failed(status)) => packet::write_error(out, *status),
            }
            self.outstanding.pop_front();
        }
        if self.outstanding.is_empty() {
            self.barred = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChannelName, Status};
    use crate::wire::json::Members;

    fn broadcast() -> Request<'static> {
        Request::Broadcast {
            channel: "c",
            event: "e",
            data: Members::EMPTY,
        }
    }

    fn open() -> Request<'static> {
        Request::Open(ChannelName::parse("c").expect("valid"))
    }

    fn done() -> Reply {
        Reply::Outcome(Outcome::Done)
    }

    fn answers(client: &mut Client) -> String {
        let mut out = Vec::new();
        client.take_answers(&mut out);
        String::from_utf8(out)
            .expect("text")
            .replace("\n\r\n\r\n", ";")
    }

    fn kept() -> Client {
        let mut client = Client::new(VhostId(1));
        client.keep();
        client
    }

    #[test]
    fn answers_in_the_order_of_requests() {
        let mut client = kept();
        let first = client.try_begin(&broadcast()).expect("room");
        let second = client.try_begin(&broadcast()).expect("room");
        client.settle(
            second,
            Reply::Outcome(Outcome::Failed(Status::ChannelNotFound)),
        );
        assert_eq!(answers(&mut client), "");
        client.settle(first, done());
        assert_eq!(answers(&mut client), "OK\n;ER\n454;");
        assert!(client.is_settled());
    }

    #[test]
    fn a_barrier_waits_and_makes_wait() {
        let mut client = kept();
        let first = client.try_begin(&broadcast()).expect("room");
        assert_eq!(client.try_begin(&open()), None);
        client.settle(first, done());
        answers(&mut client);
        let second = client.try_begin(&open()).expect("settled");
        assert_eq!(client.try_begin(&broadcast()), None);
        client.settle(second, done());
        answers(&mut client);
        assert!(client.try_begin(&broadcast()).is_some());
    }

    #[test]
    fn one_request_a_connection_without_ka_be_16() {
        let mut client = Client::new(VhostId(1));
        let only = client.try_begin(&broadcast()).expect("first");
        client.settle(only, done());
        answers(&mut client);
        assert!(!client.has_room());
        assert_eq!(client.try_begin(&broadcast()), None);
    }

    #[test]
    fn bounds_requests_in_flight() {
        let mut client = kept();
        for _ in 0..REQUESTS_IN_FLIGHT_MAX {
            assert!(client.try_begin(&broadcast()).is_some());
        }
        assert_eq!(client.try_begin(&broadcast()), None);
        client.take_back();
        assert!(client.try_begin(&broadcast()).is_some());
    }
}
