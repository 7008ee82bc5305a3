use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};
use subtle::ConstantTimeEq;

use crate::limits::{
    CONFIGURED_CORK_MAX, CONFIGURED_MESSAGE_BYTES_MAX, CONFIGURED_SUBSCRIPTIONS_MAX,
};
use crate::meter::VhostMeter;
use crate::model::{
    AccessToken, ChannelId, ChannelKind, ChannelName, Quotas, ShardId, SingleAccessToken, VhostId,
    VhostPath, VhostQuota,
};

/// A shard's replica of what control writes: vhosts, their access tokens, their channels.
pub struct Registry {
    shards: u16,
    quotas: Arc<Quotas>,
    /// For every vhost without a quota of its own.
    default_quota: Arc<VhostQuota>,
    paths: FxHashMap<VhostPath, VhostId>,
    vhosts: FxHashMap<VhostId, Vhost>,
}

struct Vhost {
    path: VhostPath,
    token: AccessToken,
    quota: Arc<VhostQuota>,
    channels: FxHashMap<ChannelName, Channel>,
    /// What this shard counts of it.
    meter: Arc<VhostMeter>,
}

/// An open channel.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Tells it from an earlier channel of the same name.
    pub id: ChannelId,
    /// What it asks of its subscribers.
    pub kind: ChannelKind,
    /// The shard that orders its broadcasts and keeps its roster.
    pub home: ShardId,
}

impl Registry {
    pub(super) fn new(shards: u16) -> Self {
        let quotas = Arc::new(Quotas::default());
        Self {
            shards,
            default_quota: Arc::new(bounded(&quotas.default)),
            quotas,
            paths: FxHashMap::default(),
            vhosts: FxHashMap::default(),
        }
    }

    /// The vhost at this path.
    pub fn vhost(&self, path: &str) -> Option<VhostId> {
        self.paths.get(path).copied()
    }

    /// The vhost at this path, for whoever knows its token. Compared in constant time.
    pub fn authorize(&self, path: &str, token: &[u8]) -> Option<VhostId> {
        let id = self.vhost(path)?;
        let known = self.vhosts.get(&id)?.token;
        let given = AccessToken::parse(token)?;
        bool::from(known.as_bytes().ct_eq(given.as_bytes())).then_some(id)
    }

    /// The open channel of this name, with its name in shared form.
    pub fn channel(&self, vhost: VhostId, name: &str) -> Option<(&ChannelName, Channel)> {
        let (name, channel) = self.vhosts.get(&vhost)?.channels.get_key_value(name)?;
        Some((name, *channel))
    }

    /// The path of the vhost.
    pub fn path(&self, vhost: VhostId) -> Option<&VhostPath> {
        Some(&self.vhosts.get(&vhost)?.path)
    }

    /// What the node grants.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What the vhost grants, never more than this shard is built for; the
    /// default one where there is no such vhost any longer.
    pub fn quota(&self, vhost: VhostId) -> &VhostQuota {
        let known = self.vhosts.get(&vhost);
        known.map_or(&self.default_quota, |vhost| &vhost.quota)
    }

    /// Microseconds for which the vhost's frames may wait; none wait for a vhost
    /// that is gone.
    pub(super) fn cork_us(&self, vhost: VhostId) -> u32 {
        let cork = self.vhosts.get(&vhost).map(|known| known.quota.cork);
        cork.unwrap_or_default().as_micros() as u32
    }

    pub(super) fn set_quotas(&mut self, quotas: Arc<Quotas>) {
        self.default_quota = Arc::new(bounded(&quotas.default));
        self.quotas = quotas;
        for vhost in self.vhosts.values_mut() {
            vhost.quota = own_quota(&self.quotas, &vhost.path, &self.default_quota);
        }
    }

    pub(super) fn shards(&self) -> u16 {
        self.shards
    }

    pub(super) fn has_vhost(&self, vhost: VhostId) -> bool {
        self.vhosts.contains_key(&vhost)
    }

    /// What this shard counts of the vhost.
    pub(super) fn meter(&self, vhost: VhostId) -> Option<&Arc<VhostMeter>> {
        self.vhosts.get(&vhost).map(|known| &known.meter)
    }

    pub(super) fn add_vhost(
        &mut self,
        id: VhostId,
        path: VhostPath,
        token: AccessToken,
        meter: Arc<VhostMeter>,
    ) {
        self.paths.insert(path.clone(), id);
        let quota = own_quota(&self.quotas, &path, &self.default_quota);
        self.vhosts.insert(
            id,
            Vhost {
                path,
                token,
                quota,
                channels: FxHashMap::default(),
                meter,
            },
        );
    }

    /// Removes the vhost and tells which channels it had.
    pub(super) fn remove_vhost(&mut self, id: VhostId) -> Vec<Channel> {
        let Some(vhost) = self.vhosts.remove(&id) else {
            return Vec::new();
        };
        self.paths.remove(&vhost.path);
        vhost.channels.into_values().collect()
    }

