//! What crosses cores.
//!
//! Between two shards run two rings each way. A [`Request`] goes to a home
//! shard (or to a worker's shard) and may make it send deliveries; a
//! [`Delivery`] ends where it arrives. So requests may wait for room among the
//! deliveries but never the other way round, and no circle of full rings forms.

use std::sync::Arc;

use bytes::Bytes;

use super::question::{Finding, Question};
use crate::meter::{Moment, VhostMeters};
use crate::model::{
    AccessToken, ChannelId, ChannelName, ConnId, Peer, Quotas, ShardId, SingleAccessToken, Status,
    VhostId, VhostPath, WorkerId,
};

/// From the shard of a connection to a home shard.
#[derive(Debug)]
pub enum Request {
    /// A frontend wants to be a subscriber of the channel.
    Join(Box<Join>),
    /// A frontend is no longer a subscriber, or never becomes one.
    Leave {
        /// The channel it leaves.
        channel: ChannelId,
        /// The frontend.
        from: Peer,
        /// Whether the frontend waits for [`Delivery::Left`].
        confirm: bool,
        /// Unsubscription data: the members of a JSON object, without its braces.
        data: Option<Box<str>>,
    },
    /// One frame for all subscribers of the channel.
    Publish {
        /// The channel it is for.
        channel: ChannelId,
        /// Who sent it, and how the sender learns that it has its place.
        receipt: Receipt,
        /// When it was accepted from its sender.
        accepted: Moment,
        /// The whole WebSocket frame.
        frame: Bytes,
    },
    /// Small frames, each with a label that says what [`Self::Publish`] says of one.
    Bundle {
        /// What a [`super::bundle::Bundles`] has put together.
        frames: Bytes,
    },
    /// A frontend presents a single access token; goes to the token's home
    /// shard. Answered with [`Delivery::Token`].
    TakeToken {
        /// The frontend.
        from: Peer,
        /// The vhost in which it is presented; a token of another stays unspent ([AU-08]).
        vhost: VhostId,
        /// The token.
        token: Box<SingleAccessToken>,
    },
    /// A packet for a worker on the receiving shard.
    Trigger(Box<Trigger>),
}

/// See [`Request::Join`].
#[derive(Debug)]
pub struct Join {
    /// The channel to join.
    pub channel: ChannelId,
    /// The frontend.
    pub from: Peer,
    /// Hidden subscribers are not announced and not listed.
    pub hidden: bool,
    /// On a presence channel the member's record: the members of a JSON
    /// object, without its braces. Empty elsewhere.
    pub record: Box<str>,
    /// On a private or presence channel the user's identifier.
    pub uid: Box<str>,
}

/// See [`Request::Trigger`].
#[derive(Debug)]
pub struct Trigger {
    /// The vhost in whose lobby the worker stands.
    pub vhost: VhostId,
    /// The worker's connection on the receiving shard.
    pub worker: ConnId,
    /// The frontend that triggered; told where no worker can take it.
    pub origin: Peer,
    /// How many workers have been tried.
    pub hops: u8,
    /// When it was accepted from its frontend.
    pub accepted: Moment,
    /// The whole backend packet.
    pub packet: Bytes,
}

/// Who learns that a frame has its place in the channel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// A frontend: its own event coming back is the receipt.
    Echo(Peer),
    /// A backend client that waits for its `OK` to this request.
    Answer(Peer, u32),
}

/// From a home shard, or from control, to the shard of a connection.
#[derive(Debug)]
pub enum Delivery {
    /// The join has its place in the channel's order.
    Joined {
        /// The frontend.
        conn: ConnId,
        /// The channel joined.
        channel: ChannelId,
        /// The channel's home shard.
        home: ShardId,
        /// The members present before, as a JSON array; presence channels only.
        roster: Option<Bytes>,
    },
    /// The join did not happen.
    JoinRefused {
        /// The frontend.
        conn: ConnId,
        /// The channel not joined.
        channel: ChannelId,
        /// What the frontend is told.
        status: Status,
    },
    /// The leave has its place in the channel's order.
    Left {
        /// The frontend.
        conn: ConnId,
        /// The channel left.
        channel: ChannelId,
    },
    /// One frame for the channel's subscribers on this shard.
    Frame {
        /// The channel.
        channel: ChannelId,
        /// When it was accepted from its sender.
        accepted: Moment,
        /// The whole WebSocket frame.
        frame: Bytes,
        /// Custom events are kept from hidden subscribers.
        custom: bool,
        /// The sender, where it is on this shard.
        echo_of: Option<ConnId>,
    },
    /// Small frames, each with a label that says what [`Self::Frame`] says of one.
    Bundle {
        /// What a [`super::bundle::Bundles`] has put together.
        frames: Bytes,
    },
    /// The frontend's frame met a channel closed meanwhile.
    PublishRefused {
        /// The sender.
        conn: ConnId,
    },
    /// The channel was closed; nothing of it follows.
    Gone {
        /// The channel.
        channel: ChannelId,
    },
    /// What became of a single access token: from its home shard where it is
    /// unknown, else from control.
    Token {
        /// The frontend.
        conn: ConnId,
        /// What the token gives, or what the frontend is told instead.
        grant: Result<Box<Grant>, Status>,
    },
    /// The worker could not take the trigger; its origin tries the next.
    TriggerRefused(Box<Trigger>),
    /// The answer to a backend client's request.
    Answer {
        /// The backend client.
        conn: ConnId,
        /// Its number for the request.
        request: u32,
        /// The answer.
        outcome: Outcome,
    },
    /// Every shard knows the worker: it gets its first heartbeat.
    WorkerReady {
        /// The worker.
        conn: ConnId,
    },
    /// Control asks whether the shard makes progress; answered with [`ToControl::Alive`].
    Probe,
    /// A change of the registry; answered with [`ToControl::Applied`].
    Change {
        /// Counts changes; each shard applies them in this order.
        version: u64,
        /// The change.
        change: Box<Change>,
    },
    /// Control asks; answered with [`ToControl::Answered`].
    Query {
        /// Control's number for the question.
        query: u64,
        /// The question.
        question: Box<Question>,
    },
    /// Every shard knows what the store held: take connections.
    Serve,
    /// Stop accepting and close every connection in order.
    Drain {
        /// Milliseconds over which frontends are spread.
        window_ms: u32,
    },
    /// Every shard has drained: nobody is owed anything more.
    Stop,
}

