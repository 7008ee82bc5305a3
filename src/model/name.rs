use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::{CHANNEL_NAME_BYTES_MAX, VHOST_PATH_BYTES_MAX};

/// The path of a vhost: `/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VhostPath(Arc<str>);

impl VhostPath {
    /// The path, or `None` where it has not the form of one.
    pub fn parse(path: &str) -> Option<Self> {
        let valid = path.len() <= VHOST_PATH_BYTES_MAX
            && path.strip_prefix('/').is_some_and(|rest| {
                rest.split('/')
                    .all(|part| !part.is_empty() && part.bytes().all(is_vhost_byte))
            });
        valid.then(|| Self(path.into()))
    }

    /// The path as text, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_vhost_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The name of a channel: `[A-Za-z0-9_][A-Za-z0-9_.-]*`, at most
/// [`CHANNEL_NAME_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The name, or `None` where no channel can have it.
    pub fn parse(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let first = *bytes.first()?;
        let valid = bytes.len() <= CHANNEL_NAME_BYTES_MAX
            && (first.is_ascii_alphanumeric() || first == b'_')
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        valid.then(|| Self(name.into()))
    }

    /// The name as text; never needs JSON escapes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind that the name alone decides ([SU-17, SU-18]).
    pub fn kind(&self) -> ChannelKind {
        match self.0.split_once('-') {
            Some(("presence", _)) => ChannelKind::Presence,
            Some(("private", _)) => ChannelKind::Private,
            _ => ChannelKind::Normal,
        }
    }
}

/// What a channel asks of its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// Open to every frontend of the vhost.
    Normal,
    /// Needs a permission that matches its name.
    Private,
    /// Private, and its subscribers see each other.
    Presence,
}

impl ChannelKind {
    /// Whether a subscriber needs a matching permission.
    pub fn needs_permission(self) -> bool {
        self != Self::Normal
    }

    /// Whether subscribers see each other.
    pub fn is_presence(self) -> bool {
        self == Self::Presence
    }
}

/// The id that a worker or a request chose for itself: 36 of `[A-Za-z0-9_-]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId([u8; 36]);

impl WorkerId {
    /// The id, or `None` where it has not the form of one.
    pub fn parse(id: &[u8]) -> Option<Self> {
        let bytes: [u8; 36] = id.try_into().ok()?;
        bytes
            .iter()
            .all(|&b| is_vhost_byte(b))
            .then_some(Self(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! text {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

text!(VhostPath);
text!(ChannelName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vhost_paths() {
        for good in ["/a", "/a/b", "/A-z_9/x"] {
            assert!(VhostPath::parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "/", "a", "/a/", "//a", "/a//b", "/a.b", "/ä", "/a b", "/a\n",
        ] {
            assert!(VhostPath::parse(bad).is_none(), "{bad:?}");
        }
        let at_bound = format!("/{}", "v".repeat(VHOST_PATH_BYTES_MAX - 1));
        assert!(VhostPath::parse(&at_bound).is_some());
        assert!(VhostPath::parse(&format!("{at_bound}v")).is_none());
    }

    #[test]
    fn channel_names() {
        for good in ["a", "_", "9", "a.b-c_d", "a-", "a."] {
            assert!(ChannelName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\r", "a\0"] {
            assert!(ChannelName::parse(bad).is_none(), "{bad:?}");
        }
        let at_bound = "c".repeat(CHANNEL_NAME_BYTES_MAX);
        assert!(ChannelName::parse(&at_bound).is_some());
        assert!(ChannelName::parse(&format!("{at_bound}c")).is_none());
    }

    #[test]
    fn channel_kinds_su_17_su_18() {
        let kind = |name: &str| ChannelName::parse(name).map(|name| name.kind());
        for normal in [
            "private",
            "presence",
            "Private-x",
            "privatex-y",
            "my-private-x",
            "a",
        ] {
            assert_eq!(kind(normal), Some(ChannelKind::Normal), "{normal}");
        }
        assert_eq!(kind("private-x"), Some(ChannelKind::Private));
        assert_eq!(kind("private-"), Some(ChannelKind::Private));
        assert_eq!(kind("presence-x-y"), Some(ChannelKind::Presence));
    }

    #[test]
    fn worker_ids() {
        assert!(WorkerId::parse(b"0123456789abcdef-0123456789_ABCDEFGH").is_some());
        assert!(WorkerId::parse(b"short").is_none());
        assert!(WorkerId::parse(b"0123456789abcdef-0123456789_ABCDEFG!").is_none());
    }
}
