use std::collections::BTreeMap;
use std::time::Duration;

use super::VhostPath;
use crate::limits::{
    BYTES_PER_SECOND_MAX, CHANNELS_PER_VHOST_MAX, CONNECTIONS_PER_ADDRESS_MAX, MESSAGE_BYTES_MAX,
    MESSAGES_PER_SECOND_MAX, OUTBOX_BYTES_MAX, OUTBOXES_BYTES_MAX, SUBSCRIPTIONS_MAX,
    UNFINISHED_BYTES_MAX, WRONG_TOKENS_PER_ADDRESS_MAX,
};

/// What the node as a whole grants, and each vhost in it. Set by the operator,
/// replaced as a whole on a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Connections of the node at once, frontends and backends. Past it: HTTP
    /// 503 to a frontend, a backend is closed.
    pub connections_max: u32,
    /// Connections at once from one peer: an IPv4 address or an IPv6 /64.
    /// Loopback is exempt, for a proxy on the same host speaks for everyone.
    /// Past it: HTTP 429 to a frontend, a backend is closed.
    pub connections_per_address_max: u32,
    /// Wrong tokens from one such peer in a minute, of frontends and of backends
    /// each. Past it no token is looked at: close 1013 to a frontend, `ER` 403 to
    /// a backend, whatever the token is worth.
    pub wrong_tokens_per_address_max: u32,
    /// Bytes queued for all connections of the node together; each shard has an
    /// even share. Where it runs out, the fullest queues go first: close 1013.
    pub outboxes_bytes_max: u64,
    /// Bytes received and not handled of all connections of the node together;
    /// each shard has an even share. Where it runs out, who would keep more goes
    /// first: close 1013, HTTP 503, `ER` 597.
    pub unfinished_bytes_max: u64,
    /// For every vhost without a quota of its own.
    pub default: VhostQuota,
    /// Vhosts with a quota of their own, whether they exist or not.
    pub vhosts: BTreeMap<VhostPath, VhostQuota>,
}

/// What one vhost may use, and each connection in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostQuota {
    /// Frontends connected at once. Past it: HTTP 503.
    pub connections_max: u32,
    /// Open channels. Past it: 597 to a backend, 503 to admin.
    pub channels_max: u32,
    /// Subscriptions of one session. Past it: 403.
    pub subscriptions_max: u32,
    /// Bytes of one reassembled message. Past it: close 1009.
    pub message_bytes_max: u32,
    /// Messages that one frontend may send in a second, and in one burst. Past
    /// it the connection is not read until its budget has refilled.
    pub messages_per_second_max: u32,
    /// Bytes that one frontend may send in a second, and in one burst, or that
    /// they inflate to. Past it the same; both share one second.
    pub bytes_per_second_max: u32,
    /// Bytes of deliveries queued for one frontend. What happens past it,
    /// `slow_consumers` says.
    pub outbox_bytes_max: u32,
    /// What becomes of a frontend that does not take what it is sent.
    pub slow_consumers: SlowConsumers,
    /// `Origin` headers that are let in, as `https://example.com`; any where
    /// empty. Past it: HTTP 403.
    pub origins: Vec<Box<str>>,
    /// Whether `permessage-deflate` is agreed on with who offers it (RFC 7692).
    pub compression: bool,
    /// How long what is published may wait for more, so that it goes out in fewer
    /// sends (docs/decisions/0023); with zero it goes at the end of its turn.
    pub cork: Duration,
}

/// What happens to a frontend whose outbox is over its bound (docs/decisions/0019).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumers {
    /// It is sent away, with close 1013.
    #[default]
    Evict,
    /// Deliveries pass it by, and it is told how many.
    Drop,
}

impl SlowConsumers {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Evict, Self::Drop];

    /// As it is named in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evict => "evict",
            Self::Drop => "drop",
        }
    }
}

impl Quotas {
    /// The quota of the vhost at this path.
    pub fn of(&self, vhost: &VhostPath) -> &VhostQuota {
        self.vhosts.get(vhost).unwrap_or(&self.default)
    }
}

impl VhostQuota {
    /// Whether a page of this `Origin` may connect. Who sends none is no
    /// browser, so no page can be misused: it is let in. Scheme and host
    /// compare without regard to case (RFC 6454 section 4); the `null` of a page
    /// without an origin is on no list.
    pub fn lets_in(&self, origin: Option<&[u8]>) -> bool {
        let Some(origin) = origin.filter(|_| !self.origins.is_empty()) else {
            return true;
        };
        let origin = origin.trim_ascii();
        let listed = |known: &str| known.as_bytes().eq_ignore_ascii_case(origin);
        !origin.eq_ignore_ascii_case(b"null") && self.origins.iter().any(|known| listed(known))
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            connections_max: u32::MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            wrong_tokens_per_address_max: WRONG_TOKENS_PER_ADDRESS_MAX,
            outboxes_bytes_max: OUTBOXES_BYTES_MAX,
            unfinished_bytes_max: UNFINISHED_BYTES_MAX,
            default: VhostQuota::default(),
            vhosts: BTreeMap::new(),
        }
    }
}

impl Default for VhostQuota {
    fn default() -> Self {
        Self {
            connections_max: u32::MAX,
            channels_max: CHANNELS_PER_VHOST_MAX as u32,
            subscriptions_max: SUBSCRIPTIONS_MAX as u32,
            message_bytes_max: MESSAGE_BYTES_MAX as u32,
            messages_per_second_max: MESSAGES_PER_SECOND_MAX,
            bytes_per_second_max: BYTES_PER_SECOND_MAX,
            outbox_bytes_max: OUTBOX_BYTES_MAX as u32,
            slow_consumers: SlowConsumers::default(),
            origins: Vec::new(),
            compression: false,
            cork: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vhost_has_its_own_quota_or_the_default_one() {
        let path = |path| VhostPath::parse(path).expect("a path");
        let own = VhostQuota {
            channels_max: 1,
            ..VhostQuota::default()
        };
        let quotas = Quotas {
            vhosts: [(path("/own"), own.clone())].into(),
            ..Quotas::default()
        };
        assert_eq!(quotas.of(&path("/own")), &own);
        assert_eq!(quotas.of(&path("/other")), &VhostQuota::default());
    }

    #[test]
    fn origins_are_let_in_by_the_list_hs_13_hs_14() {
        let open = VhostQuota::default();
        let listed = VhostQuota {
            origins: vec!["https://example.com".into(), "null".into()],
            ..VhostQuota::default()
        };
        for origin in [
            "https://example.com",
            "HTTPS://Example.COM",
            " https://example.com ",
        ] {
            assert!(listed.lets_in(Some(origin.as_bytes())), "{origin}");
        }
        for origin in [
            "https://example.com:8443",
            "http://example.com",
            "https://example.com.evil.org",
            "https://evil.org/https://example.com",
            "null",
            "",
        ] {
            assert!(!listed.lets_in(Some(origin.as_bytes())), "{origin}");
            assert!(open.lets_in(Some(origin.as_bytes())), "{origin}");
        }
        assert!(listed.lets_in(None), "no browser");
        assert!(open.lets_in(None));
    }
}
