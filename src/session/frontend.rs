use super::Pace;
use crate::hub::Registry;
use crate::model::VhostId;
use crate::wire::deflate::Agreement;
use crate::wire::http::{self, Refusal, Request, Script, ScriptAnswer, UpgradeKey};
use crate::wire::message::Reader;

/// What the bytes of a new frontend connection amount to.
#[derive(Debug)]
pub enum Upgrade {
    /// The request is not all there.
    Incomplete,
    /// Answer with this and close.
    Refused {
        /// The answer.
        refusal: Refusal,
        /// The vhost that the path names, if any.
        vhost: Option<VhostId>,
    },
    /// Answer with a script and close.
    Script(ScriptAnswer),
    /// Answer with 101; the session begins behind `consumed` bytes.
    Accepted {
        /// The vhost that the path names.
        vhost: VhostId,
        /// What the answer carries.
        key: UpgradeKey,
        /// How messages are compressed, where they are.
        deflate: Option<Agreement>,
        /// Bytes of the request.
        consumed: usize,
    },
}

/// Decides on the upgrade, in the order of section 3.1: clean path, known vhost,
/// then the upgrade itself, then the origin that the vhost lets in. No vhost's
/// name has a dot: a script never stands before one.
pub fn handle_upgrade(bytes: &[u8], registry: &Registry) -> Upgrade {
    let (request, consumed) = match http::parse_request(bytes) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Upgrade::Incomplete,
        Err(refusal) => return refused(refusal, None),
    };
    if let Some(redirect) = request.redirect() {
        return refused(redirect, None);
    }
    let Some(vhost) = registry.vhost(request.path) else {
        return handle_elsewhere(&request, registry);
    };
    match request.upgrade {
        Ok(_) if !registry.quota(vhost).lets_in(request.origin) => {
            refused(Refusal::Forbidden, Some(vhost))
        }
        Ok(key) => Upgrade::Accepted {
            vhost,
            key,
            deflate: request
                .deflate
                .filter(|_| registry.quota(vhost).compression),
            consumed,
        },
        Err(refusal) => refused(refusal, Some(vhost)),
    }
}

/// A path that is no vhost's.
fn handle_elsewhere(request: &Request<'_>, registry: &Registry) -> Upgrade {
    let script = Script::at(request.path).filter(|&(script, path)| {
        !request.asks_upgrade && (script == Script::Library || registry.vhost(path).is_some())
    });
    let Some((script, _)) = script else {
        return refused(Refusal::NotFound, None);
    };
    match ScriptAnswer::to(request, script) {
        Ok(answer) => Upgrade::Script(answer),
        Err(refusal) => refused(refusal, None),
    }
}

fn refused(refusal: Refusal, vhost: Option<VhostId>) -> Upgrade {
    Upgrade::Refused { refusal, vhost }
}

/// An upgraded frontend.
#[derive(Debug)]
pub struct Frontend {
    /// Where it connected.
    pub vhost: VhostId,
    /// Reassembles its messages.
    pub reader: Reader,
    /// A message that the hub did not take yet; it comes before all others.
    pub held: Option<Box<[u8]>>,
    /// How fast it sends.
    pub pace: Pace,
}

impl Frontend {
    /// A frontend at its first message.
    pub fn new(vhost: VhostId, deflate: Option<Agreement>) -> Self {
        Self {
            vhost,
            reader: match deflate {
                Some(_) => Reader::may_compress(),
                None => Reader::default(),
            },
            held: None,
            pace: Pace::default(),
        }
    }

    /// Bytes of memory in which it keeps what was received.
    pub fn kept_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.len());
        self.reader.kept_bytes() + held
    }
}
