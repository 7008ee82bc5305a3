use crate::hub::envelope::Grant;
use crate::limits::UID_BYTES_MAX;
use crate::model::{ChannelName, Status};
use crate::wire::json::{self, Members};
use crate::wire::packet::Packet;

/// What a backend client asks for (spec 4.3).
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `KA`: keep the connection.
    Keep,
    /// `HB`, on a kept connection: it still lives.
    Heartbeat,
    /// `OC`.
    Open(ChannelName),
    /// `CC`.
    Close(ChannelName),
    /// `BC`.
    Broadcast {
        /// May be no channel's name.
        channel: &'a str,
        /// Plain text, not JSON; never begins with a colon.
        event: &'a str,
        /// Empty where it is no JSON object ([BC-05, BC-06]).
        data: Members<'a>,
    },
    /// `AT`; the pattern may not compile.
    Token(Grant),
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// What the client is told with `ER`.
    pub fn decode(packet: &Packet<'a>) -> Result<Self, Status> {
        let text = |index: usize| {
            let frame = packet
                .frames
                .get(index)
                .copied()
                .filter(|frame| !frame.is_empty());
            frame.ok_or(Status::BadRequest)
        };
        match packet.command {
            b"KA" => Ok(Self::Keep),
            b"HB" => Ok(Self::Heartbeat),
            b"OC" => channel(text(0)?)
                .ok_or(Status::InvalidChannelName)
                .map(Self::Open),
            b"CC" => channel(text(0)?)
                .ok_or(Status::ChannelNotFound)
                .map(Self::Close),
            b"BC" => {
                let (channel, event) = (text(0)?, text(1)?);
                let data = packet.frames.get(2).ok_or(Status::BadRequest)?;
                let event = str::from_utf8(event).map_err(|_| Status::BadRequest)?;
                if event.starts_with(':') {
                    return Err(Status::BadRequest);
                }
                let channel = str::from_utf8(channel).map_err(|_| Status::ChannelNotFound)?;
                let data = simdutf8::basic::from_utf8(data).ok();
                let data = data.and_then(json::parse_members);
                Ok(Self::Broadcast {
                    channel,
                    event,
                    data: data.unwrap_or(Members::EMPTY),
                })
            }
            b"AT" => {
                let (uid, pattern) = (text(0)?, text(1)?);
                let uid = str::from_utf8(uid).map_err(|_| Status::BadRequest)?;
                if uid.len() > UID_BYTES_MAX {
                    return Err(Status::BadRequest);
                }
                let pattern = str::from_utf8(pattern).map_err(|_| Status::InternalError)?;
                Ok(Self::Token(Grant {
                    uid: uid.into(),
                    pattern: pattern.into(),
                }))
            }
            _ => Err(Status::BadRequest),
        }
    }

    /// Whether it has to wait for the answers to all earlier requests, and all
    /// later ones for its own. Broadcasts may be under way together: the rings
    /// keep their order.
    pub fn is_barrier(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Close(_) | Self::Token(_))
    }
}

fn channel(name: &[u8]) -> Option<ChannelName> {
    ChannelName::parse(str::from_utf8(name).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<'a>(command: &'a str, frames: &[&'a str]) -> Result<Request<'a>, Status> {
        let frames = frames.iter().map(|frame| frame.as_bytes()).collect();
        Request::decode(&Packet {
            identity: None,
            command: command.as_bytes(),
            frames,
        })
    }

    #[test]
    fn channels_oc_05_cc() {
        let name = ChannelName::parse("test").expect("valid");
        assert_eq!(decode("OC", &["test"]), Ok(Request::Open(name.clone())));
        assert_eq!(decode("OC", &["test\r"]), Err(Status::InvalidChannelName));
        assert_eq!(decode("OC", &[""]), Err(Status::BadRequest));
        assert_eq!(decode("OC", &[]), Err(Status::BadRequest));
        assert_eq!(decode("CC", &["test", "surplus"]), Ok(Request::Close(name)));
        assert_eq!(decode("CC", &["%"]), Err(Status::ChannelNotFound));
        assert_eq!(decode("CC", &[]), Err(Status::BadRequest));
    }

    #[test]
    fn broadcasts_bc_05_bc_06_bc_14() {
        for data in ["null", "[]", "1", "", "{", "nonsense"] {
            let (channel, event) = ("c", "e");
            let expected = Request::Broadcast {
                channel,
                event,
                data: Members::EMPTY,
            };
            assert_eq!(decode("BC", &["c", "e", data]), Ok(expected), "{data}");
        }
        for bad in [
            &["c", "e"][..],
            &["", "e", "{}"],
            &["c", "", "{}"],
            &["c", ":e", "{}"],
        ] {
            assert_eq!(decode("BC", bad), Err(Status::BadRequest), "{bad:?}");
        }
    }

    #[test]
    fn tokens_at_05() {
        let grant = Grant {
            uid: " joe:\"x\" ".into(),
            pattern: ".*".into(),
        };
        assert_eq!(
            decode("AT", &[" joe:\"x\" ", ".*"]),
            Ok(Request::Token(grant))
        );
        assert_eq!(decode("AT", &["joe"]), Err(Status::BadRequest));
        assert_eq!(decode("AT", &["", ".*"]), Err(Status::BadRequest));
        assert_eq!(decode("AT", &["joe", ""]), Err(Status::BadRequest));
        let longest = "u".repeat(UID_BYTES_MAX);
        assert!(decode("AT", &[&longest, ".*"]).is_ok());
        assert!(decode("AT", &[&format!("{longest}u"), ".*"]).is_err());
    }

    #[test]
    fn anything_else_is_refused_be_09() {
        for command in ["RD", "QT", "", "oc", "XX"] {
            assert_eq!(decode(command, &[]), Err(Status::BadRequest), "{command}");
        }
    }
}
