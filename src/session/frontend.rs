use crate::hub::Registry;
use crate::model::VhostId;
use crate::wire::http::{self, Refusal, UpgradeKey};
use crate::wire::message::Reader;

/// What the bytes of a new frontend connection amount to.
#[derive(Debug)]
pub enum Upgrade {
    /// The request is not all there.
    Incomplete,
    /// Answer with this and close.
    Refused(Refusal),
    /// Answer with 101; the session begins behind `consumed` bytes.
    Accepted {
        /// The vhost that the path names.
        vhost: VhostId,
        /// What the answer carries.
        key: UpgradeKey,
        /// Bytes of the request.
        consumed: usize,
    },
}

/// Decides on the upgrade, in the order of section 3.1: clean path, known vhost,
/// then the upgrade itself.
pub fn handle_upgrade(bytes: &[u8], registry: &Registry) -> Upgrade {
    let (request, consumed) = match http::parse_request(bytes) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Upgrade::Incomplete,
        Err(refusal) => return Upgrade::Refused(refusal),
    };
    if let Some(redirect) = request.redirect() {
        return Upgrade::Refused(redirect);
    }
    let Some(vhost) = registry.vhost(request.path) else {
        return Upgrade::Refused(Refusal::NotFound);
    };
    match request.upgrade {
        Ok(key) => Upgrade::Accepted {
            vhost,
            key,
            consumed,
        },
        Err(refusal) => Upgrade::Refused(refusal),
    }
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
}

impl Frontend {
    /// A frontend at its first message.
    pub fn new(vhost: VhostId) -> Self {
        Self {
            vhost,
            reader: Reader::default(),
            held: None,
        }
    }
}
