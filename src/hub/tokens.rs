use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;

use super::envelope::Grant;
use crate::model::{SingleAccessToken, VhostId};

/// The unused single access tokens whose home this shard is.
///
/// A table finds its key in a time that tells how much of it was right. So only
/// the first 16 bytes of a token find it; the other 48 are compared in constant
/// time, and no measuring gets at them.
#[derive(Default)]
pub(super) struct Tokens {
    issued: FxHashMap<Selector, Issued>,
    /// In the order of expiry; holds taken ones too, but not many more than others.
    expiries: VecDeque<(u64, SingleAccessToken)>,
    /// The time, as it was told last.
    now_ms: u64,
}

/// Taken tokens that are left among the expiries whatever else is there.
const TAKEN_TOKENS_KEPT: usize = 1024;

/// The part of a token by which it is found.
type Selector = [u8; 16];

struct Issued {
    token: SingleAccessToken,
    vhost: VhostId,
    grant: Box<Grant>,
    expires_at_ms: u64,
}

fn selector(token: &SingleAccessToken) -> Selector {
    let mut selector = Selector::default();
    let bytes = selector.len();
    selector.copy_from_slice(&token.as_bytes()[..bytes]);
    selector
}

impl Tokens {
    pub(super) fn issue(
        &mut self,
        vhost: VhostId,
        token: SingleAccessToken,
        grant: Box<Grant>,
        expires_at_ms: u64,
    ) {
        // Most are taken at once and would wait here for a day. Halving each
        // time makes it cheap.
        if self.expiries.len() > 2 * self.issued.len() + TAKEN_TOKENS_KEPT {
            let issued = &self.issued;
            self.expiries
                .retain(|(_, token)| issued.contains_key(&selector(token)));
        }
        // Nearly always at the end: all tokens live equally long.
        let place = self
            .expiries
            .partition_point(|&(at, _)| at <= expires_at_ms);
        self.expiries.insert(place, (expires_at_ms, token));
        let issued = Issued {
            token,
            vhost,
            grant,
            expires_at_ms,
        };
        self.issued.insert(selector(&token), issued);
    }

    /// Takes the token, once and for all ([AU-06, AU-07]). One of another vhost
    /// stays ([AU-08]); so does one that came here after its time, to be
    /// forgotten with the next look at the clock.
    pub(super) fn take(&mut self, vhost: VhostId, token: &SingleAccessToken) -> Option<Box<Grant>> {
        let selector = selector(token);
        let issued = self.issued.get(&selector)?;
        let is_right = bool::from(issued.token.as_bytes().ct_eq(token.as_bytes()));
        if !is_right || issued.vhost != vhost || issued.expires_at_ms <= self.now_ms {
            return None;
        }
        self.issued.remove(&selector).map(|issued| issued.grant)
    }

    /// Forgets one token whose time is over; call until `None`.
    pub(super) fn expire(&mut self, now_ms: u64) -> Option<SingleAccessToken> {
        self.now_ms = now_ms;
        while self.expiries.front().is_some_and(|&(at, _)| at <= now_ms) {
            let (_, token) = self.expiries.pop_front()?;
            if self.issued.remove(&selector(&token)).is_some() {
                return Some(token);
            }
        }
        None
    }

    pub(super) fn forget_vhost(&mut self, vhost: VhostId) {
        self.issued.retain(|_, issued| issued.vhost != vhost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(byte: u8) -> SingleAccessToken {
        SingleAccessToken::from_random([byte; 64])
    }

    fn grant() -> Box<Grant> {
        Box::new(Grant {
            uid: "joe".into(),
            pattern: ".*".into(),
        })
    }

    #[test]
    fn a_token_works_once_and_only_in_its_vhost_au_06_au_08() {
        let mut tokens = Tokens::default();
        tokens.issue(VhostId(1), token(1), grant(), 100);
        assert!(tokens.take(VhostId(2), &token(1)).is_none());
        assert!(tokens.take(VhostId(1), &token(2)).is_none());
        assert_eq!(tokens.take(VhostId(1), &token(1)), Some(grant()));
        assert!(tokens.take(VhostId(1), &token(1)).is_none());
    }

    #[test]
    fn every_byte_of_a_token_counts() {
        let mut tokens = Tokens::default();
        tokens.issue(VhostId(1), token(7), grant(), 100);
        for at in 0..SingleAccessToken::BYTES {
            let mut bytes = [7; SingleAccessToken::BYTES];
            bytes[at] ^= 1;
            let near = SingleAccessToken::from_random(bytes);
            assert!(tokens.take(VhostId(1), &near).is_none(), "byte {at}");
        }
        assert_eq!(tokens.take(VhostId(1), &token(7)), Some(grant()));
    }

    #[test]
    fn expires_at_its_time_and_not_before() {
        let mut tokens = Tokens::default();
        tokens.issue(VhostId(1), token(2), grant(), 200);
        tokens.issue(VhostId(1), token(1), grant(), 100);
        tokens.issue(VhostId(1), token(3), grant(), 100);
        tokens.take(VhostId(1), &token(3));
        assert_eq!(tokens.expire(99), None);
        assert_eq!(tokens.expire(100), Some(token(1)));
        assert_eq!(tokens.expire(100), None);
        assert!(tokens.take(VhostId(1), &token(2)).is_some());
        assert_eq!(tokens.expire(300), None);
    }

    #[test]
    fn a_token_that_comes_after_its_time_is_never_taken() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.expire(100), None);
        tokens.issue(VhostId(1), token(1), grant(), 100);
        tokens.issue(VhostId(1), token(2), grant(), 101);
        assert!(tokens.take(VhostId(1), &token(1)).is_none());
        assert!(tokens.take(VhostId(1), &token(2)).is_some());
        assert_eq!(tokens.expire(100), Some(token(1)));
        assert_eq!(tokens.expire(100), None);
    }

    #[test]
    fn remembers_few_tokens_that_were_taken() {
        let mut tokens = Tokens::default();
        tokens.issue(VhostId(1), token(255), grant(), 50);
        for number in 0..4 * TAKEN_TOKENS_KEPT {
            let mut bytes = [0; 64];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let taken = SingleAccessToken::from_random(bytes);
            tokens.issue(VhostId(1), taken, grant(), 100);
            assert!(tokens.take(VhostId(1), &taken).is_some());
            assert!(tokens.expiries.len() <= TAKEN_TOKENS_KEPT + 3);
        }
        assert_eq!(tokens.expire(50), Some(token(255)));
        assert_eq!(tokens.expire(100), None);
    }

    #[test]
    fn tokens_go_with_their_vhost() {
        let mut tokens = Tokens::default();
        tokens.issue(VhostId(1), token(1), grant(), 100);
        tokens.issue(VhostId(2), token(2), grant(), 100);
        tokens.forget_vhost(VhostId(1));
        assert!(tokens.take(VhostId(1), &token(1)).is_none());
        assert!(tokens.take(VhostId(2), &token(2)).is_some());
    }
}