/// What a single access token gives its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The user's own identifier.
    pub uid: Box<str>,
    /// Source of the permission pattern; known to compile.
    pub pattern: Box<str>,
}

/// A frontend that has taken a single access token.
#[derive(Debug)]
pub struct Bearer {
    /// The frontend.
    pub from: Peer,
    /// What the token gives it.
    pub grant: Box<Grant>,
}

/// How a backend client's request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `OK`.
    Done,
    /// `AT` and the token.
    Token(Box<SingleAccessToken>),
    /// `ER` and the code.
    Failed(Status),
}

/// From a shard to control, the single writer of the registry.
#[derive(Debug)]
pub enum ToControl {
    /// A backend client asks for a change; answered with [`Delivery::Answer`].
    Backend {
        /// The backend client.
        from: Peer,
        /// Its number for the request.
        request: u32,
        /// Its vhost.
        vhost: VhostId,
        /// What it asks for.
        ask: Ask,
    },
    /// The token was taken, or its time is over: forget it.
    Spent {
        /// The token.
        token: Box<SingleAccessToken>,
        /// Who took it; gets its [`Delivery::Token`] once the store has
        /// forgotten the token, so that it is never taken again (docs/decisions/0007).
        bearer: Option<Bearer>,
    },
    /// A worker is ready; answered with [`Delivery::WorkerReady`] once every shard knows it.
    WorkerReady {
        /// Its vhost.
        vhost: VhostId,
        /// The id it chose.
        worker: WorkerId,
        /// Its connection.
        from: Peer,
    },
    /// A worker that was ready is gone.
    WorkerGone {
        /// Its vhost.
        vhost: VhostId,
        /// Its connection.
        from: Peer,
    },
    /// This shard has applied the change.
    Applied {
        /// The shard.
        shard: ShardId,
        /// The change.
        version: u64,
    },
    /// The answer to [`Delivery::Query`].
    Answered {
        /// Control's number for the question.
        query: u64,
        /// What was found or done.
        finding: Box<Finding>,
    },
    /// The answer to [`Delivery::Probe`].
    Alive {
        /// The shard.
        shard: ShardId,
    },
    /// After [`Delivery::Drain`]: this shard has no connection left. It goes on
    /// serving the others, which may owe answers that need it, until [`Delivery::Stop`].
    Drained {
        /// The shard.
        shard: ShardId,
    },
}

/// What a backend client asks of control.
#[derive(Debug)]
pub enum Ask {
    /// `OC`.
    Open(ChannelName),
    /// `CC`.
    Close(ChannelName),
    /// `AT`; the pattern is known to compile.
    Token(Box<Grant>),
}

/// One change of the registry, as every shard applies it.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new vhost.
    VhostAdded {
        /// The vhost.
        vhost: VhostId,
        /// Its path.
        path: VhostPath,
        /// Its access token.
        token: AccessToken,
        /// Where each shard counts what happens in it.
        meters: VhostMeters,
    },
    /// The vhost and all in it are gone.
    VhostDeleted {
        /// The vhost.
        vhost: VhostId,
    },
    /// The vhost has another access token.
    TokenReplaced {
        /// The vhost.
        vhost: VhostId,
        /// The token from now on.
        token: AccessToken,
    },
    /// A new channel.
    ChannelOpened {
        /// Its vhost.
        vhost: VhostId,
        /// The channel.
        channel: ChannelId,
        /// Its name.
        name: ChannelName,
    },
    /// The channel is gone.
    ChannelClosed {
        /// Its vhost.
        vhost: VhostId,
        /// The channel.
        channel: ChannelId,
        /// Its name.
        name: ChannelName,
    },
    /// A single access token, sent to its home shard alone.
    TokenIssued {
        /// Its vhost.
        vhost: VhostId,
        /// The token.
        token: Box<SingleAccessToken>,
        /// What it gives.
        grant: Box<Grant>,
        /// Milliseconds since the Unix epoch.
        expires_at_ms: u64,
    },
    /// The node grants something else.
    QuotasReplaced {
        /// What it grants from now on.
        quotas: Arc<Quotas>,
    },
    /// A worker stands in the lobby.
    WorkerJoined {
        /// Its vhost.
        vhost: VhostId,
        /// Its connection.
        peer: Peer,
    },
    /// A worker stands in the lobby no more.
    WorkerLeft {
        /// Its vhost.
        vhost: VhostId,
        /// Its connection.
        peer: Peer,
        /// One of the same id took its place: its shard sends it away ([WK-30]).
        replaced: bool,
    },
}
