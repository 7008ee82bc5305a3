use super::{Client, Worker};
use crate::hub::Registry;
use crate::model::{Status, WorkerId};
use crate::wire::packet::{Packet, PeerKind, Scanner, parse_identity};

/// A backend connection before its first packet.
#[derive(Debug, Default)]
pub struct Fresh {
    /// Finds the end of that packet.
    pub scanner: Scanner,
}

/// What the first packet makes of the connection.
#[derive(Debug)]
pub enum First {
    /// A client; the packet is its first request.
    Client(Client),
    /// A worker to be registered under this id.
    Worker(Worker, WorkerId),
    /// A worker that outlived its registration: `QT` and close ([WK-04]).
    Expired,
    /// `ER` with this and close.
    Refused(Status),
}

impl Fresh {
    /// Looks at the first packet: who is it, may it, what does it want.
    pub fn handle_first(packet: &Packet<'_>, registry: &Registry, now_ms: u64) -> First {
        // A terminator with nothing before it ([BE-13]).
        if packet.identity.is_none() && packet.command.is_empty() {
            return First::Refused(Status::BadRequest);
        }
        let identity = packet.identity.and_then(parse_identity);
        let authorized =
            identity.and_then(|who| Some((who, registry.authorize(who.vhost, who.token)?)));
        let Some((identity, vhost)) = authorized else {
            return First::Refused(Status::Unauthorized);
        };
        match (identity.kind, packet.command) {
            (PeerKind::Client, b"HB") => First::Refused(Status::BadRequest),
            (PeerKind::Client, _) => First::Client(Client::new(vhost)),
            (PeerKind::Worker, b"RD") => First::Worker(Worker::new(vhost, now_ms), identity.id),
            (PeerKind::Worker, b"HB") => First::Expired,
            (PeerKind::Worker, _) => First::Refused(Status::BadRequest),
        }
    }
}
