use std::fmt;

/// What went wrong, as the protocol numbers it (section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// 400: malformed, or something required is missing.
    BadRequest,
    /// 402: unknown token or identity.
    Unauthorized,
    /// 403: known, but not allowed.
    Forbidden,
    /// 451: no channel can have this name.
    InvalidChannelName,
    /// 453: needs a subscription.
    NotSubscribed,
    /// 454: no such channel.
    ChannelNotFound,
    /// 503: no worker can take the trigger.
    ServiceUnavailable,
    /// 597: the broker could not do it.
    InternalError,
}

impl Status {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 402,
            Self::Forbidden => 403,
            Self::InvalidChannelName => 451,
            Self::NotSubscribed => 453,
            Self::ChannelNotFound => 454,
            Self::ServiceUnavailable => 503,
            Self::InternalError => 597,
        }
    }

    /// The text on the wire; never needs JSON escapes.
    pub fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::InvalidChannelName => "Invalid channel name",
            Self::NotSubscribed => "Not subscribed",
            Self::ChannelNotFound => "Channel not found",
            Self::ServiceUnavailable => "Service unavailable",
            Self::InternalError => "Internal error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.text())
    }
}
