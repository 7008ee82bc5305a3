use crate::limits::METERED_VHOSTS_MAX;
use crate::meter::VhostMeters;

/// Gives vhosts their meters: the first ones have their own, and a vhost that
/// is deleted makes room for the next one created. All others share one.
pub(super) struct Meters {
    shards: u16,
    /// Vhosts with meters of their own.
    own: usize,
    other: VhostMeters,
}

impl Meters {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            shards,
            own: 0,
            other: VhostMeters::new(shards),
        }
    }

    /// The meters of a new vhost.
    pub(super) fn assign(&mut self) -> VhostMeters {
        if self.own >= METERED_VHOSTS_MAX {
            return self.other.clone();
        }
        self.own += 1;
        VhostMeters::new(self.shards)
    }

    /// The vhost of these meters is gone.
    pub(super) fn release(&mut self, meters: &VhostMeters) {
        if !meters.is(&self.other) {
            self.own -= 1;
        }
    }

    /// The meters of all vhosts without their own.
    pub(super) fn other(&self) -> &VhostMeters {
        &self.other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_vhosts_share_until_one_makes_room() {
        let mut meters = Meters::new(2);
        let own: Vec<_> = (0..METERED_VHOSTS_MAX).map(|_| meters.assign()).collect();
        assert!(own.iter().all(|it| !it.is(meters.other())));
        let past = meters.assign();
        assert!(past.is(meters.other()));
        meters.release(&past);
        assert!(meters.assign().is(meters.other()), "no room was made");
        meters.release(&own[3]);
        assert!(!meters.assign().is(meters.other()));
        assert!(meters.assign().is(meters.other()));
    }
}
