use std::collections::HashMap;

use super::striped::Striped;
use crate::limits::{OCCUPANCY_STRIPES, WRONG_TOKEN_ADDRESSES_MAX, WRONG_TOKENS_WINDOW};
use crate::model::PeerAddress;

/// How many wrong tokens each address has presented of late, over all shards
/// (docs/decisions/0018). Whoever presents a token takes a unit of its address'
/// budget before the token is looked at, and is given it back where the token
/// was right: so no number of connections together guesses more than the bound.
///
/// A budget refills evenly; it is kept as the moment at which it is whole again,
/// and one that is whole takes no memory.
#[derive(Debug, Default)]
pub struct Guesses(Striped<PeerAddress, u64>);

const WINDOW_NS: u64 = WRONG_TOKENS_WINDOW.as_nanos() as u64;

/// Addresses of one stripe.
const STRIPE_MAX: usize = WRONG_TOKEN_ADDRESSES_MAX / OCCUPANCY_STRIPES;

impl Guesses {
    /// Takes a unit; false where nothing is left of the `max` in
    /// [`WRONG_TOKENS_WINDOW`]. `now_us` is on the node's clock.
    pub fn try_take(&self, from: PeerAddress, max: u32, now_us: u64) -> bool {
        if is_unbounded(from, max) {
            return true;
        }
        let (now_ns, cost_ns) = (now_us * 1000, cost_ns(max));
        let mut stripe = self.0.stripe(&from);
        let whole_ns = stripe.get(&from).copied().unwrap_or(0).max(now_ns);
        if whole_ns + cost_ns > now_ns + WINDOW_NS {
            return false;
        }
        make_room(&mut stripe, from, now_ns);
        stripe.insert(from, whole_ns + cost_ns);
        true
    }

    /// The token was right.
    pub fn give_back(&self, from: PeerAddress, max: u32, now_us: u64) {
        if is_unbounded(from, max) {
            return;
        }
        let mut stripe = self.0.stripe(&from);
        if let Some(whole_ns) = stripe.get_mut(&from) {
            *whole_ns = whole_ns.saturating_sub(cost_ns(max));
            if *whole_ns <= now_us * 1000 {
                stripe.remove(&from);
            }
        }
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where an address more is one too many, those whose budget is whole are
/// forgotten; then the one that is nearest to it.
fn make_room(stripe: &mut HashMap<PeerAddress, u64>, from: PeerAddress, now_ns: u64) {
    if stripe.len() < STRIPE_MAX || stripe.contains_key(&from) {
        return;
    }
    stripe.retain(|_, whole_ns| *whole_ns > now_ns);
    if stripe.len() >= STRIPE_MAX {
        let nearest = stripe.iter().min_by_key(|(_, whole_ns)| **whole_ns);
        if let Some(nearest) = nearest.map(|(address, _)| *address) {
            stripe.remove(&nearest);
        }
    }
}

fn is_unbounded(from: PeerAddress, max: u32) -> bool {
    from.is_exempt() || max == u32::MAX
}

/// Time in which a budget grows by one.
fn cost_ns(max: u32) -> u64 {
    WINDOW_NS / u64::from(max.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_US: u64 = WINDOW_NS / 1000;

    fn address(number: u32) -> PeerAddress {
        PeerAddress::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    fn taken(guesses: &Guesses, from: PeerAddress, max: u32, now_us: u64) -> u32 {
        let all = max.saturating_mul(2).min(10_000);
        (0..all)
            .filter(|_| guesses.try_take(from, max, now_us))
            .count() as u32
    }

    #[test]
    fn an_address_has_its_bound_and_not_one_more() {
        for max in [1, 7, 60, 4096] {
            let guesses = Guesses::default();
            assert_eq!(taken(&guesses, address(1), max, 5), max);
            assert_eq!(taken(&guesses, address(2), max, 5), max, "its own budget");
            assert_eq!(taken(&guesses, address(1), max, 5 + WINDOW_US), max);
        }
    }

    #[test]
    fn it_refills_evenly() {
        let guesses = Guesses::default();
        assert_eq!(taken(&guesses, address(1), 60, 1), 60);
        assert_eq!(taken(&guesses, address(1), 60, 1 + WINDOW_US / 60 - 1), 0);
        assert_eq!(taken(&guesses, address(1), 60, 1 + WINDOW_US / 60), 1);
        assert_eq!(taken(&guesses, address(1), 60, 1 + WINDOW_US / 2), 29);
    }

    #[test]
    fn a_right_token_costs_nothing_and_is_not_remembered() {
        let guesses = Guesses::default();
        for _ in 0..1000 {
            assert!(guesses.try_take(address(1), 2, 5));
            guesses.give_back(address(1), 2, 5);
        }
        assert!(guesses.is_empty());
        assert!(guesses.try_take(address(1), 2, 5));
        assert!(guesses.try_take(address(1), 2, 5));
        guesses.give_back(address(1), 2, 5);
        assert!(guesses.try_take(address(1), 2, 5));
        assert!(!guesses.try_take(address(1), 2, 5));
    }

    #[test]
    fn the_host_itself_and_no_bound_are_not_counted() {
        let guesses = Guesses::default();
        assert_eq!(taken(&guesses, PeerAddress::EXEMPT, 1, 5), 2);
        assert_eq!(taken(&guesses, address(1), u32::MAX, 5), 10_000);
        assert!(guesses.is_empty());
    }

    #[test]
    fn remembers_so_many_addresses_and_the_worst_of_them() {
        let guesses = Guesses::default();
        assert_eq!(taken(&guesses, address(0), 3, 5), 3);
        for number in 1..2 * WRONG_TOKEN_ADDRESSES_MAX as u32 {
            assert!(guesses.try_take(address(number), 3, 5));
        }
        assert!(guesses.len() <= WRONG_TOKEN_ADDRESSES_MAX);
        assert!(guesses.len() > WRONG_TOKEN_ADDRESSES_MAX / 2);
        assert!(!guesses.try_take(address(0), 3, 5), "the worst is known");
        // Once their budgets are whole, all of a stripe make room.
        assert!(guesses.try_take(address(0), 3, 5 + WINDOW_US));
    }

    /// Many shards at once: together they let through no more than the bound.
    #[test]
    fn the_bound_holds_over_all_shards() {
        let guesses = Guesses::default();
        let all: u32 = std::thread::scope(|scope| {
            let shards = [(); 4].map(|()| scope.spawn(|| taken(&guesses, address(1), 500, 5)));
            shards
                .map(|shard| shard.join().expect("counted"))
                .iter()
                .sum()
        });
        assert_eq!(all, 500);
    }
}
