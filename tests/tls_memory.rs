//! What TLS adds to the memory of a connection: idle, and in a handshake that
//! does not go on. `--nocapture` prints the figures.

use std::alloc::System;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use webrocket::limits::TLS_PARTIAL_BYTES_MAX;
use webrocket::tls::{Identity, Offer, Transport};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 100;

/// Bytes that one of [`CONNECTIONS`] costs when all are as `make` leaves them.
fn bytes_each(mut make: impl FnMut() -> Box<Transport>) -> usize {
    // What is made once for all.
    drop(make());
    let mut kept = Vec::with_capacity(CONNECTIONS);
    let region = Region::new(ALLOCATOR);
    for _ in 0..CONNECTIONS {
        kept.push(make());
    }
    let change = region.change();
    let bytes = change.bytes_allocated - change.bytes_deallocated;
    drop(kept);
    bytes / CONNECTIONS
}

#[test]
fn memory_of_a_connection() {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).expect("made");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("valid");
    let offer = Offer::new(&[identity], None).expect("valid");
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let name = ServerName::try_from("a.example").expect("a name");

    let fresh = bytes_each(|| Box::new(offer.frontends.accept().expect("accepted")));
    let idle = bytes_each(|| {
        let client = ClientConnection::new(Arc::clone(&config), name.clone());
        let mut client = client.expect("a client");
        let mut server = Box::new(offer.frontends.accept().expect("accepted"));
        let (plain, out) = (&mut Vec::new(), &mut Vec::new());
        while !server.is_open() || client.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("written");
            }
            server.handle_bytes(&mut bytes, plain, out).expect("taken");
            let taken = std::mem::take(out);
            let mut rest = &taken[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("read");
                client.process_new_packets().expect("records");
            }
        }
        server
    });
    // All that an unfinished message may keep, in the smallest records and thus in
    // the most places.
    let half_done = bytes_each(|| {
        let mut server = Box::new(offer.frontends.accept().expect("accepted"));
        let (plain, out) = (&mut Vec::new(), &mut Vec::new());
        let body = [&[1, 0, 0xea, 0x60][..], &[0; 60_000]].concat();
        for byte in &body[..TLS_PARTIAL_BYTES_MAX / 6] {
            let mut record = [22, 3, 1, 0, 1, *byte];
            server.handle_bytes(&mut record, plain, out).expect("taken");
        }
        server
    });
    println!(
        "bytes of TLS for a connection: fresh {fresh}, idle {idle}, half-done {half_done} at most"
    );
    assert!(fresh <= 2 * 1024, "{fresh}");
    assert!(idle <= 4 * 1024, "{idle}");
    // The bytes in a buffer that grew by doubling, and rustls' note of their places.
    assert!(half_done <= 2 * TLS_PARTIAL_BYTES_MAX, "{half_done}");
}
