use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_READ_PAUSE_BYTES};
use crate::meter::{Kind, Refused};
use crate::model::{ConnId, PeerAddress, SlowConsumers, VhostId, VhostQuota};
use crate::net::{Outbox, Socket};
use crate::session::{Client, Fresh, Frontend, Worker};
use crate::tls::Transport;

use super::timers::Timer;

/// A TCP socket and what it is for.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) socket: Socket,
    pub(super) outbox: Outbox,
    /// Between socket and role, where the connection is not plain. Then the
    /// outbox holds records, the inbox what was in some.
    pub(super) tls: Option<Box<Transport>>,
    /// What was received and can't be handled yet. Owns no memory while empty.
    pub(super) inbox: Vec<u8>,
    pub(super) role: Role,
    pub(super) timer: Timer,
    /// What it counts as; given back with its place.
    pub(super) from: PeerAddress,
    /// The vhost that counts it among its frontends.
    pub(super) counted_in: Option<VhostId>,
    /// Bytes of deliveries that may be queued.
    pub(super) outbox_bytes_max: u32,
    /// Bytes of memory that it was counted to keep of what was received.
    pub(super) kept_bytes: u32,
    /// Deliveries that have passed it by, of which it has not been told.
    pub(super) dropped: u64,
    pub(super) flags: Flags,
    /// As what it is counted.
    pub(super) kind: Kind,
    /// Wrong tokens that it presented since the last right one.
    pub(super) wrong_tokens: u8,
}

/// What a connection is for.
pub(super) enum Role {
    /// A frontend that has not been upgraded.
    Handshake,
    /// A frontend past the quotas of the node; told so when it asks.
    TurnedAway(Refused),
    Frontend(Frontend),
    /// A backend before its first packet.
    Fresh(Fresh),
    Client(Box<Client>),
    Worker(Box<Worker>),
    /// The last bytes are on their way. What still comes in is thrown away, so
    /// that no reset overtakes them.
    Closing,
}

#[derive(Default)]
pub(super) struct Flags {
    /// The socket may hold bytes that were not read.
    pub(super) readable: bool,
    /// The end waits behind what was not read: no event announces it again.
    pub(super) hung_up: bool,
    /// Stands in the list of connections to be read.
    pub(super) listed: bool,
    /// Stands in the list of outboxes to be flushed.
    pub(super) dirty: bool,
    /// The socket was full; the ring tells when it is not.
    pub(super) blocked: bool,
    /// Takes no message before it is resumed.
    pub(super) waiting: bool,
    /// Sends faster than it may: not read before its deadline.
    pub(super) throttled: bool,
    /// Has no place in the node's quotas to give back.
    pub(super) placeless: bool,
    /// Sends much: it is read behind all others.
    pub(super) bulky: bool,
    /// A token that it presented is being looked at.
    pub(super) presenting: bool,
    /// The peer sends no more.
    pub(super) ended: bool,
    /// The peer has been told that nothing more comes.
    pub(super) finished: bool,
    /// Deliveries past its bound are dropped; otherwise it is evicted.
    pub(super) drops: bool,
    /// Already on the way out.
    pub(super) doomed: bool,
}

impl Connection {
    pub(super) fn new(id: ConnId, socket: Socket, role: Role, from: PeerAddress) -> Self {
        Self {
            id,
            socket,
            outbox: Outbox::new(),
            tls: None,
            inbox: Vec::new(),
            role,
            timer: Timer::default(),
            from,
            counted_in: None,
            outbox_bytes_max: OUTBOX_BYTES_MAX as u32,
            kept_bytes: 0,
            dropped: 0,
            flags: Flags::default(),
            kind: Kind::Handshake,
            wrong_tokens: 0,
        }
    }

    pub(super) fn vhost(&self) -> Option<VhostId> {
        match &self.role {
            Role::Frontend(frontend) => Some(frontend.vhost),
            Role::Client(client) => Some(client.vhost),
            Role::Worker(worker) => Some(worker.vhost),
            Role::Handshake | Role::TurnedAway(_) | Role::Fresh(_) | Role::Closing => None,
        }
    }

    /// Whether its next message has to wait: for an answer, for its rate, or for
    /// a peer that asks and does not read. Workers are always read: their heartbeats count.
    pub(super) fn is_held_back(&self) -> bool {
        let asks = matches!(self.role, Role::Frontend(_) | Role::Client(_));
        let resting = self.flags.waiting || self.flags.throttled;
        resting || (asks && self.outbox.len() > OUTBOX_READ_PAUSE_BYTES)
    }

    /// Whether something was received that is not handled: bytes, or a message
    /// that the hub did not take.
    pub(super) fn has_waiting(&self) -> bool {
        let held = matches!(&self.role, Role::Frontend(frontend) if frontend.held.is_some());
        held || !self.inbox.is_empty()
    }

    /// Whether a connection that is held back no more has to be listed.
    pub(super) fn has_work(&self) -> bool {
        self.flags.readable || self.flags.ended || self.has_waiting()
    }

    /// Bytes of what was received and is no whole message.
    pub(super) fn unfinished_bytes(&self) -> usize {
        let fragments = match &self.role {
            Role::Frontend(frontend) => frontend.reader.unfinished_bytes(),
            _ => 0,
        };
        self.inbox.len() + fragments
    }

    /// What its vhost grants it now.
    pub(super) fn set_quota(&mut self, quota: &VhostQuota) {
        self.outbox_bytes_max = quota.outbox_bytes_max;
        self.flags.drops = quota.slow_consumers == SlowConsumers::Drop;
    }

    /// Whether its TLS handshake is still under way: nothing can be said on it.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_open())
    }

    /// Whether the next read may cost a signature.
    pub(super) fn is_costly(&self) -> bool {
        let costly = self.tls.as_ref().is_some_and(|tls| tls.is_costly());
        costly && !self.is_closing()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.flags.doomed || matches!(self.role, Role::Closing)
    }
}

const _: () = assert!(
    size_of::<Connection>() <= 256,
    "memory of an idle connection"
);
