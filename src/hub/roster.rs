use std::collections::BTreeMap;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::limits::ROSTER_BYTES_MAX;
use crate::model::Peer;

/// The visible members of a presence channel, in the order in which they joined.
/// One uid on two connections is two members ([PR-13]).
#[derive(Default)]
pub(super) struct Roster {
    members: BTreeMap<u64, Member>,
    places: FxHashMap<Peer, u64>,
    next: u64,
    record_bytes: usize,
}

pub(super) struct Member {
    pub(super) uid: Box<str>,
    /// The members of a JSON object, without its braces.
    pub(super) record: Box<str>,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether a further record fits.
    pub(super) fn has_room(&self, record: &str) -> bool {
        self.record_bytes + record.len() <= ROSTER_BYTES_MAX
    }

    pub(super) fn add(&mut self, peer: Peer, member: Member) {
        self.record_bytes += member.record.len();
        self.places.insert(peer, self.next);
        self.members.insert(self.next, member);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, peer: Peer) -> Option<Member> {
        let member = self.members.remove(&self.places.remove(&peer)?)?;
        self.record_bytes -= member.record.len();
        Some(member)
    }

    /// The record of one member.
    pub(super) fn record(&self, peer: Peer) -> Option<&str> {
        let member = self.members.get(self.places.get(&peer)?)?;
        Some(&member.record)
    }

    /// The members as a JSON array.
    pub(super) fn to_json(&self) -> Bytes {
        let mut json = Vec::with_capacity(self.record_bytes + 3 * self.members.len() + 2);
        json.push(b'[');
        for (index, member) in self.members.values().enumerate() {
            json.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            json.extend_from_slice(member.record.as_bytes());
            json.push(b'}');
        }
        json.push(b']');
        json.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConnId;

    fn peer(slot: u32) -> Peer {
        Peer {
            shard: 0,
            conn: ConnId {
                slot,
                generation: 0,
            },
        }
    }

    fn member(record: &str) -> Member {
        Member {
            uid: "u".into(),
            record: record.into(),
        }
    }

    #[test]
    fn lists_in_the_order_of_joining() {
        let mut roster = Roster::default();
        assert_eq!(roster.to_json(), "[]");
        roster.add(peer(2), member(r#""uid":"b""#));
        roster.add(peer(1), member(r#""uid":"a""#));
        assert_eq!(roster.to_json(), r#"[{"uid":"b"},{"uid":"a"}]"#);
        assert!(roster.remove(peer(2)).is_some());
        assert!(roster.remove(peer(2)).is_none());
        assert_eq!(roster.to_json(), r#"[{"uid":"a"}]"#);
    }

    #[test]
    fn refuses_past_its_bound() {
        let mut roster = Roster::default();
        roster.add(peer(1), member(&"r".repeat(ROSTER_BYTES_MAX - 10)));
        assert!(roster.has_room(&"r".repeat(10)));
        assert!(!roster.has_room(&"r".repeat(11)));
        roster.remove(peer(1));
        assert!(roster.has_room(&"r".repeat(11)));
    }
}
