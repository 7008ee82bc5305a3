use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::BadCertificate;
use super::accept::provider;

/// A certificate chain, its private key, and the names it is for.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Identity {
    /// Of PEM: the certificate with those that lead to its authority, and its key.
    ///
    /// # Errors
    /// Which of it is missing, unreadable, or does not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, BadCertificate> {
        let chain = certificates_of(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            Error::NoItemsFound => BadCertificate::NoKey,
            error => BadCertificate::Malformed(error),
        })?;
        let first = chain.first().ok_or(BadCertificate::NoCertificate)?;
        let first = webpki::EndEntityCert::try_from(first).map_err(BadCertificate::Unreadable)?;
        let names = first.valid_dns_names().map(str::to_ascii_lowercase);
        let names = names.collect();
        let key = CertifiedKey::from_der(chain, key, &provider());
        Ok(Self {
            key: Arc::new(key.map_err(BadCertificate::Refused)?),
            names,
        })
    }

    /// The names it is for, in lower case; `*.` stands for one label.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// The certificates of a PEM file, in their order.
///
/// # Errors
/// [`BadCertificate::NoCertificate`] or [`BadCertificate::Malformed`].
pub fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(BadCertificate::Malformed)?;
    match found.is_empty() {
        true => Err(BadCertificate::NoCertificate),
        false => Ok(found),
    }
}
