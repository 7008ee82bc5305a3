//! The requesting side: open and close channels, broadcast, hand out tokens.

mod kept;
mod token;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};

pub use self::token::SingleAccessToken;

use self::kept::{Asked, Kept, Opening};
use crate::connection::{Connection, Role};
use crate::error::Error;
use crate::limits::{CONNECTIONS_PER_REQUEST_MAX, PACKET_SENT_BYTES_MAX, REQUEST_TIMEOUT};
use crate::url::Url;
use crate::wire::{self, Packet};

/// Asks a broker on behalf of one vhost. Cheap to clone; clones share one kept
/// connection, opened with the first request, over which any number of tasks
/// may ask at once. A broker that keeps no connections gets one for each request.
///
/// **Order**: requests over the kept connection are executed in the order in
/// which they are first polled; one that is sent once more (below) loses its place.
/// Where the broker keeps no connection, a request that begins after another has
/// returned is executed after it.
///
/// **Lost connections**: one that ended between requests is replaced without
/// anyone noticing. A request whose connection ends under it is sent once more
/// if it surely did not run, or if running twice is the same as once (opening a
/// channel; a token request, whose first token nobody holds). A broadcast or
/// the closing of a channel that may have run is never repeated:
/// [`Error::ConnectionLost`] with `may_have_run` tells the caller.
///
/// Must be used within a tokio runtime with I/O and time enabled.
///
/// ```no_run
/// # async fn example() -> Result<(), kosmonaut::Error> {
/// use kosmonaut::Client;
/// use serde_json::json;
///
/// let client = Client::new(std::env::var("BROKER_URL").unwrap_or_default().parse()?);
/// client.open_channel("news").await?;
/// client.broadcast("news", "headline", &json!({ "text": "Liftoff" })).await?;
/// let token = client.request_single_access_token("joe", "private-.*").await?;
/// println!("{token}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    timeout: Duration,
    link: Mutex<Link>,
    /// Bounds the connections towards a broker that keeps none.
    one_offs: Semaphore,
}

/// How requests reach the broker.
enum Link {
    None,
    Kept(Kept),
    /// The broker declined to keep a connection.
    OneOff,
}

#[derive(Clone, Copy)]
enum Command {
    OpenChannel,
    CloseChannel,
    Broadcast,
    Token,
}

impl Client {
    /// A client whose requests may take 5 seconds each, connecting included.
    /// Nothing is sent before the first request.
    pub fn new(url: Url) -> Self {
        Self::with_timeout(url, REQUEST_TIMEOUT)
    }

