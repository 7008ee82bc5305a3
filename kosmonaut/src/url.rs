use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::limits::{PORT_DEFAULT, TLS_PORT_DEFAULT, VHOST_PATH_BYTES_MAX};
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Where a vhost is and what opens it: `wr://TOKEN@host:port/vhost`, or `wrs://…`
/// over TLS, with the feature `tls`.
///
/// The port is 8081 where it is left out, 8444 over TLS; an IPv6 host stands in brackets; a
/// vhost may be nested. Neither `Display` nor `Debug` shows the token.
///
/// ```
/// use kosmonaut::{Url, UrlError};
///
/// let token = "0123456789abcdef0123456789abcdef01234567";
/// let url: Url = format!("wr://{token}@broker.example/shop/orders").parse()?;
/// assert_eq!(url.to_string(), "wr://broker.example:8081/shop/orders");
///
/// let wrong = "wr://broker.example/shop".parse::<Url>();
/// assert_eq!(wrong, Err(UrlError::TokenMissing));
/// # Ok::<(), UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Over TLS.
    pub(crate) secure: bool,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    token: String,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    vhost: String,
}

/// What is wrong with a URL. Never holds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with neither `wr://` nor `wrs://`.
    #[error("the URL does not begin with wr:// or wrs:// (expected wr://TOKEN@host:port/vhost)")]
    Scheme,
    /// It begins with `wrs://`, and this program was built without the feature `tls`.
    #[error("wrs:// needs kosmonaut's feature tls")]
    TlsMissing,
    /// Nothing stands before an `@`.
    #[error("the URL has no access token (expected wr://TOKEN@host:port/vhost)")]
    TokenMissing,
    /// The access token is not 40 letters or digits.
    #[error("the URL's access token is not 40 letters or digits")]
    TokenForm,
    /// The host is empty, has characters that no host name has, or is an IPv6
    /// address that is malformed or lacks its brackets.
    #[error("the URL's host is neither a name nor an address (IPv6 goes in brackets)")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
    /// The path is missing or not that of a vhost.
    #[error("the URL's path is not a vhost: /name, or /name/name, of letters, digits, _ and -")]
    Vhost,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (secure, rest) = match (text.strip_prefix("wr://"), text.strip_prefix("wrs://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(UrlError::Scheme),
        };
        if secure && cfg!(not(feature = "tls")) {
            return Err(UrlError::TlsMissing);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (token, address) = authority.rsplit_once('@').ok_or(UrlError::TokenMissing)?;
        if token.is_empty() {
            return Err(UrlError::TokenMissing);
        }
        if token.len() != 40 || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(UrlError::TokenForm);
        }
        let (host, port) = parse_address(address)?;
        if !is_vhost_path(path) {
            return Err(UrlError::Vhost);
        }
        let port_default = if secure {
            TLS_PORT_DEFAULT
        } else {
            PORT_DEFAULT
        };
        Ok(Self {
            secure,
            #[cfg(feature = "tls")]
            tls: None,
            token: token.to_owned(),
            host: host.to_owned(),
            port: port.unwrap_or(port_default),
            vhost: path.to_owned(),
        })
    }
}

impl Url {
    /// The whole URL with its token, to hand on to another process. Whoever has it
    /// has the vhost: it belongs in no log. `Display` leaves the token out.
    ///
    /// ```
    /// # use kosmonaut::Url;
    /// let whole = format!("wr://{}@broker.example:8081/shop", "0".repeat(40));
    /// assert_eq!(whole.parse::<Url>()?.reveal(), whole);
    /// # Ok::<(), kosmonaut::UrlError>(())
    /// ```
    pub fn reveal(&self) -> String {
        let shown = self.to_string();
        let (scheme, address) = shown.split_once("://").unwrap_or(("wr", &shown));
        format!("{scheme}://{}@{address}", self.token)
    }

    /// The same vhost, reached over TLS as `tls` has it. Counts for `wrs://` alone.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let tls = Some(tls);
        Self { tls, ..self }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> std::io::Result<Tls> {
        self.tls.clone().map_or_else(Tls::of_system, Ok)
    }

