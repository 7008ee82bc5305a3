//! Whom a connection over TLS trusts, and what it shows.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How `wrs://` connections are made: whom they trust, and the certificate that
/// a broker with `tls.backend_ca` asks for. Give it to [`Url::with_tls`](crate::Url::with_tls);
/// without one a URL trusts the system's authorities and shows nothing. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

/// Why certificates or keys can't be used. The caller recovers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No PEM, or nothing of the kind in it.
    #[error("no {0} in PEM form")]
    Pem(&'static str),
    /// It can't be used, or key and certificate don't belong together.
    #[error("{0}")]
    Refused(rustls::Error),
    /// The system has no authorities, or none can be read.
    #[error("no authorities on this system")]
    NoRoots,
}

impl Tls {
    /// Trusts the authorities of the system.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`].
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        match added {
            0 => Err(TlsError::NoRoots),
            _ => Self::new(Arc::new(roots)),
        }
    }

    /// Trusts these authorities alone: one or more certificates in PEM.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::Refused`].
    pub fn trusting(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(pem)? {
            roots.add(root).map_err(TlsError::Refused)?;
        }
        Self::new(Arc::new(roots))
    }

    fn new(roots: Arc<RootCertStore>) -> Result<Self, TlsError> {
        let config = builder(&roots)?.with_no_client_auth();
        let config = Arc::new(config);
        Ok(Self { roots, config })
    }

    /// Shows this certificate, with its chain, to a broker that asks.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::Refused`].
    pub fn with_certificate(self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem("private key"))?;
        let config = builder(&self.roots)?.with_client_auth_cert(certificates(chain)?, key);
        Ok(Self {
            config: Arc::new(config.map_err(TlsError::Refused)?),
            ..self
        })
    }

    /// That of a URL that was given none; the system's authorities are read once.
    pub(crate) fn of_system() -> io::Result<Self> {
        static SYSTEM: OnceLock<Tls> = OnceLock::new();
        if let Some(tls) = SYSTEM.get() {
            return Ok(tls.clone());
        }
        let tls = Self::system().map_err(io::Error::other)?;
        Ok(SYSTEM.get_or_init(|| tls).clone())
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(roots: &Arc<RootCertStore>) -> Result<Builder, TlsError> {
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .with_root_certificates(Arc::clone(roots)),
    )
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Pem("certificate")),
    }
}

/// The same settings, not equal ones.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither key nor a screen full of authorities.
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
