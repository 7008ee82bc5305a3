//! The bytes of the store's tables. All numbers are big-endian, so that the
//! order of keys is the order of numbers and what belongs to a vhost is a range.
//!
//! ```text
//! table     key                          value
//! meta      "format"                     format u32
//! meta      "state"                      batch u64 | next vhost u32 | next channel u64
//! vhosts    vhost u32                    access token, 20 bytes | path
//! channels  vhost u32 | name             channel u64
//! tokens    vhost u32 | token, 64 bytes  expires at u64 | length of uid u32 | uid | pattern
//! ```
//!
//! Expiry is in milliseconds since the Unix epoch; text is UTF-8 and goes to
//! the end where no length says otherwise. Another layout gets another format.

use std::ops::Range;

use redb::TableDefinition;

use super::{Damage, Record, StoredToken, StoredVhost};
use crate::hub::envelope::Grant;
use crate::limits::{PACKET_BYTES_MAX, PATTERN_BYTES_MAX};
use crate::model::{AccessToken, ChannelId, ChannelName, SingleAccessToken, VhostId, VhostPath};

/// The format that this release writes, and the only one that it reads.
pub(in crate::control) const FORMAT: u32 = 1;

pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const META: Table = TableDefinition::new("meta");
pub(super) const VHOSTS: Table = TableDefinition::new("vhosts");
pub(super) const CHANNELS: Table = TableDefinition::new("channels");
pub(super) const TOKENS: Table = TableDefinition::new("tokens");

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const STATE_KEY: &[u8] = b"state";

/// What counts up with each batch; written with it, so that the file tells
/// whether a batch is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) batch: u64,
    pub(super) next_vhost: u32,
    pub(super) next_channel: u64,
}

impl State {
    /// The state once these records are in.
    pub(super) fn after(mut self, records: &[Record]) -> Self {
        self.batch += 1;
        for record in records {
            match record {
                Record::VhostAdded { vhost, .. } => {
                    self.next_vhost = self.next_vhost.max(vhost.0.saturating_add(1));
                }
                Record::ChannelOpened { channel, .. } => {
                    self.next_channel = self.next_channel.max(channel.0.saturating_add(1));
                }
                _ => {}
            }
        }
        self
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut value = self.batch.to_be_bytes().to_vec();
        value.extend(self.next_vhost.to_be_bytes());
        value.extend(self.next_channel.to_be_bytes());
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Damage> {
        let mut rest = value;
        let state = (|| {
            Some(Self {
                batch: u64::from_be_bytes(take(&mut rest)?),
                next_vhost: u32::from_be_bytes(take(&mut rest)?),
                next_channel: u64::from_be_bytes(take(&mut rest)?),
            })
        })();
        state
            .filter(|_| rest.is_empty())
            .ok_or(damage("meta", "no state"))
    }
}

pub(super) fn encode_format(format: u32) -> [u8; 4] {
    format.to_be_bytes()
}

pub(super) fn decode_format(value: &[u8]) -> Result<u32, Damage> {
    let bytes = value.try_into().map_err(|_| damage("meta", "no format"))?;
    Ok(u32::from_be_bytes(bytes))
}

pub(super) fn vhost_key(vhost: VhostId) -> [u8; 4] {
    vhost.0.to_be_bytes()
}

/// The keys that begin with this vhost. The last id is never handed out.
pub(super) fn keys_of(vhost: VhostId) -> Range<[u8; 4]> {
    vhost_key(vhost)..vhost_key(VhostId(vhost.0.saturating_add(1)))
}

pub(super) fn encode_vhost(path: &str, token: &AccessToken) -> Vec<u8> {
    [token.as_bytes(), path.as_bytes()].concat()
}

/// The path as text, behind the access token.
pub(super) fn path_of(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.get(AccessToken::BYTES..)?).ok()
}

