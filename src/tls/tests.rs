use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::limits::{TLS_PARTIAL_BYTES_MAX, TLS_RECORDS_RESERVED};

/// A certificate of its own for these names.
pub(super) fn identity(names: &[&str]) -> Identity {
    let (chain, key) = made(names);
    Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("valid")
}

fn made(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Both ends of a connection, without one.
struct Pair {
    client: ClientConnection,
    server: Transport,
    plain: Vec<u8>,
    out: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let identity = identity(&["a.example"]);
        let mut roots = RootCertStore::empty();
        let root = identity.key.cert[0].clone();
        roots.add(root).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("a.example").expect("a name");
        let offer = Offer::new(&[identity], None).expect("valid");
        Self {
            client: ClientConnection::new(Arc::new(config), name).expect("a client"),
            server: offer.frontends.accept().expect("accepted"),
            plain: Vec::new(),
            out: Vec::new(),
        }
    }

    fn opened() -> Self {
        let mut pair = Self::new();
        while !pair.server.is_open() || pair.client.is_handshaking() {
            pair.upstream(usize::MAX).expect("a handshake");
            pair.downstream();
        }
        pair
    }

    /// What the client has to send, in pieces of so many bytes.
    fn upstream(&mut self, piece: usize) -> Result<(), TlsError> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("written");
        }
        let size = piece.min(bytes.len().max(1));
        for piece in bytes.chunks_mut(size) {
            self.server
                .handle_bytes(piece, &mut self.plain, &mut self.out)?;
        }
        Ok(())
    }

    /// What the server has to send; gives what the client reads of it.
    fn downstream(&mut self) -> Vec<u8> {
        use std::io::{ErrorKind, Read};
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("read");
            self.client.process_new_packets().expect("records");
            match self.client.reader().read_to_end(&mut read) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        read
    }

    fn say(&mut self, bytes: &[u8]) {
        use std::io::Write;
        self.client.writer().write_all(bytes).expect("queued");
    }
}

#[test]
fn both_ways_in_any_pieces() {
    for piece in [1, 2, 7, 100, 5000, usize::MAX] {
        let mut pair = Pair::new();
        while !pair.server.is_open() || pair.client.is_handshaking() {
            pair.upstream(piece).expect("a handshake");
            pair.downstream();
        }
        for bytes in [1, 16_383, 16_384, 16_385, 60_000] {
            let said: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
            pair.say(&said);
            pair.plain.clear();
            pair.upstream(piece).expect("records");
            assert!(pair.plain == said, "{bytes} bytes in pieces of {piece}");
            assert_eq!(pair.server.partial_bytes(), 0);
            let mut out = Vec::new();
            pair.server.seal(&said, &mut out).expect("sealed");
            assert!(out.len() <= Transport::sealed_len(bytes), "{bytes}");
            pair.out = out;
            assert!(pair.downstream() == said, "{bytes} back");
        }
    }
}

#[test]
fn more_than_is_sealed_at_once() {
    let mut pair = Pair::opened();
    let said = vec![3; 2 * crate::limits::TLS_SEALED_BYTES_MAX + 5];
    let mut out = Vec::new();
    pair.server.seal(&said, &mut out).expect("sealed");
    assert!(out.len() <= Transport::sealed_len(said.len()));
    pair.out = out;
    assert!(pair.downstream() == said);
}

#[test]
fn nothing_is_said_before_the_handshake_or_after_the_end() {
    let mut pair = Pair::new();
    let mut out = Vec::new();
    pair.server.seal(b"early", &mut out).expect("nothing");
    pair.server.finish(&mut out);
    assert!(out.is_empty() && !pair.server.is_open());

    let mut pair = Pair::opened();
    pair.server.seal(b"last", &mut out).expect("sealed");
    pair.server.finish(&mut out);
    let len = out.len();
    pair.server.seal(b"late", &mut out).expect("nothing");
    pair.server.finish(&mut out);
    assert_eq!(out.len(), len);
    pair.out = out;
    assert_eq!(pair.downstream(), b"last");
}

