//! What a broadcast carries, and what the broker's messages say.
//!
//! ```text
//! {"l":"RRRRRRRRPPPPPPPPSSSSSSSSIIIIIIIIIIIIIIIIAAAAAAAAAAAAAAAA....."}
//!       run     pub     seq     intended        actual          filling
//! ```
//! Each field in lower-case hex; the times in nanoseconds since the start of
//! the run. The whole is as many bytes long as `--size` says.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::tokens::number_of;

/// Bytes of the data without any filling.
pub(crate) const DATA_BYTES_MIN: usize = 64;

/// What one broadcast carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells this run from another on the same channels.
    pub(crate) run: u32,
    /// The number of the client that sent it.
    pub(crate) publisher: u32,
    /// Counted from 0 by each publisher.
    pub(crate) sequence: u32,
    /// When it was due.
    pub(crate) intended_ns: u64,
    /// When it was sent.
    pub(crate) sent_ns: u64,
}

/// A message of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `:connected`.
    Connected,
    /// `:authenticated`.
    Authenticated,
    /// `:subscribed`.
    Subscribed,
    /// `:memberJoined` of this client of a load generator.
    MemberJoined(u32),
    /// `:memberLeft`.
    MemberLeft(u32),
    /// `:error` with its code.
    Error(u16),
    /// A broadcast of a load generator.
    Load(Stamp),
    /// A broadcast of a load generator that can't be read: damaged on its way.
    Damaged,
    /// A worker's answer to the trigger of this stamp.
    Reply(Stamp),
    /// Anything else.
    Other,
}

