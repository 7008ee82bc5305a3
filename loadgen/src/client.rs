//! The protocol of one frontend, without socket and clock: bytes in; what was
//! seen, and bytes to answer with, out.

use thiserror::Error;
use webrocket::wire::frame::{Opcode, parse_server_header, write_client_frame};

use crate::limits::{FRAME_BYTES_MAX, RESPONSE_BYTES_MAX, RESPONSE_HEADERS_MAX};
use crate::payload::{Message, Stamp, members, write_auth, write_subscribe};

/// A mask keeps scripts in browsers from forging requests to proxies (RFC 6455
/// section 10.3). Nothing here needs that, so one serves all frames.
const MASK: [u8; 4] = [0x6c, 0x6f, 0x61, 0x64];

/// The nonce and its answer from RFC 6455 section 1.3: one that every client
/// sends spares each of them a digest.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The state of one connection. Owns no allocation but for an incomplete frame.
///
/// Once its socket is connected: [`Client::start`], then [`Client::handle_bytes`]
/// until it fails or [`Seen::Closed`].
#[derive(Debug, Default)]
pub(crate) struct Client {
    stage: Stage,
    has_joined: bool,
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The answer to the upgrade is awaited.
    #[default]
    Upgrading,
    /// `:connected` is awaited.
    Greeting,
    /// A token is awaited, from elsewhere.
    Unauthenticated,
    /// `:authenticated` is awaited.
    Authenticating,
    /// `:subscribed` is awaited.
    Subscribing,
    Subscribed,
    /// A close frame was sent.
    Leaving,
    /// A close frame has come.
    Closed,
}

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The broker has said `:connected`; the subscription is asked for, or a
    /// token is needed for [`Client::authenticate`].
    Connected,
    /// The broker has taken the token; the subscription is asked for.
    Authenticated,
    /// The client is subscribed.
    Subscribed,
    /// This client is a member of the channel: it was there, or has joined.
    Member(u32),
    /// And this one no more.
    MemberLeft(u32),
    /// A broadcast of a load generator.
    Load(Stamp),
    /// A worker's answer to a trigger.
    Reply(Stamp),
    /// One that can't be read.
    Damaged,
    /// An `:error` with its code.
    Error(u16),
    /// A close frame with its code; 1005 where it has none.
    Closed(u16),
}

/// Why a client has no connection. The run goes on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(crate) enum Fault {
    /// The system refused a call.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    System(i32),
    /// No subscription in time.
    #[error("not subscribed in time")]
    TimedOut,
    /// The broker ended the stream without a close frame.
    #[error("ended by the broker without a close frame")]
    Ended,
    /// The broker closed the connection.
    #[error("closed by the broker with code {0}")]
    Closed(u16),
    /// The upgrade was refused.
    #[error("upgrade refused with HTTP status {0}")]
    Status(u16),
    /// The answer is that of no WebSocket server.
    #[error("the answer is no WebSocket upgrade")]
    NotWebSocket,
    /// No token came, with the backend's code where it has answered.
    #[error("no access token{}", .0.map_or_else(String::new, |code| format!(": code {code}")))]
    NoToken(Option<u16>),
    /// The token was refused.
    #[error("authentication refused with :error {0}")]
    Unauthorized(u16),
    /// The subscription was refused.
    #[error("subscription refused with :error {0}")]
    Refused(u16),
    /// The broker broke RFC 6455.
    #[error("broken WebSocket protocol: {0}")]
    Protocol(&'static str),
    /// The broker takes nothing for so long that the outbox is full.
    #[error("the broker no longer reads")]
    Stuck,
}

/// What a client wants once it is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// To subscribe this.
    pub(crate) channel: &'a str,
    /// And to authenticate before.
    pub(crate) authenticates: bool,
}

/// Where clients go: what all of them ask for.
#[derive(Debug)]
pub(crate) struct Door {
    request: String,
}

impl Door {
    /// `host` as in a URL, with its port; `path` with its slash.
    pub(crate) fn new(host: &str, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Self { request }
    }
}

/// Appends a text message as a client sends it.
pub(crate) fn write_message(out: &mut Vec<u8>, text: &[u8]) {
    write_client_frame(out, Opcode::Text, MASK, text);
}

impl Client {
    /// Appends the request for the upgrade.
    pub(crate) fn start(&mut self, door: &Door, out: &mut Vec<u8>) {
        out.extend_from_slice(door.request.as_bytes());
    }