#[test]
fn the_peers_end_is_its_own_and_the_last_word() {
    let mut pair = Pair::opened();
    assert!(!pair.server.has_ended());
    pair.say(b"bye");
    pair.client.send_close_notify();
    pair.upstream(usize::MAX).expect("records");
    assert_eq!(pair.plain, b"bye");
    assert!(pair.server.has_ended());
    // What follows counts for nothing.
    let (plain, out) = (&mut Vec::new(), &mut Vec::new());
    let handled = pair.server.handle_bytes(&mut [1, 2, 3], plain, out);
    assert!(handled.is_ok() && plain.is_empty() && out.is_empty());
    // It can still be told something, and that this is all.
    pair.server.seal(b"answer", out).expect("sealed");
    pair.server.finish(out);
    pair.out = std::mem::take(out);
    assert_eq!(pair.downstream(), b"answer");
}

#[test]
fn keys_change_when_the_peer_wants_it() {
    let mut pair = Pair::opened();
    pair.client.refresh_traffic_keys().expect("TLS 1.3");
    pair.say(b"under the new key");
    pair.upstream(usize::MAX).expect("records");
    assert_eq!(pair.plain, b"under the new key");
    let mut out = Vec::new();
    pair.server.seal(b"likewise", &mut out).expect("sealed");
    pair.out.extend_from_slice(&out);
    assert_eq!(pair.downstream(), b"likewise");
}

#[test]
fn what_is_no_tls_fails_with_an_alert_and_stays_so() {
    let mut pair = Pair::new();
    let (plain, out) = (&mut Vec::new(), &mut Vec::new());
    let failed = pair.server.handle_bytes(&mut [0; 16], plain, out);
    assert!(matches!(failed, Err(TlsError::Refused(_))), "{failed:?}");
    assert_eq!(out[..1], [21]);
    out.clear();
    pair.upstream(usize::MAX).expect("nothing more");
    assert!(pair.out.is_empty() && !pair.server.is_open());

    let mut pair = Pair::new();
    let mut get = *b"GET / HTTP/1.1\r\n";
    let failed = pair.server.handle_bytes(&mut get, plain, out);
    assert_eq!(failed, Err(TlsError::PlainHttp));
    assert!(out.is_empty());
}

/// Whatever comes, at whatever place, in whatever pieces: an error or nothing, and
/// never the end of a shard.
#[test]
fn no_bytes_end_a_shard() {
    use proptest::prelude::*;
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let noise = prop::collection::vec(any::<u8>(), 0..40);
    let all = (changes, noise, 1..600_usize, 0..3_usize);
    proptest!(ProptestConfig::with_cases(400), |((changes, noise, piece, flights) in all)| {
        let mut pair = Pair::new();
        for _ in 0..flights {
            pair.upstream(usize::MAX).expect("a handshake");
            pair.downstream();
        }
        pair.say(b"something");
        let mut bytes = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut bytes).expect("written");
        }
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.extend(noise);
        for piece in bytes.chunks_mut(piece) {
            let (plain, out) = (&mut Vec::new(), &mut Vec::new());
            let handled = pair.server.handle_bytes(piece, plain, out);
            prop_assert!(pair.server.partial_bytes() <= TLS_PARTIAL_BYTES_MAX);
            let sealed = pair.server.seal(b"answer", out);
            prop_assert!(handled.is_err() || sealed.is_ok());
        }
        let out = &mut Vec::new();
        pair.server.finish(out);
    });
}

/// As [`Pair::new`], of TLS 1.2 with keys for so many records where that is told, with
/// a server that has these groups alone.
fn pair_of(
    records_max: Option<u64>,
    groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    asks_certificate: bool,
) -> Pair {
    use rustls::crypto::ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as SUITE;
    let mut pair = Pair::new();
    let identity = identity(&["a.example"]);
    let mut roots = RootCertStore::empty();
    roots.add(identity.key.cert[0].clone()).expect("a root");
    let mut provider = ring::default_provider();
    let versions = match records_max {
        None => [&rustls::version::TLS13],
        Some(records_max) => {
            let rustls::SupportedCipherSuite::Tls12(known) = SUITE else {
                panic!("of TLS 1.2");
            };
            let suite = rustls::Tls12CipherSuite {
                common: rustls::crypto::CipherSuiteCommon {
                    suite: known.common.suite,
                    hash_provider: known.common.hash_provider,
                    confidentiality_limit: records_max,
                },
                prf_provider: known.prf_provider,
                kx: known.kx,
                sign: known.sign,
                aead_alg: known.aead_alg,
            };
            let suite: &'static _ = Box::leak(Box::new(suite));
            provider.cipher_suites = vec![rustls::SupportedCipherSuite::Tls12(suite)];
            [&rustls::version::TLS12]
        }
    };
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("a.example").expect("a name");
    pair.client = ClientConnection::new(Arc::new(client), name).expect("a client");
    provider.kx_groups = groups;
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names::ByName::new(&[identity])));
    let server = rustls::server::UnbufferedServerConnection::new(Arc::new(server));
    pair.server = Transport::new(server.expect("a server"), asks_certificate);
    pair
}