/// Appends the request to broadcast `stamp` in data of `data_bytes`.
pub(crate) fn write_broadcast(out: &mut Vec<u8>, channel: &str, stamp: &Stamp, data_bytes: usize) {
    out.extend_from_slice(br#"{"broadcast":{"channel":""#);
    out.extend_from_slice(channel.as_bytes());
    out.extend_from_slice(br#"","event":"load","data":"#);
    stamp.write(out, data_bytes);
    out.extend_from_slice(b"}}");
}

/// Appends the request to trigger `stamp` in data of `data_bytes`.
pub(crate) fn write_trigger(out: &mut Vec<u8>, stamp: &Stamp, data_bytes: usize) {
    out.extend_from_slice(br#"{"trigger":{"event":"load","data":"#);
    stamp.write(out, data_bytes);
    out.extend_from_slice(b"}}");
}

/// What a backend broadcasts.
#[derive(Debug, Serialize)]
pub(crate) struct Carried {
    l: String,
}

impl Carried {
    /// The stamp alone.
    pub(crate) fn new(stamp: &Stamp) -> Self {
        Self::sized(stamp, DATA_BYTES_MIN)
    }

    /// In data of `data_bytes`.
    pub(crate) fn sized(stamp: &Stamp, data_bytes: usize) -> Self {
        let mut digits = Vec::with_capacity(data_bytes);
        stamp.write_digits(&mut digits, data_bytes);
        // Hex digits and dots.
        let l = String::from_utf8(digits).unwrap_or_default();
        Self { l }
    }
}

/// Appends the request to authenticate.
pub(crate) fn write_auth(out: &mut Vec<u8>, token: &str) {
    out.extend_from_slice(br#"{"auth":{"token":""#);
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(br#""}}"#);
}

/// The members in the list of a `:subscribed`; those that are no clients of a
/// load generator are left out.
pub(crate) fn members(text: &[u8]) -> Vec<u32> {
    let event: Option<Value> = serde_json::from_slice(text).ok();
    let list = event
        .as_ref()
        .map(|event| &event[":subscribed"]["subscribers"]);
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|member| number_of(member["uid"].as_str()?))
        .collect()
}

/// Appends the request to subscribe `channel`.
pub(crate) fn write_subscribe(out: &mut Vec<u8>, channel: &str) {
    out.extend_from_slice(br#"{"subscribe":{"channel":""#);
    out.extend_from_slice(channel.as_bytes());
    out.extend_from_slice(br#""}}"#);
}

impl Message {
    /// What the text of a message says.
    pub(crate) fn read(text: &[u8]) -> Self {
        // As our broker writes it. Another may order the members in its own way.
        if let Some(rest) = text.strip_prefix(br#"{"load":{"l":""#) {
            return Stamp::read(rest).map_or(Self::Damaged, Self::Load);
        }
        Self::read_any(text).unwrap_or(Self::Other)
    }

    fn read_any(text: &[u8]) -> Option<Self> {
        let event: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let (name, payload) = event.iter().next()?;
        Some(match name.as_str() {
            ":connected" => Self::Connected,
            ":subscribed" => Self::Subscribed,
            ":authenticated" => Self::Authenticated,
            ":memberJoined" => Self::MemberJoined(number_of(payload["uid"].as_str()?)?),
            ":memberLeft" => Self::MemberLeft(number_of(payload["uid"].as_str()?)?),
            ":error" => Self::Error(payload["code"].as_u64()?.try_into().ok()?),
            "load" | "reply" => {
                let stamp = payload["l"].as_str().and_then(Stamp::from_text);
                let of = if name == "load" {
                    Self::Load
                } else {
                    Self::Reply
                };
                stamp.map_or(Self::Damaged, of)
            }
            _ => Self::Other,
        })
    }
}

impl Stamp {
    const DIGITS: usize = 56;

    /// `data_bytes` below [`DATA_BYTES_MIN`] count as that.
    fn write(&self, out: &mut Vec<u8>, data_bytes: usize) {
        out.extend_from_slice(br#"{"l":""#);
        self.write_digits(out, data_bytes);
        out.extend_from_slice(br#""}"#);
    }

    fn write_digits(&self, out: &mut Vec<u8>, data_bytes: usize) {
        write_hex(out, self.run.into(), 8);
        write_hex(out, self.publisher.into(), 8);
        write_hex(out, self.sequence.into(), 8);
        write_hex(out, self.intended_ns, 16);
        write_hex(out, self.sent_ns, 16);
        let filling = data_bytes.saturating_sub(DATA_BYTES_MIN);
        out.resize(out.len() + filling, b'.');
    }

    /// Of the text that stands for it.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::read(text.as_bytes())
    }

    fn read(digits: &[u8]) -> Option<Self> {
        let digits = digits.get(..Self::DIGITS)?;
        let narrow = |from: usize| read_hex(&digits[from..from + 8]).map(|value| value as u32);
        Some(Self {
            run: narrow(0)?,
            publisher: narrow(8)?,
            sequence: narrow(16)?,
            intended_ns: read_hex(&digits[24..40])?,
            sent_ns: read_hex(&digits[40..56])?,
        })
    }
}

fn write_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * digit)) as usize & 0xf]);
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 0xdead_beef,
        publisher: 7,
        sequence: u32::MAX,
        intended_ns: 1,
        sent_ns: u64::MAX,
    };

    fn data(bytes: usize) -> String {
        let mut out = Vec::new();
        STAMP.write(&mut out, bytes);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_data_is_as_long_as_asked_for() {
        assert_eq!(data(0).len(), DATA_BYTES_MIN);
        for bytes in [DATA_BYTES_MIN, DATA_BYTES_MIN + 1, 100, 70_000] {
            assert_eq!(data(bytes).len(), bytes);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for bytes in [DATA_BYTES_MIN, 100] {
            let data = data(bytes);
            let members = &data[1..data.len() - 1];
            for text in [
                format!(r#"{{"load":{{{members},"sid":"x","channel":"load-0"}}}}"#),
                format!(r#"{{"load":{{"channel":"load-0",{members},"sid":"x"}}}}"#),
                format!(r#" {{ "load" : {{ {members} }} }} "#),
            ] {
                assert_eq!(
                    Message::read(text.as_bytes()),
                    Message::Load(STAMP),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn requests_are_those_of_the_protocol() {
        let mut out = Vec::new();
        write_broadcast(&mut out, "load-3", &STAMP, 64);
        let request: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(request["broadcast"]["channel"], "load-3");
        assert_eq!(request["broadcast"]["event"], "load");
        let digits = "deadbeef00000007ffffffff0000000000000001ffffffffffffffff";
        assert_eq!(request["broadcast"]["data"]["l"], digits);
        out.clear();
        write_subscribe(&mut out, "load-3");
        assert_eq!(out, br#"{"subscribe":{"channel":"load-3"}}"#);
    }

    #[test]
    fn messages_of_the_broker() {
        for (text, message) in [
            (r#"{":connected":{"sid":"s"}}"#, Message::Connected),
            (r#"{":subscribed":{"channel":"c"}}"#, Message::Subscribed),
            (
                r#"{":error":{"code":454,"status":"Channel not found"}}"#,
                Message::Error(454),
            ),
            (r#"{":error":{}}"#, Message::Other),
            (r#"{":memberJoined":{}}"#, Message::Other),
            ("{}", Message::Other),
            ("no JSON", Message::Other),
        ] {
            assert_eq!(Message::read(text.as_bytes()), message, "{text}");
        }
    }

    #[test]
    fn damage_is_told() {
        let whole = format!(r#"{{"load":{}}}"#, data(64));
        for text in [
            whole.replace("beef", "bexf"),
            whole.replace("beef", "BEEF"),
            whole[..whole.len() - 10].to_owned(),
            r#"{"load":{}}"#.to_owned(),
            r#"{"load":{"channel":"c","l":5}}"#.to_owned(),
        ] {
            assert_eq!(Message::read(text.as_bytes()), Message::Damaged, "{text}");
        }
    }
}
