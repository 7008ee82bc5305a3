use std::borrow::Cow;

use crate::wire::json::{JsonString, Members, Scan, Value};

/// What a frontend asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Presents a single access token.
    Auth {
        /// Never empty.
        token: Cow<'a, str>,
    },
    /// Wants to be a subscriber.
    Subscribe {
        /// Never empty; may be no channel's name.
        channel: Cow<'a, str>,
        /// Not to be announced or listed.
        hidden: bool,
        /// The member's data on a presence channel.
        data: Members<'a>,
    },
    /// Wants to be a subscriber no longer.
    Unsubscribe {
        /// Never empty; may be no channel's name.
        channel: Cow<'a, str>,
        /// Put over the member's data when the others are told.
        data: Members<'a>,
    },
    /// An event for the subscribers of a channel.
    Broadcast {
        /// Never empty; may be no channel's name.
        channel: Cow<'a, str>,
        /// Never empty, never beginning with a colon.
        event: JsonString<'a>,
        /// The event's data.
        data: Members<'a>,
        /// The event that one worker gets besides; never empty.
        trigger: Option<JsonString<'a>>,
    },
    /// An event for one worker.
    Trigger {
        /// Never empty.
        event: JsonString<'a>,
        /// The event's data.
        data: Members<'a>,
    },
    /// An answer to a ping that was perhaps never sent ([ER-15]).
    Pong,
    /// Wants to go.
    Close {
        /// Put over the member's data when the others are told ([CL-04]).
        data: Members<'a>,
    },
}

/// The message is none of section 3.3; it is answered with `:error` 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message")]
pub struct Malformed;

/// What a reassembled message asks for, text or binary ([FR-04]).
///
/// # Errors
/// [`Malformed`] for all that the table of section 3.2 lists, and for text that
/// is no UTF-8 ([FR-11]).
pub fn decode(message: &[u8]) -> Result<Message<'_>, Malformed> {
    let text = simdutf8::basic::from_utf8(message).map_err(|_| Malformed)?;
    decode_text(text)
}

/// The same of a message that is text already.
///
/// # Errors
/// [`Malformed`] for all that the table of section 3.2 lists.
pub fn decode_text(text: &str) -> Result<Message<'_>, Malformed> {
    read_message(text).ok_or(Malformed)
}

fn read_message(text: &str) -> Option<Message<'_>> {
    let mut scan = Scan::new(text);
    scan.skip_space();
    scan.take(b'{')?;
    scan.skip_space();
    let verb = Verb::named(&scan.plain_name()?)?;
    let mut fields = Fields::default();
    let payload = if verb == Verb::Pong {
        scan.value(1)?;
        Members::EMPTY
    } else {
        fields.read(&mut scan)?
    };
    scan.skip_space();
    if scan.take(b',').is_some() {
        scan.skip_space();
        let name = scan.name()?;
        let value = scan.value(1)?;
        fields.put_beside(verb, name, value)?;
        scan.skip_space();
    }
    scan.take(b'}')?;
    scan.end()?;
    fields.into_message(verb, payload)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Auth,
    Subscribe,
    Unsubscribe,
    Broadcast,
    Trigger,
    Pong,
    Close,
}

impl Verb {
    /// Case counts ([ER-08]); server events are unknown here.
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"auth" => Self::Auth,
            b"subscribe" => Self::Subscribe,
            b"unsubscribe" => Self::Unsubscribe,
            b"broadcast" => Self::Broadcast,
            b"trigger" => Self::Trigger,
            b"pong" => Self::Pong,
            b"close" => Self::Close,
            _ => return None,
        })
    }
}

/// The known members of a payload; one of a wrong type counts as absent, and of
/// several with one name the last counts.
#[derive(Default)]
struct Fields<'a> {
    token: Option<JsonString<'a>>,
    channel: Option<JsonString<'a>>,
    event: Option<JsonString<'a>>,
    trigger: Option<JsonString<'a>>,
    hidden: bool,
    data: Members<'a>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, scan: &mut Scan<'a>) -> Option<Members<'a>> {
        scan.object(|scan, name| {
            let value = scan.value(2)?;
            match &*name {
                b"token" => self.token = string(value),
                b"channel" => self.channel = string(value),
                b"event" => self.event = string(value),
                b"trigger" => self.trigger = string(value),
                b"hidden" => self.hidden = matches!(value, Value::Other("true")),
                b"data" => {
                    self.data = match value {
                        Value::Object(members) => members,
                        _ => Members::EMPTY,
                    }
                }
                _unknown => {}
            }
            Some(())
        })
    }

    /// The two shapes of section 3.9, whose second member belongs inside
    /// ([BR-18, SU-20]); any other is malformed ([ER-05]).
    fn put_beside(&mut self, verb: Verb, name: JsonString<'a>, value: Value<'a>) -> Option<()> {
        match (verb, &*name.unescape(), value) {
            (Verb::Broadcast, "trigger", Value::String(trigger)) => self.trigger = Some(trigger),
            (Verb::Broadcast, "trigger", _) => {}
            (Verb::Subscribe, "hidden", Value::Other(hidden @ ("true" | "false"))) => {
                self.hidden = hidden == "true";
            }
            (Verb::Subscribe, "hidden", _) => {}
            _ => return None,
        }
        Some(())
    }

    fn into_message(self, verb: Verb, payload: Members<'a>) -> Option<Message<'a>> {
        let said = |field: Option<JsonString<'a>>| required(field).map(JsonString::unescape);
        Some(match verb {
            Verb::Auth => Message::Auth {
                token: said(self.token)?,
            },
            Verb::Subscribe => Message::Subscribe {
                channel: said(self.channel)?,
                hidden: self.hidden,
                data: self.data,
            },
            Verb::Unsubscribe => Message::Unsubscribe {
                channel: said(self.channel)?,
                data: self.data,
            },
            Verb::Broadcast => Message::Broadcast {
                channel: said(self.channel)?,
                event: required(self.event).filter(|event| !event.starts_with_colon())?,
                data: self.data,
                trigger: required(self.trigger),
            },
            Verb::Trigger => Message::Trigger {
                event: required(self.event)?,
                data: self.data,
            },
            Verb::Pong => Message::Pong,
            Verb::Close => Message::Close { data: payload },
        })
    }
}

fn string(value: Value<'_>) -> Option<JsonString<'_>> {
    match value {
        Value::String(string) => Some(string),
        _ => None,
    }
}

fn required(field: Option<JsonString<'_>>) -> Option<JsonString<'_>> {
    field.filter(|string| !string.is_empty())
}