pub(super) fn decode_vhost(key: &[u8], value: &[u8]) -> Result<(VhostId, StoredVhost), Damage> {
    let id = key
        .try_into()
        .map_err(|_| damage("vhosts", "a vhost without an id"))?;
    let mut rest = value;
    let token = take(&mut rest).ok_or(damage("vhosts", "a vhost without an access token"))?;
    let path = path_of(value)
        .and_then(VhostPath::parse)
        .ok_or(damage("vhosts", "a path that no vhost can have"))?;
    let vhost = StoredVhost {
        path,
        token: AccessToken::from_random(token),
        channels: Default::default(),
    };
    Ok((VhostId(u32::from_be_bytes(id)), vhost))
}

pub(super) fn channel_key(vhost: VhostId, name: &ChannelName) -> Vec<u8> {
    [&vhost_key(vhost), name.as_str().as_bytes()].concat()
}

pub(super) fn encode_channel(channel: ChannelId) -> [u8; 8] {
    channel.0.to_be_bytes()
}

pub(super) fn decode_channel(
    key: &[u8],
    value: &[u8],
) -> Result<(VhostId, ChannelName, ChannelId), Damage> {
    let mut rest = key;
    let vhost = take(&mut rest).ok_or(damage("channels", "a channel without a vhost"))?;
    let name = std::str::from_utf8(rest)
        .ok()
        .and_then(ChannelName::parse)
        .ok_or(damage("channels", "a name that no channel can have"))?;
    let id = value
        .try_into()
        .map_err(|_| damage("channels", "a channel without an id"))?;
    let vhost = VhostId(u32::from_be_bytes(vhost));
    Ok((vhost, name, ChannelId(u64::from_be_bytes(id))))
}

pub(super) fn token_key(vhost: VhostId, token: &SingleAccessToken) -> Vec<u8> {
    [&vhost_key(vhost)[..], token.as_bytes()].concat()
}

pub(super) fn encode_token(stored: &StoredToken) -> Vec<u8> {
    let Grant { uid, pattern } = &*stored.grant;
    let mut value = Vec::with_capacity(12 + uid.len() + pattern.len());
    value.extend(stored.expires_at_ms.to_be_bytes());
    value.extend((uid.len() as u32).to_be_bytes());
    value.extend(uid.as_bytes());
    value.extend(pattern.as_bytes());
    value
}

/// The pattern is not compiled: that it can be was seen when the token was
/// issued, and a million of them would delay the start by a minute.
pub(super) fn decode_token(
    key: &[u8],
    value: &[u8],
) -> Result<(SingleAccessToken, StoredToken), Damage> {
    let mut rest = key;
    let vhost = take(&mut rest).ok_or(damage("tokens", "a token without a vhost"))?;
    let token: [u8; SingleAccessToken::BYTES] = rest
        .try_into()
        .map_err(|_| damage("tokens", "a token of another length"))?;
    let (expires_at_ms, uid, pattern) =
        decode_grant(value).ok_or(damage("tokens", "a token that gives nothing"))?;
    let stored = StoredToken {
        vhost: VhostId(u32::from_be_bytes(vhost)),
        grant: Box::new(Grant {
            uid: uid.into(),
            pattern: pattern.into(),
        }),
        expires_at_ms,
    };
    Ok((SingleAccessToken::from_random(token), stored))
}

fn decode_grant(value: &[u8]) -> Option<(u64, &str, &str)> {
    let mut rest = value;
    let expires_at_ms = u64::from_be_bytes(take(&mut rest)?);
    let uid_len = u32::from_be_bytes(take(&mut rest)?) as usize;
    let (uid, pattern) = rest.split_at_checked(uid_len)?;
    if uid.len() > PACKET_BYTES_MAX || pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let uid = std::str::from_utf8(uid).ok()?;
    Some((expires_at_ms, uid, std::str::from_utf8(pattern).ok()?))
}

/// Cuts `N` bytes off the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*bytes)
}

pub(super) fn damage(table: &'static str, what: &'static str) -> Damage {
    Damage::Entry { table, what }
}
