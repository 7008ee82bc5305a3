//! One shard's state, without sockets and clocks: channels, subscriptions,
//! presence, fan-out, lobbies, single access tokens, and a replica of the
//! registry. What comes in is a command or an envelope; what goes out are calls
//! of [`Effects`]. It runs under the simulation as it runs in production.

#![forbid(unsafe_code)]

mod backend;
mod batch;
pub mod bundle;
mod busy;
mod channel;
mod command;
mod cork;
mod deflate;
mod delivery;
mod dispatch;
mod effects;
pub mod envelope;
mod fanout;
mod frames;
mod home;
pub mod label;
mod lobby;
pub mod question;
mod registry;
mod roster;
mod session;
#[cfg(test)]
mod tests;
mod tokens;
mod trigger;

pub use effects::{Answer, Effects, Flow};
pub use registry::{Channel, Registry, home_of_channel, home_of_token};

use std::sync::Arc;

use rustc_hash::FxHashMap;
use slab::Slab;

use crate::limits::PATTERN_CACHE_MAX;
use crate::meter::{Moment, ShardMeter};
use crate::model::{ChannelId, ConnId, Peer, Permission, Quotas, ShardId, Sid, VhostId};
use crate::wire::deflate::Params;
use crate::wire::event;
use batch::KEPT_BYTES_MAX;
use bundle::Bundles;
use busy::Busy;
use channel::Local;
use fanout::FanOut;
use frames::{Encoded, Frames};
use home::Home;
use label::{FrameLabel, PublishLabel};
use lobby::Lobby;
use session::Session;
use tokens::Tokens;

/// The state of one shard.
///
/// The order of calls, per turn of the pump: [`Self::set_time`]; then in any
/// order [`Self::handle_delivery`], [`Self::handle_request`],
/// [`Self::handle_message`], [`Self::handle_text`] and the calls of backend
/// clients, stopping when [`Self::is_saturated`]; then [`Self::flush`], which sends
/// what the turn's broadcasts have gathered, and may be called between them as well
/// or, while [`Self::is_gathering`], be left to a later turn; and
/// [`Self::send_bundles`], in each turn, before the rings are flushed. A connection
/// whose message was answered with [`Flow::Wait`] or [`Flow::Retry`] gives no
/// further one before [`Effects::resume`]. [`Self::handle_room`] is called when
/// full rings have room again.
pub struct Hub {
    id: ShardId,
    registry: Registry,
    /// By the slot of their connection.
    sessions: Vec<Option<Box<Session>>>,
    /// Channels with subscribers on this shard.
    locals: Slab<Local>,
    local_keys: FxHashMap<ChannelId, u32>,
    /// Channels whose home this shard is.
    homes: FxHashMap<ChannelId, Home>,
    /// Those of them with broadcasts of late.
    busy: Busy,
    fan_out: FanOut,
    lobbies: FxHashMap<VhostId, Lobby>,
    tokens: Tokens,
    permissions: FxHashMap<Box<str>, Permission>,
    /// Connections that wait for room in a ring.
    stalled: Vec<ConnId>,
    /// Frames that cross cores are encoded here.
    frames: Frames,
    /// Small ones on their way to other shards' subscribers.
    to_subscribers: Bundles<FrameLabel>,
    /// Small ones on their way to their channels' homes.
    to_homes: Bundles<PublishLabel>,
    /// For bytes that are handed over at once.
    scratch: Vec<u8>,
    /// For the name of a backend's event, as JSON.
    name: String,
    /// What this shard counts.
    meter: Arc<ShardMeter>,
    /// When the turn began.
    turn: Moment,
}

/// How many of each a hub holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Frontends of this shard.
    pub sessions: usize,
    /// Channels with subscribers on this shard.
    pub channels: usize,
    /// Subscriptions of this shard's frontends.
    pub subscriptions: usize,
    /// Subscribers, on any shard, of the channels whose home this shard is.
    pub home_subscribers: u32,
    /// Visible members of presence channels whose home this shard is.
    pub members: usize,
}

impl Hub {
    /// The hub of shard `id` out of `shards`, which counts in `meter`.
    pub fn new(id: ShardId, shards: u16, meter: Arc<ShardMeter>) -> Self {
        Self {
            id,
            registry: Registry::new(shards),
            sessions: Vec::new(),
            locals: Slab::new(),
            local_keys: FxHashMap::default(),
            homes: FxHashMap::default(),
            busy: Busy::default(),
            fan_out: FanOut::default(),
            lobbies: FxHashMap::default(),
            tokens: Tokens::default(),
            permissions: FxHashMap::default(),
            stalled: Vec::new(),
            frames: Frames::default(),
            to_subscribers: Bundles::new(shards),
            to_homes: Bundles::new(shards),
            scratch: Vec::new(),
            name: String::new(),
            meter,
            turn: Moment::default(),
        }
    }

    /// What this shard knows of vhosts and channels.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the node grants from now on. Who has more already keeps it.
    pub fn set_quotas(&mut self, quotas: Arc<Quotas>) {
        self.registry.set_quotas(quotas);
        self.replace_corks();
    }

