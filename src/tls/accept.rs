use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;

use super::names::ByName;
use super::{BadCertificate, Identity, TlsError, Transport};
use crate::limits::TLS_TICKETS_PER_HANDSHAKE;

/// What the connections of one kind of listener are let in with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    /// Whether clients must bring a certificate.
    asks_certificate: bool,
}

/// What a node's TLS listeners have, as it was loaded.
#[derive(Debug)]
pub struct Offer {
    /// For browsers.
    pub frontends: Acceptor,
    /// For Kosmonaut.
    pub backends: Acceptor,
}

/// The [`Offer`] that holds now. All shards look here when a connection comes in,
/// and only then: who is connected keeps what it came in with.
#[derive(Debug)]
pub struct Acceptors(ArcSwap<Offer>);

impl Offer {
    /// Certificates for both kinds of listeners, and the authorities of which
    /// backends must bring one, where there are any.
    ///
    /// # Errors
    /// [`BadCertificate::NoCertificate`] without identities, and what is wrong
    /// with the authorities.
    pub fn new(
        identities: &[Identity],
        backend_authorities: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Self, BadCertificate> {
        if identities.is_empty() {
            return Err(BadCertificate::NoCertificate);
        }
        let mut frontends = config(identities, None)?;
        // A browser that could have HTTP/2 asks for both; one that has nothing
        // else is refused with an alert (RFC 7301 section 3.2).
        frontends.alpn_protocols = vec![b"http/1.1".to_vec()];
        let asks_certificate = backend_authorities.is_some();
        let backends = config(identities, backend_authorities)?;
        Ok(Self {
            frontends: Acceptor {
                config: Arc::new(frontends),
                asks_certificate: false,
            },
            backends: Acceptor {
                config: Arc::new(backends),
                asks_certificate,
            },
        })
    }
}

impl Acceptors {
    /// To be shared by all shards.
    pub fn new(offer: Offer) -> Self {
        Self(ArcSwap::from_pointee(offer))
    }

    /// Connections from now on are let in with this.
    pub fn replace(&self, offer: Offer) {
        self.0.store(Arc::new(offer));
    }

    /// For a browser that comes in now.
    pub fn frontends(&self) -> Acceptor {
        self.0.load().frontends.clone()
    }

    /// For a backend that comes in now.
    pub fn backends(&self) -> Acceptor {
        self.0.load().backends.clone()
    }
}

impl Acceptor {
    /// Begins with a connection.
    ///
    /// # Errors
    /// Where rustls finds its own configuration wrong.
    pub fn accept(&self) -> Result<Transport, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.config))?;
        Ok(Transport::new(connection, self.asks_certificate))
    }
}

/// Each call gives tickets with a key of their own: a ticket of a browser must
/// open nothing for a backend, nor one of a dismissed authority after a reload.
fn config(
    identities: &[Identity],
    authorities: Option<Vec<CertificateDer<'static>>>,
) -> Result<ServerConfig, BadCertificate> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(BadCertificate::Refused)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(authority).map_err(BadCertificate::Refused)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(BadCertificate::Authority)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName::new(identities)));
    // Sessions are resumed by tickets alone, which any shard can read: nothing is
    // kept for a client that may come back. Their key changes every six hours and
    // is forgotten after twelve.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(BadCertificate::Refused)?;
    config.send_tls13_tickets = TLS_TICKETS_PER_HANDSHAKE;
    // A request that could be replayed is not taken.
    config.max_early_data_size = 0;
    Ok(config)
}

pub(super) fn provider() -> CryptoProvider {
    ring::default_provider()
}
