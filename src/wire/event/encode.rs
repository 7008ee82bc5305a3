use bytes::BufMut;

use crate::model::{Sid, Status};
use crate::wire::frame::write_text;
use crate::wire::json::{self, Members};

// Each writer appends one whole text frame to a buffer that grows. Channel
// names and sids need no JSON escapes by their construction.

/// `{":connected":{"sid":"S"}}`, the first frame of every session ([HS-01]).
pub fn connected(out: &mut impl BufMut, sid: &Sid) {
    write_text(out, &[br#"{":connected":{"sid":""#, &sid.text(), br#""}}"#]);
}

/// `{":authenticated":{}}` ([AU-05]).
pub fn authenticated(out: &mut impl BufMut) {
    write_text(out, &[br#"{":authenticated":{}}"#]);
}

/// `{":subscribed":{"channel":"C"}}`; a private channel's has the `uid` too, a
/// presence channel's also the `roster`, a JSON array ([SU-04, SU-08, SU-10]).
pub fn subscribed(out: &mut impl BufMut, channel: &str, uid: Option<&str>, roster: Option<&[u8]>) {
    let mut user = String::new();
    if let Some(uid) = uid {
        user.push_str(r#","uid":"#);
        json::write_string(&mut user, uid);
    }
    let (label, roster): (&[u8], _) = match roster {
        Some(roster) => (br#","subscribers":"#, roster),
        None => (b"", &b""[..]),
    };
    write_text(
        out,
        &[
            br#"{":subscribed":{"channel":""#,
            channel.as_bytes(),
            b"\"",
            user.as_bytes(),
            label,
            roster,
            b"}}",
        ],
    );
}

/// `{":unsubscribed":{"channel":"C"}}`.
pub fn unsubscribed(out: &mut impl BufMut, channel: &str) {
    write_text(
        out,
        &[
            br#"{":unsubscribed":{"channel":""#,
            channel.as_bytes(),
            br#""}}"#,
        ],
    );
}

/// `{":memberJoined":{...}}` with a record of [`presence_record`].
pub fn member_joined(out: &mut impl BufMut, record: &str) {
    write_text(out, &[br#"{":memberJoined":{"#, record.as_bytes(), b"}}"]);
}

/// `{":memberLeft":{...}}` with a record of [`departure_record`].
pub fn member_left(out: &mut impl BufMut, record: &str) {
    write_text(out, &[br#"{":memberLeft":{"#, record.as_bytes(), b"}}"]);
}

/// `{":error":{"code":400,"status":"Bad request"}}` ([ER-02]).
pub fn error(out: &mut impl BufMut, status: Status) {
    let code = status.code();
    let digits = [code / 100, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8);
    write_text(
        out,
        &[
            br#"{":error":{"code":"#,
            &digits,
            br#","status":""#,
            status.text().as_bytes(),
            br#""}}"#,
        ],
    );
}

/// `{":dropped":{"count":3}}`: so many deliveries have passed a session by.
/// Clients of 2012 do not know it and ignore it (docs/decisions/0019).
pub fn dropped(out: &mut impl BufMut, count: u64) {
    let count = count.to_string();
    write_text(out, &[br#"{":dropped":{"count":"#, count.as_bytes(), b"}}"]);
}

/// `{":closed":{"sid":"S"}}` ([CL-02]).
pub fn closed(out: &mut impl BufMut, sid: &Sid) {
    write_text(out, &[br#"{":closed":{"sid":""#, &sid.text(), br#""}}"#]);
}

/// `{EVENT:{data,"sid":"S","channel":"C"}}`, where `event` is a JSON string as
/// it stands in its text. What the data says about `channel` gives way, as does
/// its `sid` where a frontend sent it ([BR-04, BR-06]); one from a backend has
/// no `sid` but that of its data ([BC-07]).
pub fn custom(
    out: &mut impl BufMut,
    event: &str,
    data: Members<'_>,
    sid: Option<&Sid>,
    channel: &str,
) {
    let reserved: &[&str] = if sid.is_some() {
        &["sid", "channel"]
    } else {
        &["channel"]
    };
    let data = data.without(reserved);
    let comma: &[u8] = if data.is_empty() { b"" } else { b"," };
    let text;
    let signed: &[u8] = match sid {
        Some(sid) => {
            text = with_sid(sid);
            &text
        }
        None => CHANNEL,
    };
    write_text(
        out,
        &[
            b"{",
            event.as_bytes(),
            b":{",
            data.as_bytes(),
            comma,
            signed,
            channel.as_bytes(),
            br#""}}"#,
        ],
    );
}

const CHANNEL: &[u8] = br#""channel":""#;

/// `"sid":"S","channel":"`, in one piece: each piece of a frame costs a copy.
fn with_sid(sid: &Sid) -> [u8; 7 + 36 + 2 + CHANNEL.len()] {
    let mut text = *br#""sid":"........-....-....-....-............","channel":""#;
    text[7..43].copy_from_slice(&sid.text());
    text
}

/// `{EVENT:{data}}`, of no channel: what the operator says to one session.
pub fn direct(out: &mut impl BufMut, event: &str, data: Members<'_>) {
    let data = data.as_str().as_bytes();
    write_text(out, &[b"{", event.as_bytes(), b":{", data, b"}}"]);
}

/// A presence member's record: the data with `uid` and `channel` set last, so
/// that nobody can forge them ([PR-03]). The members of an object, unbraced.
pub fn presence_record(data: Members<'_>, uid: &str, channel: &str) -> String {
    signed(&data.without(&["uid", "channel"]), uid, channel)
}

/// What the others are told of one who leaves: the member's record, the
/// unsubscription data over it, `uid` and `channel` set last ([PR-14, PR-15]).
pub fn departure_record(record: &str, data: Members<'_>, uid: &str, channel: &str) -> String {
    let merged = json::merge(Members::trusted(record), data);
    presence_record(Members::trusted(&merged), uid, channel)
}

fn signed(members: &str, uid: &str, channel: &str) -> String {
    let mut record = String::with_capacity(members.len() + uid.len() + channel.len() + 32);
    json::push_members(&mut record, members);
    json::push_members(&mut record, r#""uid":"#);
    json::write_string(&mut record, uid);
    record.push_str(r#","channel":""#);
    record.push_str(channel);
    record.push('"');
    record
}