    /// Tells the time, in milliseconds since the Unix epoch, and forgets tokens
    /// whose time is over; `turn_us` is the same moment on the node's clock, in
    /// microseconds. Frames whose cork opens by then are sent by the next
    /// [`Self::flush`].
    pub fn set_time(&mut self, now_ms: u64, turn_us: u64, fx: &mut impl Effects) {
        self.turn = Moment::from_us(turn_us);
        self.fan_out.set_time(turn_us);
        self.busy.set_time(now_ms);
        while let Some(token) = self.tokens.expire(now_ms) {
            let token = Box::new(token);
            let bearer = None;
            fx.control(envelope::ToControl::Spent { token, bearer });
        }
    }

    /// A frontend has been upgraded: its session begins with `:connected` ([HS-01]).
    pub fn open(&mut self, conn: ConnId, vhost: VhostId, sid: Sid, fx: &mut impl Effects) {
        let slot = conn.slot as usize;
        if slot >= self.sessions.len() {
            self.sessions.resize_with(slot + 1, || None);
        }
        // A vhost that is gone has its connections closed; nobody reads this meter.
        let meter = self.registry.meter(vhost).cloned().unwrap_or_default();
        meter.frontends.raise();
        self.sessions[slot] = Some(Box::new(Session::new(conn, vhost, sid, meter)));
        self.reply(conn.slot, fx, |out| event::connected(out, &sid));
    }

    /// What was agreed on with a new frontend. Comes right behind [`Self::open`]:
    /// who has subscribed already is counted by the channel.
    pub fn set_deflate(&mut self, conn: ConnId, deflate: Option<Params>) {
        if let Some(session) = self.session_mut(conn)
            && session.subscriptions.is_empty()
        {
            session.deflate = deflate;
        }
    }

    /// The connection is to be closed in order: what was published to it so far,
    /// under a cork or in this turn, goes out before the reason.
    pub fn give_rest(&mut self, conn: ConnId, fx: &mut impl Effects) {
        if self.session(conn).is_some() {
            self.catch_up(conn.slot, fx);
        }
    }

    /// The connection is gone: its memberships end ([PR-06]).
    pub fn close(&mut self, conn: ConnId, fx: &mut impl Effects) {
        if self.session(conn).is_some() {
            self.leave_all(conn.slot, None, fx);
            if let Some(session) = self.sessions[conn.slot as usize].take() {
                session.meter.frontends.lower();
            }
        }
    }

    /// Full rings have room again: who was refused may try once more.
    pub fn handle_room(&mut self, fx: &mut impl Effects) {
        for conn in self.stalled.drain(..) {
            fx.resume(conn);
        }
    }

    /// Whether connections wait for [`Self::handle_room`].
    pub fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// Who is here, for metrics and for tests that nobody is remembered too long.
    pub fn census(&self) -> Census {
        Census {
            sessions: self.sessions.iter().flatten().count(),
            channels: self.locals.len(),
            subscriptions: self
                .locals
                .iter()
                .map(|(_, local)| local.subscribers.len())
                .sum(),
            home_subscribers: self.homes.values().map(Home::subscriber_count).sum(),
            members: self.homes.values().map(Home::member_count).sum(),
        }
    }

    fn stall(&mut self, conn: ConnId) -> Flow {
        self.stalled.push(conn);
        Flow::Retry
    }

    /// The live session of this very connection.
    fn session(&self, conn: ConnId) -> Option<&Session> {
        self.sessions
            .get(conn.slot as usize)?
            .as_deref()
            .filter(|session| session.conn == conn)
    }

    fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions
            .get_mut(conn.slot as usize)?
            .as_deref_mut()
            .filter(|session| session.conn == conn)
    }

    fn peer(&self, conn: ConnId) -> Peer {
        Peer {
            shard: self.id,
            conn,
        }
    }

    /// Queues a frame of the session's own behind all that was published to it.
    fn reply<E: Effects>(&mut self, slot: u32, fx: &mut E, write: impl FnOnce(&mut Vec<u8>)) {
        self.catch_up(slot, fx);
        self.scratch.clear();
        write(&mut self.scratch);
        fx.push(slot, &self.scratch);
    }

    /// Writes a frame and hands it over, in a buffer that serves the next one
    /// too unless it grew large. Replies sent meanwhile make do with another.
    fn with_frame<R>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
        publish: impl FnOnce(&mut Self, &mut Encoded<'_>) -> R,
    ) -> R {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        write(&mut frame);
        let published = publish(self, &mut Encoded::Here(&frame));
        if frame.capacity() <= KEPT_BYTES_MAX {
            self.scratch = frame;
        }
        published
    }

    /// The compiled pattern; most users share a handful.
    fn permission(&mut self, pattern: &str) -> Option<Permission> {
        if let Some(permission) = self.permissions.get(pattern) {
            return Some(permission.clone());
        }
        let permission = Permission::compile(pattern)?;
        if self.permissions.len() >= PATTERN_CACHE_MAX {
            self.permissions.clear();
        }
        self.permissions.insert(pattern.into(), permission.clone());
        Some(permission)
    }
}
