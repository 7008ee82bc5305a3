use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use bytesize::ByteSize;

use super::problem::Reason;

/// A value as it was given, not yet known to fit its setting.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Of a variable or a flag, which have text only.
    Plain(String),
    Text(String),
    Integer(i64),
    Switch(bool),
    List(Vec<Value>),
    /// What no setting takes, by TOML's name for it.
    Other(&'static str),
}

/// A number with neither bound nor cost of its own.
pub(super) const UNLIMITED: u32 = u32::MAX;

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Plain(_) | Self::Text(_) => "string",
            Self::Integer(_) => "integer",
            Self::Switch(_) => "boolean",
            Self::List(_) => "array",
            Self::Other(kind) => kind,
        }
    }

    fn no(&self, expected: &'static str) -> Reason {
        Reason::Kind {
            found: self.kind(),
            expected,
        }
    }

    pub(super) fn text(&self) -> Result<&str, Reason> {
        match self {
            Self::Plain(text) | Self::Text(text) => Ok(text),
            _ => Err(self.no("a string")),
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Result<bool, Reason> {
        const EXPECTED: &str = "true or false";
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Plain(text) => text.parse().map_err(|_| not(text, EXPECTED)),
            _ => Err(self.no(EXPECTED)),
        }
    }

    /// A number of things from 1 to `max`; where `max` is [`UNLIMITED`] also `"unlimited"`.
    pub(super) fn count(&self, max: u32) -> Result<u32, Reason> {
        const EXPECTED: &str = "a whole number";
        let number = match self {
            Self::Integer(number) => i128::from(*number),
            Self::Plain(text) | Self::Text(text) if text == "unlimited" && max == UNLIMITED => {
                return Ok(UNLIMITED);
            }
            Self::Plain(text) => text.parse().map_err(|_| not(text, EXPECTED))?,
            Self::Text(text) if max == UNLIMITED => {
                return Err(not(text, "a whole number or \"unlimited\""));
            }
            _ => return Err(self.no(EXPECTED)),
        };
        in_range(number, 1, u64::from(max), |number| number.to_string()).map(|it| it as u32)
    }

    /// Bytes, as a number or as `"3MiB"`.
    pub(super) fn bytes(&self, min: usize, max: usize) -> Result<u32, Reason> {
        // Its bounds are those of a `u32`, and so is what lies between them.
        self.size(min as u64, max as u64).map(|bytes| bytes as u32)
    }

    /// As [`Self::bytes`], of what a whole node has.
    pub(super) fn size(&self, min: u64, max: u64) -> Result<u64, Reason> {
        const EXPECTED: &str = "a number of bytes, as 65536 or \"64KiB\"";
        let number = match self {
            Self::Integer(number) => i128::from(*number),
            Self::Plain(text) | Self::Text(text) => {
                let size: ByteSize = text.parse().map_err(|_| not(text, EXPECTED))?;
                i128::from(size.as_u64())
            }
            _ => return Err(self.no(EXPECTED)),
        };
        in_range(number, min, max, |number| {
            u64::try_from(number).map_or_else(|_| number.to_string(), show_size)
        })
    }

    /// A time with its unit, as `"10s"` or `"500ms"`.
    pub(super) fn duration(&self, min: Duration, max: Duration) -> Result<Duration, Reason> {
        const EXPECTED: &str = "a time with its unit, as \"10s\" or \"1m 30s\"";
        let text = match self {
            Self::Plain(text) | Self::Text(text) => text,
            _ => return Err(self.no(EXPECTED)),
        };
        let given = humantime::parse_duration(text).map_err(|_| not(text, EXPECTED))?;
        if given < min {
            let (value, min) = (show_duration(given), show_duration(min));
            return Err(Reason::Below { value, min });
        }
        if given > max {
            let (value, max) = (show_duration(given), show_duration(max));
            return Err(Reason::Past { value, max });
        }
        Ok(given)
    }

    pub(super) fn addr(&self) -> Result<SocketAddr, Reason> {
        let text = self.text()?;
        let expected = "an address with its port, as 127.0.0.1:8080 or [::1]:8080";
        text.parse().map_err(|_| not(text, expected))
    }

    /// One file or several.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, Reason> {
        let texts: Vec<&str> = match self {
            Self::Plain(text) => text.split(',').map(str::trim).collect(),
            Self::Text(text) => vec![text],
            Self::List(values) => values.iter().map(Self::text).collect::<Result<_, _>>()?,
            _ => return Err(self.no("a list of files")),
        };
        match texts.contains(&"") {
            true => Err(not("", "a file")),
            false => Ok(texts.into_iter().map(PathBuf::from).collect()),
        }
    }

    /// Origins as browsers send them. `*` alone stands for any, which is no origin at all.
    pub(super) fn origins(&self) -> Result<Vec<Box<str>>, Reason> {
        const EXPECTED: &str = "a list of origins";
        let texts: Vec<&str> = match self {
            Self::Plain(text) => text.split(',').map(str::trim).collect(),
            Self::List(values) => values.iter().map(Self::text).collect::<Result<_, _>>()?,
            _ => return Err(self.no(EXPECTED)),
        };
        match texts[..] {
            [] | ["*"] => Ok(Vec::new()),
            _ => texts.into_iter().map(origin).collect(),
        }
    }
}

fn not(value: &str, expected: &'static str) -> Reason {
    let value = value.to_owned();
    Reason::Not { value, expected }
}

fn in_range(
    number: i128,
    min: u64,
    max: u64,
    show: impl Fn(i128) -> String,
) -> Result<u64, Reason> {
    if number < i128::from(min) {
        let (value, min) = (show(number), show(min.into()));
        return Err(Reason::Below { value, min });
    }
    u64::try_from(number)
        .ok()
        .filter(|number| *number <= max)
        .ok_or_else(|| Reason::Past {
            value: show(number),
            max: show(max.into()),
        })
}

/// `scheme://host[:port]` as a browser writes it: in lower case, without the
/// port that the scheme implies (RFC 6454 section 6.2).
fn origin(text: &str) -> Result<Box<str>, Reason> {
    let refused = |expected| Reason::Origin {
        value: text.into(),
        expected,
    };
    if text == "null" {
        return Err(refused("any page without an origin sends it"));
    }
    if text == "*" {
        return Err(refused("\"*\" stands for any and so stands alone"));
    }
    let expected = "scheme://host or scheme://host:port expected";
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(|| refused(expected))?;
    if authority.contains(['/', '?', '#', '@']) {
        return Err(refused("nothing may follow host and port"));
    }
    let uri: Uri = lower.parse().map_err(|_| refused(expected))?;
    let host = uri.host().unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let valid = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    // What follows the host is a port, or it is no number of one.
    let port = uri.port_u16();
    if !valid || (authority.len() > host.len() && port.is_none()) {
        return Err(refused(expected));
    }
    let implied = matches!((scheme, port), ("http", Some(80)) | ("https", Some(443)));
    Ok(match port.filter(|_| !implied) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
    .into())
}

pub(super) fn show_count(count: u32) -> String {
    match count {
        UNLIMITED => "unlimited".into(),
        _ => count.to_string(),
    }
}

pub(super) fn show_bytes(bytes: u32) -> String {
    show_size(bytes.into())
}

/// In the largest unit of which it is a whole number.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units
        .into_iter()
        .find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(
        || bytes.to_string(),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

pub(super) fn show_duration(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
