//! The 64 bits that come back with a completion, from the high byte down:
//!
//! ```text
//! byte   7           6  5  4  3       2  1  0
//!      +-----------+----------------+-----------+
//!      | operation | generation     | slot      |   a connection
//!      +-----------+----------------+-----------+
//!      | operation | epoch          | place|tag |   a listener: place in 2, tag in 1 byte
//!      +-----------+----------------+-----------+
//! ```
//!
//! The generation is kept whole, so that a completion which comes late can't
//! be taken for one of the slot's next owner.

#![forbid(unsafe_code)]

use crate::limits::{CONNECTIONS_PER_SHARD_MAX, LISTENERS_PER_SHARD_MAX};
use crate::model::ConnId;

const OPERATION_SHIFT: u32 = 56;
const GENERATION_SHIFT: u32 = 24;
const SLOT_MASK: u64 = (1 << GENERATION_SHIFT) - 1;

const _: () = assert!(CONNECTIONS_PER_SHARD_MAX == 1 << GENERATION_SHIFT);
const _: () = assert!(LISTENERS_PER_SHARD_MAX <= u16::MAX as usize);

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The cancelling of another operation: nobody waits for its result.
    Cancel,
    /// The poll of the wake-up.
    Wakeup,
    /// A listener's accepting.
    Accept(ListenerKey),
    /// A connection's poll for bytes to read.
    Read(ConnId),
    /// A connection's poll for room to write.
    Write(ConnId),
}

/// A listener of this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerKey {
    /// How often the driver had stopped listening before.
    pub(super) epoch: u32,
    /// Place among the listeners of its epoch.
    pub(super) place: u16,
    /// The owner's name for it.
    pub(super) tag: u8,
}

impl Operation {
    pub(super) fn to_user_data(self) -> u64 {
        let (operation, generation, slot) = match self {
            Self::Cancel => (0, 0, 0),
            Self::Wakeup => (1, 0, 0),
            Self::Accept(key) => (2, key.epoch, u32::from(key.place) << 8 | u32::from(key.tag)),
            Self::Read(conn) => (3, conn.generation, conn.slot),
            Self::Write(conn) => (4, conn.generation, conn.slot),
        };
        operation << OPERATION_SHIFT
            | u64::from(generation) << GENERATION_SHIFT
            | u64::from(slot) & SLOT_MASK
    }

    /// The reverse; what no operation has made counts as a cancel's result.
    pub(super) fn from_user_data(user_data: u64) -> Self {
        let generation = (user_data >> GENERATION_SHIFT) as u32;
        let slot = (user_data & SLOT_MASK) as u32;
        match user_data >> OPERATION_SHIFT {
            1 => Self::Wakeup,
            2 => Self::Accept(ListenerKey {
                epoch: generation,
                place: (slot >> 8) as u16,
                tag: slot as u8,
            }),
            3 => Self::Read(ConnId { slot, generation }),
            4 => Self::Write(ConnId { slot, generation }),
            _ => Self::Cancel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        let conn = ConnId {
            slot: (CONNECTIONS_PER_SHARD_MAX - 1) as u32,
            generation: u32::MAX,
        };
        let key = ListenerKey {
            epoch: u32::MAX,
            place: u16::MAX,
            tag: u8::MAX,
        };
        for operation in [
            Operation::Cancel,
            Operation::Wakeup,
            Operation::Accept(key),
            Operation::Read(conn),
            Operation::Write(conn),
            Operation::Read(ConnId {
                slot: 0,
                generation: 0,
            }),
        ] {
            let back = Operation::from_user_data(operation.to_user_data());
            assert_eq!(back, operation);
        }
    }

    #[test]
    fn generations_differ_in_every_bit() {
        let of = |generation| {
            Operation::Read(ConnId {
                slot: 5,
                generation,
            })
            .to_user_data()
        };
        for bit in 0..32 {
            assert_ne!(of(0), of(1 << bit));
        }
    }

    #[test]
    fn lies_in_its_bytes() {
        let conn = ConnId {
            slot: 0x0a_0b_0c,
            generation: 0x01_02_03_04,
        };
        let user_data = Operation::Write(conn).to_user_data();
        assert_eq!(user_data, 0x04_01_02_03_04_0a_0b_0c);
    }
}
