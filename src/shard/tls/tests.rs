//! Who is let in when many are at the door: real sockets and handshakes, with a
//! turn of the pump at a time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::hub::Effects;
use crate::limits::TLS_SEALED_PER_TURN_MAX;
use crate::mesh;
use crate::meter::Clock;
use crate::model::{PeerAddress, Quotas};
use crate::net::Socket;
use crate::shard::Seat;
use crate::tls::{Identity, Offer};

struct Rig {
    pump: Pump,
    acceptor: Acceptor,
    client: Arc<ClientConfig>,
    listener: TcpListener,
    _control: mesh::ControlPort,
}

struct Peer {
    conn: ConnId,
    stream: TcpStream,
    tls: ClientConnection,
}

impl Rig {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).expect("made");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect("valid");
        let offer = Offer::new(&[identity], None).expect("valid");
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (mut ports, control) = mesh::build(1).expect("a mesh");
        let seat = Seat {
            port: ports.pop().expect("a port"),
            meter: Arc::default(),
            quotas: Arc::new(Quotas::default()),
            occupancy: Arc::default(),
            core: None,
            clock: Clock::start(),
            acceptors: None,
        };
        Self {
            pump: Pump::new(seat, Vec::new()).expect("a shard"),
            acceptor: offer.frontends,
            client: Arc::new(client),
            listener: TcpListener::bind("127.0.0.1:0").expect("bound"),
            _control: control,
        }
    }

    /// Connected, and has sent so many bytes of its hello.
    fn peer(&mut self, bytes_max: usize) -> Peer {
        let addr = self.listener.local_addr().expect("bound");
        let mut stream = TcpStream::connect(addr).expect("connected");
        let (server, _) = self.listener.accept().expect("accepted");
        server.set_nonblocking(true).expect("set");
        let socket = Socket::from(OwnedFd::from(server));
        let io = &mut self.pump.io;
        let conn = io.insert(socket, Role::Handshake, PeerAddress::EXEMPT);
        let conn = conn.expect("a slot");
        let acceptor = self.acceptor.clone();
        self.pump.secure(conn, &acceptor);
        let name = ServerName::try_from("a.example").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).expect("written");
        hello.truncate(bytes_max);
        stream.write_all(&hello).expect("sent");
        self.is_readable(conn);
        Peer { conn, stream, tls }
    }

    /// The ring would tell.
    fn is_readable(&mut self, conn: ConnId) {
        self.pump.io.get(conn).expect("there").flags.readable = true;
        self.pump.io.list(conn.slot);
    }

    fn is_costly(&mut self, peer: &Peer) -> bool {
        self.pump.io.get(peer.conn).expect("there").is_costly()
    }

    fn answered(&mut self, peers: &[Peer]) -> usize {
        peers.iter().filter(|peer| !self.is_costly(peer)).count()
    }
}

#[test]
fn so_many_are_answered_in_a_turn_and_those_who_are_gone_take_no_place() {
    let mut rig = Rig::new();
    let gone: Vec<Peer> = (0..20).map(|_| rig.peer(usize::MAX)).collect();
    for peer in &gone {
        rig.pump.lose(peer.conn);
    }
    // Their slots are taken again, by whom they do not bring forward.
    let peers: Vec<Peer> = (0..2 * TLS_HANDSHAKES_PER_TURN_MAX + 1)
        .map(|_| rig.peer(usize::MAX))
        .collect();
    for turn in 1..=2 {
        rig.pump.shake_hands();
        let answered = turn * TLS_HANDSHAKES_PER_TURN_MAX;
        assert_eq!(rig.answered(&peers), answered);
    }
    rig.pump.shake_hands();
    assert_eq!(rig.answered(&peers), peers.len());
    assert!(rig.pump.io.shaking.is_empty());
}

#[test]
fn who_has_not_said_all_of_its_hello_takes_no_place() {
    let mut rig = Rig::new();
    let slow: Vec<Peer> = (0..20).map(|_| rig.peer(40)).collect();
    let peers: Vec<Peer> = (0..TLS_HANDSHAKES_PER_TURN_MAX)
        .map(|_| rig.peer(usize::MAX))
        .collect();
    rig.pump.shake_hands();
    assert_eq!(rig.answered(&peers), peers.len());
    assert_eq!(rig.answered(&slow), 0);
}

#[test]
fn the_end_of_a_handshake_waits_for_nobody_at_the_door() {
    let mut rig = Rig::new();
    let mut first = rig.peer(usize::MAX);
    rig.pump.shake_hands();
    assert!(!rig.is_costly(&first));
    rig.pump.io.flush_outbox(first.conn.slot);
    while first.tls.is_handshaking() {
        first.tls.read_tls(&mut first.stream).expect("an answer");
        first.tls.process_new_packets().expect("records");
    }
    let mut last = Vec::new();
    while first.tls.wants_write() {
        first.tls.write_tls(&mut last).expect("written");
    }
    let crowd: Vec<Peer> = (0..20).map(|_| rig.peer(usize::MAX)).collect();
    first.stream.write_all(&last).expect("sent");
    rig.is_readable(first.conn);
    assert_eq!(rig.pump.io.ready, [first.conn.slot]);
    rig.pump.read_listed(first.conn.slot);
    let connection = rig.pump.io.get(first.conn).expect("there");
    assert!(!connection.is_shaking_hands());
    assert_eq!(rig.answered(&crowd), 0);
    drop(crowd);
    // What is shared counts once it is sealed, to the byte; a turn ends with what passes the bound.
    let (io, slot) = (&mut rig.pump.io, first.conn.slot);
    io.push(slot, b"its own");
    assert_eq!(io.sealed_bytes, 0);
    io.sealed_bytes = TLS_SEALED_PER_TURN_MAX - 3;
    io.deliver(slot, b"ab");
    assert!(!io.is_spent());
    io.deliver(slot, b"c");
    assert!(io.is_spent());
    rig.pump.turn();
    assert_eq!(rig.pump.io.sealed_bytes, 0);
    // It is told goodbye through what is open.
    rig.pump.close_with(first.conn, b"");
    rig.pump.io.flush_outbox(first.conn.slot);
    rig.pump.finish_if_sent(first.conn);
    let mut rest = Vec::new();
    first.stream.read_to_end(&mut rest).expect("an end");
    let mut rest = &rest[..];
    while !rest.is_empty() {
        first.tls.read_tls(&mut rest).expect("the end");
        let state = first.tls.process_new_packets().expect("records");
        assert!(!rest.is_empty() || state.peer_has_closed());
    }
    let mut said = Vec::new();
    first.tls.reader().read_to_end(&mut said).expect("an end");
    assert_eq!(said, b"its ownabc");
}
