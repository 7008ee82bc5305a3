//! Certificates for one run, and nodes that have them.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;
use webrocket::model::Quotas;
use webrocket::server::{TlsConfig, TlsFiles};

use crate::support::{Broker, unhurried};

/// Gives certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What it gave.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for these names, the first of which is its common name.
    pub(crate) fn certify(&self, names: &[&str]) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let all: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(all).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified {
            chain: made.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Files of certificates.
pub(crate) struct Files {
    dir: TempDir,
    pub(crate) authority: Authority,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            authority: Authority::new("the servers' authority"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        // At once, as whoever renews certificates does.
        let new = self.path("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, &path).expect("renamed");
        path
    }

    /// A certificate of the authority in `NAME.pem` and its key in `NAME.key`.
    pub(crate) fn certify(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let made = self.authority.certify(names);
        (
            self.write(&format!("{name}.pem"), &made.chain),
            self.write(&format!("{name}.key"), &made.key),
        )
    }

    /// The authority itself.
    pub(crate) fn authority(&self) -> PathBuf {
        self.write("ca.pem", &self.authority.pem)
    }
}

/// A broker whose TLS listeners have one certificate, for `localhost`.
pub(crate) fn broker(shards: u16, files: &Files) -> Broker {
    broker_with(shards, files, None)
}

/// And whose backends must bring one of this authority.
pub(crate) fn broker_with(shards: u16, files: &Files, backend_ca: Option<&Path>) -> Broker {
    let (chain, key) = files.certify("localhost", &["localhost"]);
    broker_of(
        shards,
        TlsFiles {
            certificates: vec![chain],
            keys: vec![key],
            backend_authorities: backend_ca.map(Into::into),
        },
    )
}

pub(crate) fn broker_of(shards: u16, files: TlsFiles) -> Broker {
    broker_granting(shards, files, unhurried())
}

pub(crate) fn broker_granting(shards: u16, files: TlsFiles, quotas: Quotas) -> Broker {
    let any = "127.0.0.1:0".parse().expect("an address");
    Broker::configured(shards, |config| {
        config.quotas = quotas;
        config.tls = Some(TlsConfig {
            websocket_addr: Some(any),
            backend_addr: Some(any),
            files,
        });
    })
}