    /// A client whose requests may take the given time each.
    pub fn with_timeout(url: Url, timeout: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                url,
                timeout,
                link: Mutex::new(Link::None),
                one_offs: Semaphore::new(CONNECTIONS_PER_REQUEST_MAX),
            }),
        }
    }

    /// Opens a channel, so that frontends can subscribe it; one that is open
    /// already stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] for an empty name, [`Error::InvalidChannelName`],
    /// and those of any request.
    pub async fn open_channel(&self, name: &str) -> Result<(), Error> {
        if !name.is_empty() && !wire::is_frame(name.as_bytes()) {
            return Err(Error::InvalidChannelName);
        }
        self.ask_done(Command::OpenChannel, &[name.as_bytes()])
            .await
    }

    /// Closes a channel; its subscribers are unsubscribed.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] for an empty name, [`Error::ChannelNotFound`],
    /// and those of any request.
    pub async fn close_channel(&self, name: &str) -> Result<(), Error> {
        if !name.is_empty() && !wire::is_frame(name.as_bytes()) {
            return Err(Error::ChannelNotFound);
        }
        self.ask_done(Command::CloseChannel, &[name.as_bytes()])
            .await
    }

    /// Sends an event to all subscribers of a channel. Success means that the
    /// broker accepted it. The payload must be a JSON object of at most about
    /// 1 MiB, or null, which counts as `{}`; the broker sets its `channel`.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`], [`Error::PayloadNotObject`], [`Error::BadRequest`]
    /// for an empty channel or event, an event that begins with `:` or a payload
    /// that is too large, [`Error::ChannelNotFound`], and those of any request.
    pub async fn broadcast<T>(&self, channel: &str, event: &str, payload: &T) -> Result<(), Error>
    where
        T: Serialize + ?Sized,
    {
        let payload = json_line(payload)?;
        if event.starts_with(':') {
            return Err(Error::BadRequest);
        }
        let frames = [channel.as_bytes(), event.as_bytes(), &payload];
        self.ask_done(Command::Broadcast, &frames).await
    }

    /// Asks for a token with which one frontend can authenticate once as `uid`.
    /// `pattern` is a regular expression over the whole names of the private and
    /// presence channels that it may subscribe.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] for an empty uid or pattern,
    /// [`Error::InternalError`] for a pattern that does not compile, and those
    /// of any request.
    pub async fn request_single_access_token(
        &self,
        uid: &str,
        pattern: &str,
    ) -> Result<SingleAccessToken, Error> {
        let frames = [uid.as_bytes(), pattern.as_bytes()];
        match self.ask(Command::Token, &frames).await? {
            Packet::Token(token) => {
                SingleAccessToken::from_wire(&token).ok_or(Error::UnexpectedAnswer)
            }
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    async fn ask_done(&self, command: Command, frames: &[&[u8]]) -> Result<(), Error> {
        match self.ask(command, frames).await? {
            Packet::Done => Ok(()),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    /// The answer, where it is no refusal.
    async fn ask(&self, command: Command, frames: &[&[u8]]) -> Result<Packet, Error> {
        if frames
            .iter()
            .any(|frame| frame.is_empty() || !wire::is_frame(frame))
        {
            return Err(Error::BadRequest);
        }
        let packet = wire::encode(command.name(), frames);
        if packet.len() > PACKET_SENT_BYTES_MAX {
            return Err(Error::BadRequest);
        }
        let packet = packet.freeze();
        let deadline = Instant::now() + self.shared.timeout;
        match self.shared.attempt(&packet, deadline).await {
            Err(Error::ConnectionLost { may_have_run }) if !may_have_run || command.repeats() => {
                let second = self.shared.attempt(&packet, deadline).await;
                if may_have_run {
                    second.map_err(Error::after_possible_run)
                } else {
                    second
                }
            }
            first => first,
        }
    }
}

impl Shared {
    async fn attempt(&self, packet: &bytes::Bytes, deadline: Instant) -> Result<Packet, Error> {
        let not_run = Error::Timeout {
            may_have_run: false,
        };
        let asked = match timeout_at(deadline, self.place(packet)).await {
            Ok(asked) => asked?,
            Err(_) => return Err(not_run),
        };
        let answer = match asked {
            Some(asked) => asked.answer(deadline).await?,
            None => {
                let Ok(_permit) = timeout_at(deadline, self.one_offs.acquire()).await else {
                    return Err(not_run);
                };
                self.ask_one_off(packet, deadline).await?
            }
        };
        match answer {
            Packet::Refused(code) => Err(Error::from_code(code)),
            answer => Ok(answer),
        }
    }

    /// Hands the request to the kept connection, opened where there is none;
    /// `None` where the broker keeps none. The lock is held until the request has
    /// its place: it is a fair one, so requests take theirs in the order they began.
    async fn place(&self, packet: &bytes::Bytes) -> Result<Option<Asked>, Error> {
        let mut link = self.link.lock().await;
        let kept = match &*link {
            Link::OneOff => return Ok(None),
            Link::Kept(kept) if kept.is_alive() => kept,
            Link::Kept(_) | Link::None => {
                *link = match kept::open(&self.url, self.timeout).await? {
                    Opening::Kept(kept) => Link::Kept(kept),
                    Opening::Declined => Link::OneOff,
                };
                match &*link {
                    Link::Kept(kept) => kept,
                    _ => return Ok(None),
                }
            }
        };
        kept.place(packet.clone()).await.map(Some)
    }

    async fn ask_one_off(&self, packet: &[u8], deadline: Instant) -> Result<Packet, Error> {
        let opening = Connection::open(&self.url, Role::Client, packet);
        let mut connection = match timeout_at(deadline, opening).await {
            Ok(opened) => opened.map_err(Error::Io)?,
            Err(_) => {
                return Err(Error::Timeout {
                    may_have_run: false,
                });
            }
        };
        // A broker of 2012 executes even a packet cut short ([BE-21]), so from
        // here on anything may have run.
        match timeout_at(deadline, connection.next_packet()).await {
            Ok(Ok(packet)) => Ok(packet),
            Ok(Err(_)) => Err(Error::ConnectionLost { may_have_run: true }),
            Err(_) => Err(Error::Timeout { may_have_run: true }),
        }
    }
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Self::OpenChannel => "OC",
            Self::CloseChannel => "CC",
            Self::Broadcast => "BC",
            Self::Token => "AT",
        }
    }

    /// Whether running twice is the same as once.
    fn repeats(self) -> bool {
        matches!(self, Self::OpenChannel | Self::Token)
    }
}

/// A payload as one line of JSON.
fn json_line<T: Serialize + ?Sized>(payload: &T) -> Result<Vec<u8>, Error> {
    let mut json = serde_json::to_vec(payload).map_err(Error::Payload)?;
    // Raw values are written as they came. A line feed outside of strings is
    // white space; within strings JSON has none.
    for byte in &mut json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    match json.trim_ascii_start() {
        [b'{', ..] => Ok(json),
        b"null" => Ok(b"{}".to_vec()),
        _ => Err(Error::PayloadNotObject),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn payloads_are_one_line_tg_05() {
        let line = |value: &serde_json::Value| json_line(value).ok();
        assert_eq!(
            line(&json!({"a": "x\ny"})),
            Some(br#"{"a":"x\ny"}"#.to_vec())
        );
        assert_eq!(line(&json!(null)), Some(b"{}".to_vec()));
        let raw: Box<RawValue> = serde_json::from_str("{\n\"a\":\r\n1.50 }").expect("valid");
        assert_eq!(json_line(&raw).ok(), Some(b"{ \"a\":  1.50 }".to_vec()));
    }

    #[test]
    fn payloads_that_the_broker_would_empty_are_refused_bc_05() {
        for value in [json!([1]), json!("x"), json!(1), json!(true)] {
            assert!(matches!(json_line(&value), Err(Error::PayloadNotObject)));
        }
        let keys_of_no_json = std::collections::HashMap::from([([1u8], 1)]);
        assert!(matches!(
            json_line(&keys_of_no_json),
            Err(Error::Payload(_))
        ));
    }
}