    /// The identity line that opens a connection (section 4.2).
    pub(crate) fn identity(&self, role: &str, id: &str) -> String {
        format!("{role}:{}:{}:{id}", self.vhost, self.token)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host, port, vhost, ..
        } = self;
        let scheme = if self.secure { "wrs" } else { "wr" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}{vhost}")
        } else {
            write!(f, "{scheme}://{host}:{port}{vhost}")
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn parse_address(address: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(UrlError::Host),
            }
        }
        None => {
            let (host, port) = match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            };
            let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            // A second colon is an IPv6 address without its brackets.
            if host.is_empty()
                || !host.bytes().all(of_a_name)
                || port.is_some_and(|port| port.contains(':'))
            {
                return Err(UrlError::Host);
            }
            (host, port)
        }
    };
    Ok((host, port.map(parse_port).transpose()?))
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    // `u16::from_str` alone would take "+80".
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(UrlError::Port),
        Ok(port) => Ok(port),
    }
}

fn is_vhost_path(path: &str) -> bool {
    let of_a_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    path.len() <= VHOST_PATH_BYTES_MAX
        && path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|part| !part.is_empty() && part.bytes().all(of_a_part))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

    fn parse(after_token: &str) -> Result<Url, UrlError> {
        format!("wr://{TOKEN}@{after_token}").parse()
    }

    #[test]
    fn parts_are_found() {
        for (text, host, port, vhost) in [
            ("127.0.0.1:9999/v", "127.0.0.1", 9999, "/v"),
            ("localhost/v", "localhost", 8081, "/v"),
            (
                "my-host.example:1/a/b-c/D_9",
                "my-host.example",
                1,
                "/a/b-c/D_9",
            ),
            ("[::1]:65535/v", "::1", 65535, "/v"),
            ("[2001:db8::7]/v", "2001:db8::7", 8081, "/v"),
        ] {
            let url = parse(text).expect(text);
            assert_eq!(
                (url.host.as_str(), url.port, url.vhost.as_str()),
                (host, port, vhost)
            );
        }
    }

    #[test]
    fn the_scheme_says_whether_over_tls() {
        let url = format!("wrs://{TOKEN}@h/v").parse::<Url>();
        if cfg!(feature = "tls") {
            let url = url.expect("valid");
            assert!(url.secure);
            assert_eq!(url.to_string(), "wrs://h:8444/v");
            assert_eq!(url.reveal(), format!("wrs://{TOKEN}@h:8444/v"));
        } else {
            assert_eq!(url, Err(UrlError::TlsMissing));
        }
        assert!(!parse("h/v").expect("valid").secure);
    }

    #[test]
    fn identity_be_04() {
        let url = parse("h/a/b").expect("valid");
        assert_eq!(url.identity("req", "id"), format!("req:/a/b:{TOKEN}:id"));
    }

    #[test]
    fn each_mistake_has_its_name() {
        for scheme in ["", "http://x", "WR://x", "wr:/x", "wr"] {
            assert_eq!(scheme.parse::<Url>(), Err(UrlError::Scheme), "{scheme}");
        }
        for missing in ["wr://", "wr://host/v", "wr://@host/v", "wr:///v"] {
            assert_eq!(
                missing.parse::<Url>(),
                Err(UrlError::TokenMissing),
                "{missing}"
            );
        }
        for token in [&TOKEN[1..], &format!("{TOKEN}0"), &format!("user:{TOKEN}")] {
            let url = format!("wr://{token}@host/v");
            assert_eq!(url.parse::<Url>(), Err(UrlError::TokenForm), "{url}");
        }
        for host in [
            "/v", ":80/v", "::1/v", "[::1/v", "[::1]x/v", "[h]/v", "a b/v", "h?/v",
        ] {
            assert_eq!(parse(host), Err(UrlError::Host), "{host}");
        }
        for port in [
            "h:/v",
            "h:0/v",
            "h:65536/v",
            "h:+80/v",
            "h:x/v",
            "[::1]:/v",
            "[::1]:-1/v",
        ] {
            assert_eq!(parse(port), Err(UrlError::Port), "{port}");
        }
        for vhost in [
            "h", "h/", "h/v/", "h//v", "h/v?x=1", "h/v#x", "h/ä", "h/v\n", "h/a.b",
        ] {
            assert_eq!(parse(vhost), Err(UrlError::Vhost), "{vhost}");
        }
    }

    #[test]
    fn vhost_path_bound() {
        let at_bound = format!("h/{}", "v".repeat(VHOST_PATH_BYTES_MAX - 1));
        assert!(parse(&at_bound).is_ok());
        assert_eq!(parse(&format!("{at_bound}v")), Err(UrlError::Vhost));
    }

    #[test]
    fn token_is_never_shown() {
        let url = parse("[::1]/v").expect("valid");
        assert_eq!(url.to_string(), "wr://[::1]:8081/v");
        assert_eq!(format!("{url:?}"), "Url(wr://[::1]:8081/v)");
    }
}