#[test]
fn only_what_may_cost_a_signature_is_costly() {
    let all = || ring::default_provider().kx_groups;
    for records_max in [None, Some(u64::MAX)] {
        let mut pair = pair_of(records_max, all(), false);
        assert!(pair.server.is_costly());
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).expect("written");
        let (first, last) = hello.split_at_mut(40);
        // With TLS 1.2 the next flight costs as much again.
        let is_old = records_max.is_some();
        for (bytes, costly) in [(first, true), (last, is_old)] {
            let handled = pair
                .server
                .handle_bytes(bytes, &mut pair.plain, &mut pair.out);
            handled.expect("a hello");
            assert_eq!(pair.server.is_costly(), costly);
        }
        // What follows is only the end of it.
        assert!(!pair.server.is_open());
        pair.downstream();
        pair.upstream(usize::MAX).expect("a handshake");
        assert!(pair.server.is_open() && !pair.server.is_costly());

        // A certificate is to be checked as well.
        let mut pair = pair_of(records_max, all(), true);
        pair.upstream(usize::MAX).expect("a hello");
        assert!(pair.server.is_costly());
        pair.downstream();
        pair.upstream(usize::MAX).expect("a handshake");
        assert!(pair.server.is_open() && !pair.server.is_costly());
    }
    // The first hello has a share of a group that the server does not know.
    let groups = vec![ring::kx_group::SECP384R1];
    let mut pair = pair_of(None, groups, false);
    pair.upstream(usize::MAX).expect("a hello");
    assert!(!pair.out.is_empty() && pair.server.is_costly());
    pair.downstream();
    pair.upstream(usize::MAX).expect("another hello");
    assert!(!pair.server.is_open());
}

/// rustls ends the connection without a word once they are used up.
#[test]
fn keys_of_tls_1_2_are_worn_while_there_are_records_left() {
    const BEFORE: u64 = 10;
    let records_max = TLS_RECORDS_RESERVED + BEFORE;
    let groups = ring::default_provider().kx_groups;
    let mut pair = pair_of(Some(records_max), groups, false);
    while !pair.server.is_open() || pair.client.is_handshaking() {
        pair.upstream(usize::MAX).expect("a handshake");
        pair.downstream();
    }
    for _ in 0..BEFORE {
        assert!(!pair.server.is_worn());
        pair.server.seal(b"x", &mut pair.out).expect("sealed");
    }
    assert!(!pair.server.is_worn(), "at the bound");
    pair.server.seal(b"x", &mut pair.out).expect("sealed");
    assert!(pair.server.is_worn(), "past it");
    // The largest message, the reason, and the end.
    let message = vec![b'm'; crate::limits::CONFIGURED_MESSAGE_BYTES_MAX];
    pair.server.seal(&message, &mut pair.out).expect("sealed");
    pair.server.seal(b"why", &mut pair.out).expect("sealed");
    pair.server.finish(&mut pair.out);
    let read = pair.downstream();
    assert_eq!(read.len() as u64, BEFORE + 1 + message.len() as u64 + 3);
    assert!(read.ends_with(b"why"));
    let state = pair.client.process_new_packets().expect("records");
    assert!(state.peer_has_closed());

    // Without an end there is one, and no more.
    let groups = ring::default_provider().kx_groups;
    let mut pair = pair_of(Some(records_max), groups, false);
    while !pair.server.is_open() {
        pair.upstream(usize::MAX).expect("a handshake");
        pair.downstream();
    }
    let seal = |_| pair.server.seal(b"x", &mut pair.out);
    let sealed = (0..records_max).map(seal).take_while(Result::is_ok);
    // One went with the handshake.
    assert_eq!(sealed.count() as u64, records_max - 1);
}

#[test]
fn keys_of_tls_1_3_do_not_wear() {
    let mut pair = Pair::opened();
    for _ in 0..2 * TLS_RECORDS_RESERVED {
        pair.out.clear();
        pair.server.seal(b"x", &mut pair.out).expect("sealed");
    }
    assert!(!pair.server.is_worn());
}

