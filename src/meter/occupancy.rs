use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};

use super::striped::Striped;
use super::{Guesses, Refused};
use crate::model::{PeerAddress, Quotas, VhostId};

/// How many connections there are, over all shards: what a quota of the whole
/// node is held against. It is the one thing that shards share and lock, and
/// they touch it only where a connection opens or ends or presents a token, never
/// for a message otherwise (docs/decisions/0009 and 0018).
///
/// Invariant: who was let in is taken out once, so that all counts end at zero.
#[derive(Debug, Default)]
pub struct Occupancy {
    /// Wrong tokens of frontends, by address.
    pub frontend_guesses: Guesses,
    /// Wrong tokens of backends, by address: no browser keeps backends out.
    pub backend_guesses: Guesses,
    connections: AtomicU32,
    addresses: Tally<PeerAddress>,
    vhosts: Tally<VhostId>,
}

impl Occupancy {
    /// Lets a connection in, to be taken out again by [`Self::leave`].
    ///
    /// # Errors
    /// [`Refused::NodeConnections`] or [`Refused::AddressConnections`]: nothing
    /// is counted then.
    pub fn try_enter(&self, from: PeerAddress, quotas: &Quotas) -> Result<(), Refused> {
        let raised = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < quotas.connections_max).then_some(count + 1)
            });
        raised.map_err(|_| Refused::NodeConnections)?;
        let max = quotas.connections_per_address_max;
        if from.is_exempt() || self.addresses.try_raise(from, max) {
            return Ok(());
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
        Err(Refused::AddressConnections)
    }

    /// A connection that was let in is gone.
    pub fn leave(&self, from: PeerAddress) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if !from.is_exempt() {
            self.addresses.lower(&from);
        }
    }

    /// Lets a frontend into a vhost, to be taken out again by
    /// [`Self::leave_vhost`]; false past `max`.
    pub fn try_enter_vhost(&self, vhost: VhostId, max: u32) -> bool {
        self.vhosts.try_raise(vhost, max)
    }

    /// A frontend that was let into the vhost is gone.
    pub fn leave_vhost(&self, vhost: VhostId) {
        self.vhosts.lower(&vhost);
    }

    /// Connections of the node, frontends and backends.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections from this address; none from one that is exempt.
    pub fn connections_from(&self, address: PeerAddress) -> u32 {
        self.addresses.count(&address)
    }

    /// Frontends of the vhost.
    pub fn frontends(&self, vhost: VhostId) -> u32 {
        self.vhosts.count(&vhost)
    }

    /// Whether it remembers nobody.
    pub fn is_empty(&self) -> bool {
        self.connections() == 0 && self.addresses.is_empty() && self.vhosts.is_empty()
    }
}

/// Counts by key.
#[derive(Debug)]
struct Tally<K>(Striped<K, u32>);

impl<K: Eq + Hash> Tally<K> {
    fn try_raise(&self, key: K, max: u32) -> bool {
        let mut counts = self.0.stripe(&key);
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= max {
            return false;
        }
        counts.insert(key, count + 1);
        true
    }

    fn lower(&self, key: &K) {
        let mut counts = self.0.stripe(key);
        match counts.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(key);
            }
        }
    }

    fn count(&self, key: &K) -> u32 {
        self.0.stripe(key).get(key).copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Striped::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEMPT: PeerAddress = PeerAddress::EXEMPT;

    fn from(address: &str) -> PeerAddress {
        PeerAddress::of(address.parse().expect("an address"))
    }

    fn quotas(node: u32, address: u32) -> Quotas {
        Quotas {
            connections_max: node,
            connections_per_address_max: address,
            ..Quotas::default()
        }
    }

    #[test]
    fn the_node_takes_its_bound_and_no_more() {
        let (occupancy, quotas) = (Occupancy::default(), quotas(2, 1));
        assert_eq!(occupancy.try_enter(EXEMPT, &quotas), Ok(()));
        assert_eq!(occupancy.try_enter(EXEMPT, &quotas), Ok(()));
        let past = occupancy.try_enter(EXEMPT, &quotas);
        assert_eq!(past, Err(Refused::NodeConnections));
        assert_eq!(occupancy.connections(), 2);
        occupancy.leave(EXEMPT);
        assert_eq!(occupancy.try_enter(EXEMPT, &quotas), Ok(()));
    }

    #[test]
    fn an_address_takes_its_bound_and_the_loopback_is_exempt() {
        let (occupancy, quotas) = (Occupancy::default(), quotas(100, 2));
        let (here, there) = (from("192.0.2.1"), from("2001:db8::1"));
        for address in [here, here, there, there, EXEMPT, EXEMPT, EXEMPT] {
            assert_eq!(occupancy.try_enter(address, &quotas), Ok(()));
        }
        let past = occupancy.try_enter(here, &quotas);
        assert_eq!(past, Err(Refused::AddressConnections));
        // Another host of the same /64.
        let past = occupancy.try_enter(from("2001:db8::2"), &quotas);
        assert_eq!(past, Err(Refused::AddressConnections));
        assert_eq!(occupancy.connections(), 7, "the refused are not counted");
        occupancy.leave(here);
        assert_eq!(occupancy.connections_from(here), 1);
        assert_eq!(occupancy.try_enter(here, &quotas), Ok(()));
    }

    #[test]
    fn a_vhost_takes_its_bound_beside_the_others() {
        let occupancy = Occupancy::default();
        assert!(occupancy.try_enter_vhost(VhostId(1), 1));
        assert!(!occupancy.try_enter_vhost(VhostId(1), 1));
        assert!(occupancy.try_enter_vhost(VhostId(2), 1));
        assert!(!occupancy.try_enter_vhost(VhostId(3), 0));
        occupancy.leave_vhost(VhostId(1));
        assert_eq!(occupancy.frontends(VhostId(1)), 0);
        assert!(occupancy.try_enter_vhost(VhostId(1), 1));
        // One that is over a lowered bound stays, and nobody joins it.
        assert!(occupancy.try_enter_vhost(VhostId(1), 2));
        assert!(!occupancy.try_enter_vhost(VhostId(1), 1));
    }

    /// Many threads come and go; each bound holds at every moment, and at last
    /// nobody is remembered.
    #[test]
    fn shards_that_come_and_go_together_leave_nothing() {
        let (occupancy, quotas) = (Occupancy::default(), quotas(5, 3));
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (occupancy, quotas) = (&occupancy, &quotas);
                scope.spawn(move || {
                    let address = from(&format!("192.0.2.{}", thread % 2));
                    let vhost = VhostId(thread % 2);
                    for _ in 0..5_000 {
                        let entered = occupancy.try_enter(address, quotas).is_ok();
                        assert!(occupancy.connections() <= 5);
                        assert!(occupancy.connections_from(address) <= 3);
                        if occupancy.try_enter_vhost(vhost, 1) {
                            assert_eq!(occupancy.frontends(vhost), 1);
                            occupancy.leave_vhost(vhost);
                        }
                        if entered {
                            occupancy.leave(address);
                        }
                    }
                });
            }
        });
        assert!(occupancy.is_empty());
    }
}
