//! Where a world's decisions come from: a seed, or bytes that a fuzzer changes.
//!
//! Bytes are read line by line, a line a step and a byte a decision, so that a
//! change of one step leaves the others as they are. What a line lacks is 0.

/// The byte of decision 0.
const ZERO: u8 = b'0';

/// Decisions are bytes that must not be taken for the end of a line.
const BOUND_MAX: usize = (u8::MAX - ZERO) as usize;

pub(crate) enum Choices {
    /// SplitMix64: small, fast, the same everywhere. Keeps what it decided.
    Seeded { state: u64, made: Vec<u8> },
    /// Decisions and the place of the next one.
    Given { bytes: Vec<u8>, next: usize },
}

impl Choices {
    pub(crate) fn seeded(mut seed: u64) -> Self {
        // Mixed first: SplitMix of the next seed would be this one's, a step on.
        let state = split_mix(&mut seed);
        let made = Vec::new();
        Self::Seeded { state, made }
    }

    pub(crate) fn given(bytes: &[u8]) -> Self {
        Self::Given {
            bytes: bytes.to_vec(),
            next: 0,
        }
    }

    /// Goes on to the next step, if there is one; of a seed there always is.
    pub(crate) fn next_step(&mut self) -> bool {
        match self {
            Self::Seeded { made, .. } => {
                made.push(b'\n');
                true
            }
            Self::Given { bytes, next } => {
                let rest = bytes.get(*next..).unwrap_or_default();
                let end = rest.iter().position(|&byte| byte == b'\n');
                *next = end.map_or(bytes.len(), |end| *next + end + 1);
                end.is_some()
            }
        }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        assert!((1..=BOUND_MAX).contains(&bound), "no byte says that");
        match self {
            Self::Seeded { state, made } => {
                let choice = (split_mix(state) % bound as u64) as usize;
                made.push(ZERO + choice as u8);
                choice
            }
            Self::Given { bytes, next } => match bytes.get(*next) {
                None | Some(b'\n') => 0,
                Some(byte) => {
                    *next += 1;
                    usize::from(byte.wrapping_sub(ZERO)) % bound
                }
            },
        }
    }

    pub(crate) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    /// What was decided so far; given to [`Self::given`], it happens again.
    pub(crate) fn made(&self) -> &[u8] {
        match self {
            Self::Seeded { made, .. } => made,
            Self::Given { bytes, .. } => bytes,
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