/// A handshake message in two records, and something said between them: rustls
/// keeps places in bytes that it must see again.
#[test]
fn half_a_change_of_keys_and_an_answer() {
    let mut pair = Pair::opened();
    let mut forger = Forger::of(pair.client);
    let (plain, out) = (&mut Vec::new(), &mut Vec::new());
    // KeyUpdate, update_requested.
    let mut first = forger.record(22, &[24, 0]);
    let mut second = forger.record(22, &[0, 1, 1]);
    let handled = pair.server.handle_bytes(&mut first, plain, out);
    handled.expect("half a message");
    assert!(pair.server.partial_bytes() > 0);
    for _ in 0..3 {
        pair.server.seal(b"between", out).expect("sealed");
    }
    let handled = pair.server.handle_bytes(&mut second, plain, out);
    handled.expect("the other half");
    assert_eq!(pair.server.partial_bytes(), 0);
    pair.server.seal(b"behind", out).expect("sealed");
    pair.server.finish(out);
    assert!(plain.is_empty());
    // And the end while half of one waits.
    let mut pair = Pair::opened();
    let mut first = Forger::of(pair.client).record(22, &[24, 0]);
    let handled = pair.server.handle_bytes(&mut first, plain, out);
    handled.expect("half a message");
    pair.server.finish(out);
}

/// Seals whatever it is told to with a client's keys.
struct Forger {
    encrypter: Box<dyn rustls::crypto::cipher::MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    fn of(client: ClientConnection) -> Self {
        let suite = client.negotiated_cipher_suite().expect("a handshake");
        let suite = suite.tls13().expect("TLS 1.3");
        let (sequence, secrets) = client.dangerous_extract_secrets().expect("keys").tx;
        let rustls::ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another suite");
        };
        let encrypter = suite.aead_alg.encrypter(key, iv);
        Self {
            encrypter,
            sequence,
        }
    }

    fn record(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let message = rustls::crypto::cipher::OutboundPlainMessage {
            typ: kind.into(),
            version: rustls::ProtocolVersion::TLSv1_2,
            payload: payload.into(),
        };
        let sealed = self.encrypter.encrypt(message, self.sequence);
        self.sequence += 1;
        sealed.expect("sealed").encode()
    }
}

/// One handshake message that never ends, in records of one byte.
#[test]
fn an_unfinished_message_is_kept_up_to_its_bound() {
    let mut pair = Pair::new();
    let (plain, out) = (&mut Vec::new(), &mut Vec::new());
    // A ClientHello of 60,000 bytes.
    let body = [&[1, 0, 0xea, 0x60][..], &[0; 60_000]].concat();
    let mut sent = 0;
    let failed = loop {
        let byte = body[sent / 6];
        let mut record = [22, 3, 1, 0, 1, byte];
        let before = pair.server.partial_bytes();
        match pair.server.handle_bytes(&mut record, plain, out) {
            Ok(()) => sent += 6,
            Err(error) => break (error, before),
        }
        assert_eq!(pair.server.partial_bytes(), sent);
    };
    assert_eq!(failed.0, TlsError::TooLarge);
    assert!(failed.1 <= TLS_PARTIAL_BYTES_MAX && failed.1 + 6 > TLS_PARTIAL_BYTES_MAX);
    assert_eq!(pair.server.partial_bytes(), 0);
}

#[test]
fn files_tell_what_is_wrong_with_them() {
    let (chain, key) = made(&["a.example"]);
    let (_, other) = made(&["a.example"]);
    let of = |chain: &str, key: &str| {
        let result = Identity::from_pem(chain.as_bytes(), key.as_bytes());
        result.map(|_| ()).expect_err("refused").to_string()
    };
    // Both in one file.
    let both = format!("{key}{chain}");
    let whole = Identity::from_pem(both.as_bytes(), both.as_bytes()).expect("valid");
    assert_eq!(whole.names(), ["a.example"]);
    assert_eq!(of("", &key), "no certificate in it");
    assert_eq!(of(&chain, &chain), "no private key in it");
    assert!(
        of(&chain, &other).contains("KeyMismatch"),
        "{}",
        of(&chain, &other)
    );
    let cut = chain.replace("-----END", "----END");
    assert!(of(&cut, &key).starts_with("no PEM: "), "{}", of(&cut, &key));
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(of(empty, &key).starts_with("no certificate that can be used"));
    assert!(Offer::new(&[], None).is_err());
    let roots = certificates_of(empty.as_bytes()).expect("PEM");
    assert!(Offer::new(&[whole], Some(roots)).is_err());
}
