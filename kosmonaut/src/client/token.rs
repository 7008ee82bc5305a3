use std::fmt;

use serde::{Serialize, Serializer};

/// The one-use token with which a frontend authenticates, 128 hex digits from
/// today's brokers. `Display` and `Serialize` give it, `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SingleAccessToken(String);

impl SingleAccessToken {
    /// The token, or `None` for an answer that is none.
    pub(crate) fn from_wire(token: &[u8]) -> Option<Self> {
        let token = str::from_utf8(token).ok()?;
        let valid = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        valid.then(|| Self(token.to_owned()))
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SingleAccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SingleAccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleAccessToken(..)")
    }
}

impl Serialize for SingleAccessToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_only_where_asked_for() {
        let token = SingleAccessToken::from_wire(b"a1").expect("valid");
        assert_eq!(token.to_string(), "a1");
        assert_eq!(format!("{token:?}"), "SingleAccessToken(..)");
        assert_eq!(serde_json::to_string(&token).expect("plain"), "\"a1\"");
        for bad in [&b""[..], b"a b", b"\xff"] {
            assert_eq!(SingleAccessToken::from_wire(bad), None);
        }
    }
}
