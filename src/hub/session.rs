use std::sync::Arc;

use smallvec::SmallVec;

use crate::meter::VhostMeter;
use crate::model::{ChannelId, ChannelName, ConnId, Permission, ShardId, Sid, VhostId};
use crate::wire::deflate::Params;

/// The protocol state of one frontend.
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) vhost: VhostId,
    pub(super) sid: Sid,
    pub(super) user: Option<Box<User>>,
    pub(super) subscriptions: SmallVec<[Subscription; 2]>,
    /// All frames of the shard up to this sequence number are behind it.
    pub(super) seen: u64,
    pub(super) pending: Pending,
    pub(super) echoes: Echoes,
    /// How its messages are compressed, where they are.
    pub(super) deflate: Option<Params>,
    /// What this shard counts of its vhost.
    pub(super) meter: Arc<VhostMeter>,
}

/// Who the session is, after a good `auth`.
pub(super) struct User {
    pub(super) uid: Box<str>,
    pub(super) permission: Permission,
}

/// A session's place in a channel.
#[derive(Clone, Copy)]
pub(super) struct Subscription {
    pub(super) channel: ChannelId,
    /// Key of the channel on this shard.
    pub(super) local: u32,
    /// Index among the channel's subscribers on this shard.
    pub(super) place: u32,
    pub(super) hidden: bool,
}

/// What the session waits for before its next message is handled.
pub(super) enum Pending {
    Nothing,
    Join {
        channel: ChannelId,
        name: ChannelName,
        hidden: bool,
    },
    Leave {
        channel: ChannelId,
        name: ChannelName,
    },
    Token,
    /// Its last event coming back, to be told 503 behind it.
    Unavailable,
}

/// Events of the session that are on their way to a home shard and back. Any
/// number may be, as long as nothing else is answered before them ([SU-13]).
#[derive(Default)]
pub(super) struct Echoes {
    pub(super) expected: u16,
    /// Where they are, while any is expected.
    pub(super) home: ShardId,
    /// A message was held back until all have come.
    pub(super) awaited: bool,
}

/// Bounds what one frontend can have under way in the rings.
pub(super) const ECHOES_MAX: u16 = 64;

impl Session {
    pub(super) fn new(conn: ConnId, vhost: VhostId, sid: Sid, meter: Arc<VhostMeter>) -> Self {
        Self {
            conn,
            vhost,
            sid,
            user: None,
            subscriptions: SmallVec::new(),
            seen: 0,
            pending: Pending::Nothing,
            echoes: Echoes::default(),
            deflate: None,
            meter,
        }
    }

    pub(super) fn subscription(&self, channel: ChannelId) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|subscription| subscription.channel == channel)
    }
}

const _: () = assert!(size_of::<Session>() <= 192, "memory of an idle frontend");
