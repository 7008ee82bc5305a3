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
        let (words, _) = self.0.as_chunks();
        let mut digits = [0; 32];
        for (digits, word) in digits.as_chunks_mut().0.iter_mut().zip(words) {
            *digits = hex(*word);
        }
        let mut text = [b'-'; 36];
        text[..8].copy_from_slice(&digits[..8]);
        text[9..13].copy_from_slice(&digits[8..12]);
        text[14..18].copy_from_slice(&digits[12..16]);
        text[19..23].copy_from_slice(&digits[16..20]);
        text[24..].copy_from_slice(&digits[20..]);
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

/// The eight digits of four bytes, all at once: every event carries a sid.
fn hex(bytes: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let mut lanes = u64::from(u32::from_be_bytes(bytes));
    lanes = (lanes | lanes << 16) & 0x0000_ffff_0000_ffff;
    lanes = (lanes | lanes << 8) & 0x00ff_00ff_00ff_00ff;
    lanes = (lanes | lanes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // From ten on, six more carry into the upper half.
    let letters = (lanes + ONES * 6) >> 4 & ONES;
    let to_letter = u64::from(b'a' - 10 - b'0');
    (lanes + ONES * u64::from(b'0') + letters * to_letter).to_be_bytes()
}

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
    fn sids_spell_every_byte() {
        for byte in 0..=u8::MAX {
            let sid = Sid([byte; 16]);
            let hex = format!("{byte:02x}");
            let groups = [4, 2, 2, 2, 6].map(|bytes| hex.repeat(bytes));
            assert_eq!(sid.to_string(), groups.join("-"));
        }
        let ordered = Sid(std::array::from_fn(|index| index as u8 * 0x11));
        assert_eq!(ordered.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
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