    /// Whether it has ever been subscribed.
    pub(crate) fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Takes in what the broker sent. Appends answers to `out` and tells `see`
    /// what happened, in order.
    ///
    /// # Errors
    /// Nothing more can come of this connection.
    pub(crate) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        wish: Wish<'_>,
        out: &mut Vec<u8>,
        see: &mut impl FnMut(Seen),
    ) -> Result<(), Fault> {
        if self.tail.is_empty() {
            let consumed = self.handle_whole(bytes, wish, out, see)?;
            self.tail.extend_from_slice(&bytes[consumed..]);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.tail);
        all.extend_from_slice(bytes);
        let consumed = self.handle_whole(&all, wish, out, see)?;
        // An idle client owns no allocation.
        if consumed < all.len() {
            all.drain(..consumed);
            self.tail = all;
        }
        Ok(())
    }

    /// Appends a close frame, where one is due. Before the upgrade is answered
    /// there is nobody to send it to.
    pub(crate) fn leave(&mut self, out: &mut Vec<u8>) {
        if !matches!(
            self.stage,
            Stage::Upgrading | Stage::Leaving | Stage::Closed
        ) {
            self.stage = Stage::Leaving;
            write_client_frame(out, Opcode::Close, MASK, &1000_u16.to_be_bytes());
        }
    }

    /// Gives the bytes consumed.
    fn handle_whole(
        &mut self,
        bytes: &[u8],
        wish: Wish<'_>,
        out: &mut Vec<u8>,
        see: &mut impl FnMut(Seen),
    ) -> Result<usize, Fault> {
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some(head_bytes) = read_upgrade(bytes)? else {
                return Ok(0);
            };
            self.stage = Stage::Greeting;
            at = head_bytes;
        }
        while self.stage != Stage::Closed {
            let header = parse_server_header(&bytes[at..])
                .map_err(|violation| Fault::Protocol(violation.reason))?;
            let Some(header) = header else {
                return Ok(at);
            };
            if header.payload_bytes > FRAME_BYTES_MAX {
                return Err(Fault::Protocol("frame too large"));
            }
            let start = at + header.header_bytes;
            let Some(payload) = bytes.get(start..start + header.payload_bytes) else {
                return Ok(at);
            };
            at = start + header.payload_bytes;
            match header.opcode {
                // A broker sends each event in one text frame (spec 3.2).
                Opcode::Text if header.fin => self.handle_text(payload, wish, out, see)?,
                Opcode::Text | Opcode::Continuation => {
                    return Err(Fault::Protocol("fragmented message"));
                }
                Opcode::Binary => return Err(Fault::Protocol("binary message")),
                // Nothing follows a close frame.
                Opcode::Ping if self.stage == Stage::Leaving => {}
                Opcode::Ping => write_client_frame(out, Opcode::Pong, MASK, payload),
                Opcode::Pong => {}
                Opcode::Close => self.handle_close(payload, out, see),
            }
        }
        Ok(bytes.len())
    }

    fn handle_text(
        &mut self,
        text: &[u8],
        wish: Wish<'_>,
        out: &mut Vec<u8>,
        see: &mut impl FnMut(Seen),
    ) -> Result<(), Fault> {
        match (self.stage, Message::read(text)) {
            (Stage::Greeting, Message::Connected) if wish.authenticates => {
                self.stage = Stage::Unauthenticated;
                see(Seen::Connected);
            }
            (Stage::Greeting, Message::Connected) => {
                see(Seen::Connected);
                self.subscribe(wish, out);
            }
            (Stage::Greeting, _) => return Err(Fault::Protocol("no :connected at first")),
            (Stage::Authenticating, Message::Authenticated) => {
                see(Seen::Authenticated);
                self.subscribe(wish, out);
            }
            (Stage::Authenticating, Message::Error(code)) => {
                see(Seen::Error(code));
                return Err(Fault::Unauthorized(code));
            }
            (Stage::Subscribing, Message::Subscribed) => {
                self.stage = Stage::Subscribed;
                self.has_joined = true;
                see(Seen::Subscribed);
                if wish.authenticates {
                    members(text)
                        .into_iter()
                        .for_each(|it| see(Seen::Member(it)));
                }
            }
            (Stage::Subscribed, Message::MemberJoined(number)) => see(Seen::Member(number)),
            (Stage::Subscribed, Message::MemberLeft(number)) => see(Seen::MemberLeft(number)),
            (Stage::Subscribing, Message::Error(code)) => {
                see(Seen::Error(code));
                return Err(Fault::Refused(code));
            }
            (_, Message::Load(stamp)) => see(Seen::Load(stamp)),
            (_, Message::Reply(stamp)) => see(Seen::Reply(stamp)),
            (_, Message::Damaged) => see(Seen::Damaged),
            (_, Message::Error(code)) => see(Seen::Error(code)),
            (
                _,
                Message::Connected
                | Message::Authenticated
                | Message::Subscribed
                | Message::MemberJoined(_)
                | Message::MemberLeft(_)
                | Message::Other,
            ) => {}
        }
        Ok(())
    }

    /// Appends the token, where one is awaited; tells whether it was.
    pub(crate) fn authenticate(&mut self, token: &str, out: &mut Vec<u8>) -> bool {
        let awaits_it = self.stage == Stage::Unauthenticated;
        if awaits_it {
            self.stage = Stage::Authenticating;
            let mut request = Vec::with_capacity(80);
            write_auth(&mut request, token);
            write_message(out, &request);
        }
        awaits_it
    }

    fn subscribe(&mut self, wish: Wish<'_>, out: &mut Vec<u8>) {
        self.stage = Stage::Subscribing;
        let mut request = Vec::with_capacity(64);
        write_subscribe(&mut request, wish.channel);
        write_message(out, &request);
    }

    fn handle_close(&mut self, payload: &[u8], out: &mut Vec<u8>, see: &mut impl FnMut(Seen)) {
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        if self.stage != Stage::Leaving {
            let answer = payload.get(..2).unwrap_or_default();
            write_client_frame(out, Opcode::Close, MASK, answer);
        }
        self.stage = Stage::Closed;
        see(Seen::Closed(code.unwrap_or(1005)));
    }
}

/// The bytes of the answer's head, where it is all there.
fn read_upgrade(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; RESPONSE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_bytes = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if bytes.len() < RESPONSE_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::NotWebSocket),
    };
    match response.code {
        Some(101) => {}
        Some(status) => return Err(Fault::Status(status)),
        None => return Err(Fault::NotWebSocket),
    }
    let accepted = response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("Sec-WebSocket-Accept") && header.value == ACCEPT
    });
    if accepted {
        Ok(Some(head_bytes))
    } else {
        Err(Fault::NotWebSocket)
    }
}

#[cfg(test)]
mod tests;
