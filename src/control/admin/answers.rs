//! What admin answers, as JSON and in the OpenAPI document.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoResponses, ToSchema};

/// Where something is found.
#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    /// What it is to the resource that names it.
    pub(super) rel: &'static str,
    /// A path of this server.
    pub(super) href: String,
}

/// How many there are.
#[derive(Serialize, ToSchema)]
pub(super) struct Size {
    pub(super) size: u64,
}

/// All vhosts, by path.
#[derive(Serialize, ToSchema)]
pub(super) struct VhostList {
    pub(super) vhosts: Vec<VhostEntry>,
}

/// A vhost in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VhostEntry {
    pub(super) path: String,
    /// The secret of the vhost's backends.
    pub(super) access_token: String,
    pub(super) links: Vec<Link>,
}

/// One vhost.
#[derive(Serialize, ToSchema)]
pub(super) struct VhostAnswer {
    pub(super) vhost: Vhost,
}

/// A vhost.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vhost {
    pub(super) path: String,
    /// The secret of the vhost's backends.
    pub(super) access_token: String,
    pub(super) channels: Size,
    pub(super) links: Vec<Link>,
}

/// A vhost's numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct VhostStatsAnswer {
    pub(super) stats: VhostStats,
}

/// What a vhost has at this moment, and what it has done. What it has done counts
/// from its creation or the node's start, whichever came last; absent where the
/// vhost shares its counters, as the `other` vhosts of `/metrics` do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VhostStats {
    pub(super) path: String,
    /// Frontends connected, authenticated or not.
    pub(super) sessions: u64,
    /// Their subscriptions.
    pub(super) subscriptions: u64,
    /// Open channels.
    pub(super) channels: u64,
    /// Ready workers.
    pub(super) workers: u64,
    /// Single access tokens that nobody has used.
    pub(super) unused_tokens: u64,
    /// Broadcasts accepted in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) broadcasts: Option<u64>,
    /// Frames delivered to its frontends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) deliveries: Option<u64>,
    /// Triggers handed to its workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) triggers: Option<u64>,
}

/// The open channels of a vhost, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelList {
    pub(super) channels: Vec<Channel>,
}

/// One channel.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelAnswer {
    pub(super) channel: Channel,
}

/// A channel. Hidden subscribers count too.
#[derive(Serialize, ToSchema)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) subscribers: Size,
    pub(super) links: Vec<Link>,
}

/// Subscribers of a channel, in no order.
#[derive(Serialize, ToSchema)]
pub(super) struct SubscriberList {
    pub(super) subscribers: Vec<SubscriberEntry>,
}

/// A subscriber of a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct SubscriberEntry {
    /// Its session.
    pub(super) sid: String,
    /// The user's identifier; absent where the session is not authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) uid: Option<Box<str>>,
    /// Whether other subscribers are not told of it.
    pub(super) hidden: bool,
    /// What others see of it; only of visible members of presence channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    pub(super) data: Option<Box<RawValue>>,
    pub(super) links: Vec<Link>,
}

/// The ready workers of a vhost, by id.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkerList {
    pub(super) workers: Vec<Worker>,
}

/// A ready worker.
#[derive(Serialize, ToSchema)]
pub(super) struct Worker {
    /// The id that it chose.
    pub(super) id: String,
    pub(super) links: Vec<Link>,
}

/// Sessions of a vhost, in no order.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    pub(super) sessions: Vec<SessionEntry>,
}

/// A session in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionEntry {
    pub(super) sid: String,
    /// The user's identifier; absent where the session is not authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) uid: Option<Box<str>>,
    /// How many channels it is subscribed to.
    pub(super) subscriptions: u32,
    pub(super) links: Vec<Link>,
}

/// One session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    pub(super) session: Session,
}

/// A session with its channels.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    pub(super) sid: String,
    /// The user's identifier; absent where the session is not authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) uid: Option<Box<str>>,
    pub(super) channels: Vec<Subscription>,
    pub(super) links: Vec<Link>,
}

/// A channel that a session is subscribed to.
#[derive(Serialize, ToSchema)]
pub(super) struct Subscription {
    pub(super) name: String,
    /// Whether other subscribers are not told of the session.
    pub(super) hidden: bool,
    pub(super) links: Vec<Link>,
}

/// A single access token.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// What the user's browser authenticates with; it works once.
    pub(super) token: String,
}

/// How many sessions were disconnected.
#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    pub(super) disconnected: u64,
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
pub(in crate::control) struct Refusal {
    /// For people, and for scripts that know the text.
    pub(super) error: String,
}

/// What every route that asks for the cookie may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what the gate answers")]
pub(in crate::control) enum Everywhere {
    /// Without the cookie, or with a wrong one; nothing was done. No body.
    #[response(status = 403)]
    Forbidden,
    /// The request's body is larger than 64 KiB.
    #[response(status = 413)]
    TooLarge(Refusal),
    /// A limit is reached, a shard or the store did not answer in time, or the
    /// node is stopping.
    #[response(status = 503)]
    Unavailable(Refusal),
}

pub(super) fn link(rel: &'static str, href: &str) -> Link {
    Link {
        rel,
        href: href.to_owned(),
    }
}
