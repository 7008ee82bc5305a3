use std::fmt;

/// A vhost's secret for its backends: 160 bits, 40 hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessToken([u8; 20]);

/// The one-use token that authenticates a frontend: 512 bits, 128 hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SingleAccessToken([u8; 64]);

/// The name of a session: 128 bits, UUID-shaped on the wire ([HS-02]).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; 16]);

impl Sid {
    /// A sid from random bytes, marked as a version 4 UUID.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The sid, or `None` where the text has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
        let sid = Self(parse_hex(&digits)?);
        // One spelling: the dashes in their places, lower case.
        (sid.text() == *text.as_bytes()).then_some(sid)
    }

    /// The 36 characters of the wire, without an allocation.
    pub fn text(&self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, &byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at..at + 2].copy_from_slice(&HEX_PAIRS[usize::from(byte)]);
            at += 2;
        }
        text
    }
}

impl SingleAccessToken {
    /// A stable number that spreads tokens over shards; the token is random, so
    /// its first bytes serve.
    pub fn spread(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Each byte's two digits: every event carries sixteen.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    pairs
};

fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Lower case only: a token has one spelling.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

macro_rules! secret {
    ($type:ident, $bytes:literal) => {
        impl $type {
            /// Bytes of randomness in the token.
            pub const BYTES: usize = $bytes;

            /// A token from bytes of a CSPRNG.
            pub fn from_random(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The token, or `None` where it has not the form of one.
            pub fn parse(text: &[u8]) -> Option<Self> {
                parse_hex(text).map(Self)
            }

            /// The secret bytes, for comparing in constant time and for the store.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        /// Secrets stay out of logs.
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    };
}

secret!(AccessToken, 20);
secret!(SingleAccessToken, 64);

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_spelling() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        let token = AccessToken::parse(text.as_bytes()).expect("valid");
        assert_eq!(token.to_string(), text);
        assert_eq!(AccessToken::parse(text.to_uppercase().as_bytes()), None);
        assert_eq!(AccessToken::parse(&text.as_bytes()[1..]), None);
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
    }

    #[test]
    fn sids_are_shaped_like_uuids_hs_02() {
        let sid = Sid::from_random([0xff; 16]).to_string();
        assert_eq!(sid, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn sids_have_one_spelling() {
        let sid = Sid::from_random([0xab; 16]);
        let text = sid.to_string();
        assert_eq!(Sid::parse(&text), Some(sid));
        for bad in [
            "",
            &text[1..],
            &text.replace('-', ""),
            &text.to_uppercase(),
            &format!("{text}-"),
            &format!("-{}", &text[1..]),
            &"-".repeat(36),
        ] {
            assert_eq!(Sid::parse(bad), None, "{bad}");
        }
    }
}
