use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::limits::{TLS_CERTIFICATES_MAX, TLS_FILE_BYTES_MAX};
use crate::tls::{BadCertificate, Identity, Offer, certificates_of};

/// Where a node speaks TLS, and with what.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where browsers connect with `wss`.
    pub websocket_addr: Option<SocketAddr>,
    /// Where Kosmonaut connects with `wrs`.
    pub backend_addr: Option<SocketAddr>,
    /// What both show, and what backends must.
    pub files: TlsFiles,
}

/// Files in PEM. They are read at the start and at each reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// A certificate each, with those that lead to its authority. The first one is
    /// for clients that ask for no name, or for one that nobody has.
    pub certificates: Vec<PathBuf>,
    /// Their keys, in the same order; none where each stands with its certificate.
    pub keys: Vec<PathBuf>,
    /// The authorities of which backends must bring a certificate.
    pub backend_authorities: Option<PathBuf>,
}

/// A file that can't be used. The operator recovers.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// It can't be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Past [`TLS_FILE_BYTES_MAX`].
    #[error("{0}: more than {TLS_FILE_BYTES_MAX} bytes are no certificates")]
    TooLong(PathBuf),
    /// What it holds can't be used.
    #[error("{path}: {source}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BadCertificate,
    },
    /// Not as many keys as certificates, or more than [`TLS_CERTIFICATES_MAX`].
    #[error(
        "{certificates} certificates and {keys} keys: one key for each, or none, and {TLS_CERTIFICATES_MAX} at the most"
    )]
    Count {
        /// Certificates given.
        certificates: usize,
        /// Keys given.
        keys: usize,
    },
}

impl TlsFiles {
    /// Reads them all; gives the names that they are for as well.
    ///
    /// # Errors
    /// The first file that can't be used, and why.
    pub fn load(&self) -> Result<(Offer, Vec<String>), TlsFileError> {
        let (certificates, keys) = (self.certificates.len(), self.keys.len());
        if (keys > 0 && keys != certificates) || certificates > TLS_CERTIFICATES_MAX {
            return Err(TlsFileError::Count { certificates, keys });
        }
        let mut identities = Vec::with_capacity(certificates);
        for (at, path) in self.certificates.iter().enumerate() {
            let chain = read(path)?;
            let identity = match self.keys.get(at) {
                None => Identity::from_pem(&chain, &chain).map_err(bad(path)),
                Some(key_path) => {
                    certificates_of(&chain).map_err(bad(path))?;
                    Identity::from_pem(&chain, &read(key_path)?).map_err(bad(key_path))
                }
            };
            identities.push(identity?);
        }
        let authorities = self.backend_authorities.as_deref();
        let of_file = |path: &Path| certificates_of(&read(path)?).map_err(bad(path));
        let roots = authorities.map(of_file).transpose()?;
        let none = Path::new("tls.certificates");
        let offer = Offer::new(&identities, roots).map_err(bad(authorities.unwrap_or(none)))?;
        let names = identities.iter().flat_map(Identity::names);
        Ok((offer, names.cloned().collect()))
    }
}

fn bad(path: &Path) -> impl FnOnce(BadCertificate) -> TlsFileError {
    let path = path.to_owned();
    move |source| TlsFileError::Bad { path, source }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let unreadable = |source| TlsFileError::Unreadable {
        path: path.into(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            file.take(TLS_FILE_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(unreadable)?;
    if bytes.len() > TLS_FILE_BYTES_MAX {
        return Err(TlsFileError::TooLong(path.into()));
    }
    Ok(bytes)
}
