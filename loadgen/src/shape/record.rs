//! Looks at a broker's counters again and again, and writes down what changed.

use super::Span;

/// The counters at one time. All but the first two only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Look {
    pub(crate) frontends: u64,
    pub(crate) channels: u64,
    pub(crate) connects: u64,
    pub(crate) broadcasts: u64,
    pub(crate) deliveries: u64,
    pub(crate) triggers: u64,
    pub(crate) sent_bytes: u64,
}

impl Look {
    /// What happened since `before`; `None` where the broker has begun anew.
    fn since(&self, before: &Self, length_s: f64) -> Option<Span> {
        Some(Span {
            length_s,
            frontends: self.frontends,
            channels: self.channels,
            connects: self.connects.checked_sub(before.connects)?,
            broadcasts: self.broadcasts.checked_sub(before.broadcasts)?,
            deliveries: self.deliveries.checked_sub(before.deliveries)?,
            triggers: self.triggers.checked_sub(before.triggers)?,
            sent_bytes: self.sent_bytes.checked_sub(before.sent_bytes)?,
        })
    }
}