    pub(super) fn replace_token(&mut self, id: VhostId, token: AccessToken) {
        if let Some(vhost) = self.vhosts.get_mut(&id) {
            vhost.token = token;
        }
    }

    pub(super) fn open(
        &mut self,
        vhost: VhostId,
        id: ChannelId,
        name: ChannelName,
    ) -> Option<Channel> {
        let home = home_of_channel(vhost, name.as_str(), self.shards);
        let channel = Channel {
            id,
            kind: name.kind(),
            home,
        };
        self.vhosts.get_mut(&vhost)?.channels.insert(name, channel);
        Some(channel)
    }

    pub(super) fn close(&mut self, vhost: VhostId, name: &ChannelName) -> Option<Channel> {
        self.vhosts.get_mut(&vhost)?.channels.remove(name)
    }
}

/// The quota of the vhost at this path; shared by all that have none of their own.
fn own_quota(quotas: &Quotas, path: &VhostPath, default: &Arc<VhostQuota>) -> Arc<VhostQuota> {
    let own = quotas.vhosts.get(path);
    own.map_or_else(|| default.clone(), |quota| Arc::new(bounded(quota)))
}

/// No operator grants more than what other bounds are proven with (`limits`).
fn bounded(quota: &VhostQuota) -> VhostQuota {
    VhostQuota {
        subscriptions_max: quota
            .subscriptions_max
            .min(CONFIGURED_SUBSCRIPTIONS_MAX as u32),
        message_bytes_max: quota
            .message_bytes_max
            .min(CONFIGURED_MESSAGE_BYTES_MAX as u32),
        cork: quota.cork.min(CONFIGURED_CORK_MAX),
        ..quota.clone()
    }
}

/// The home shard of a channel; every shard, and control, finds the same.
pub fn home_of_channel(vhost: VhostId, name: &str, shards: u16) -> ShardId {
    let mut hasher = FxHasher::default();
    (vhost, name).hash(&mut hasher);
    spread(hasher.finish(), shards)
}

/// The home shard of a single access token.
pub fn home_of_token(token: &SingleAccessToken, shards: u16) -> ShardId {
    spread(token.spread(), shards)
}

/// Maps a hash to a shard by its high bits, the best mixed ones of `FxHasher`.
fn spread(hash: u64, shards: u16) -> ShardId {
    ((u128::from(hash) * u128::from(shards)) >> 64) as ShardId
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn path(path: &str) -> VhostPath {
        VhostPath::parse(path).expect("a path")
    }

    fn with_message_bytes(bytes: u32) -> VhostQuota {
        VhostQuota {
            message_bytes_max: bytes,
            ..VhostQuota::default()
        }
    }

    #[test]
    fn quotas_hold_for_vhosts_of_before_and_after() {
        let mut registry = Registry::new(1);
        let token = AccessToken::from_random([1; 20]);
        registry.add_vhost(VhostId(1), path("/before"), token, Arc::default());
        let quotas = Quotas {
            default: with_message_bytes(10),
            vhosts: [
                (path("/before"), with_message_bytes(20)),
                (path("/after"), with_message_bytes(30)),
            ]
            .into(),
            ..Quotas::default()
        };
        registry.set_quotas(Arc::new(quotas));
        registry.add_vhost(VhostId(2), path("/after"), token, Arc::default());
        registry.add_vhost(VhostId(3), path("/other"), token, Arc::default());
        let bytes = |registry: &Registry| {
            [1, 2, 3, 4].map(|id| registry.quota(VhostId(id)).message_bytes_max)
        };
        assert_eq!(bytes(&registry), [20, 30, 10, 10]);
        registry.set_quotas(Arc::new(Quotas::default()));
        let default = Quotas::default().default.message_bytes_max;
        assert_eq!(bytes(&registry), [default; 4]);
    }

    #[test]
    fn no_quota_grants_more_than_the_broker_is_built_for() {
        let mut registry = Registry::new(1);
        let mut quotas = Quotas::default();
        quotas.default.message_bytes_max = u32::MAX;
        quotas.default.subscriptions_max = u32::MAX;
        quotas.default.outbox_bytes_max = u32::MAX;
        quotas.default.cork = Duration::MAX;
        registry.set_quotas(Arc::new(quotas));
        let quota = registry.quota(VhostId(1));
        assert_eq!(
            quota.message_bytes_max as usize,
            CONFIGURED_MESSAGE_BYTES_MAX
        );
        assert_eq!(
            quota.subscriptions_max as usize,
            CONFIGURED_SUBSCRIPTIONS_MAX
        );
        assert_eq!(quota.cork, CONFIGURED_CORK_MAX);
        // Memory alone bounds it.
        assert_eq!(quota.outbox_bytes_max, u32::MAX);
    }
}
