use std::collections::VecDeque;

use super::Request;
use crate::hub::envelope::Outcome;
use crate::limits::{KEPT_IDLE_TIMEOUT, PACKET_TIMEOUT, REQUESTS_IN_FLIGHT_MAX};
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
    /// Bytes of a packet have come that is not whole.
    amid: bool,
    /// Takes no further request.
    leaving: bool,
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
            amid: false,
            leaving: false,
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

    /// The connection is to end; what is owed is answered before.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether it is to end, and takes nothing more.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether nothing is left to be done but to close the connection with `QT`.
    pub fn has_left(&self) -> bool {
        self.leaving && self.is_settled()
    }

    /// When a kept connection has been silent for too long, or amid a packet:
    /// in milliseconds, to be asked whenever bytes were handled. `taken`: a
    /// packet was among them; `amid`: the beginning of another is left. `None`
    /// where the deadline set before goes on: bytes that trickle in don't move it.
    pub fn handle_bytes(&mut self, taken: bool, amid: bool, now_ms: u64) -> Option<u64> {
        let begun = taken || !self.amid;
        self.amid = amid;
        let timeout = match (amid, begun) {
            (true, true) => PACKET_TIMEOUT,
            (true, false) => return None,
            (false, _) => KEPT_IDLE_TIMEOUT,
        };
        Some(now_ms + timeout.as_millis() as u64)
    }

    /// Whether every request has been answered.
    pub fn is_settled(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether any further request may be taken.
    pub fn has_room(&self) -> bool {
        let limit = if self.kept { REQUESTS_IN_FLIGHT_MAX } else { 1 };
        // Without `KA` a connection serves one request ([BE-16]).
        let room = self.outstanding.len() < limit && (self.kept || self.next == 0);
        room && !self.barred && !self.leaving
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

    /// Writes the answers whose turn it is; tells how many.
    pub fn take_answers(&mut self, out: &mut Vec<u8>) -> usize {
        let mut count = 0;
        while let Some((_, Some(reply))) = self.outstanding.front() {
            match reply {
                Reply::Heartbeat => out.extend_from_slice(packet::HEARTBEAT),
                Reply::Outcome(Outcome::Done) => out.extend_from_slice(packet::OK),
                Reply::Outcome(Outcome::Token(token)) => packet::write_token(out, token),
                Reply::Outcome(Outcome::Failed(status)) => packet::write_error(out, *status),
            }
            self.outstanding.pop_front();
            count += 1;
        }
        if self.outstanding.is_empty() {
            self.barred = false;
        }
        count
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
    fn a_kept_connection_may_be_silent_for_a_minute_but_not_amid_a_packet_ka() {
        let idle_ms = KEPT_IDLE_TIMEOUT.as_millis() as u64;
        let packet_ms = PACKET_TIMEOUT.as_millis() as u64;
        let mut client = kept();
        assert_eq!(client.handle_bytes(true, false, 100), Some(100 + idle_ms));
        assert_eq!(client.handle_bytes(false, true, 200), Some(200 + packet_ms));
        assert_eq!(client.handle_bytes(false, true, 300), None);
        assert_eq!(client.handle_bytes(true, true, 400), Some(400 + packet_ms));
        assert_eq!(client.handle_bytes(true, false, 500), Some(500 + idle_ms));
    }

    #[test]
    fn answers_what_is_owed_before_it_leaves() {
        let mut client = kept();
        let owed = client.try_begin(&broadcast()).expect("room");
        client.leave();
        assert_eq!(client.try_begin(&broadcast()), None);
        assert!(!client.has_left());
        client.settle(owed, done());
        assert_eq!(answers(&mut client), "OK\n;");
        assert!(client.has_left());
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
