/// Why a connection's TLS ended. The peer sees an alert where TLS has one for it;
/// the operator sees this in the log.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// It speaks HTTP: somebody has forgotten an `s`.
    #[error("plain HTTP instead of TLS")]
    PlainHttp,
    /// More than [`TLS_PARTIAL_BYTES_MAX`](crate::limits::TLS_PARTIAL_BYTES_MAX)
    /// of one unfinished message.
    #[error("a handshake message past its bound")]
    TooLarge,
    /// Something else that is no TLS, or TLS that is refused.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
    /// As many records as its keys may seal.
    #[error("the keys are used up")]
    Exhausted,
}

/// What is wrong with a file of certificates or keys. The operator recovers.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// It is no PEM.
    #[error("no PEM: {0}")]
    Malformed(rustls_pki_types::pem::Error),
    /// It holds no certificate.
    #[error("no certificate in it")]
    NoCertificate,
    /// It holds no private key.
    #[error("no private key in it")]
    NoKey,
    /// The key is none that can sign, or not that of the certificate.
    #[error("{0}")]
    Refused(rustls::Error),
    /// The certificate can't be read.
    #[error("no certificate that can be used: {0}")]
    Unreadable(webpki::Error),
    /// The authorities can't be used.
    #[error("no authority that can be used: {0}")]
    Authority(rustls::server::VerifierBuilderError),
}
