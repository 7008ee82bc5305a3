//! The count of what connections keep, and its bound to the byte.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::*;
use crate::mesh;
use crate::meter::Clock;
use crate::model::{PeerAddress, VhostId};
use crate::net::{Driver, Socket};
use crate::session::Frontend;
use crate::wire::frame::{Opcode, write_client_frame};

struct Rig {
    io: Io,
    listener: TcpListener,
    peers: Vec<TcpStream>,
}

impl Rig {
    fn new(unfinished_bytes_max: usize) -> Self {
        let (mut ports, _) = mesh::build(1).expect("a mesh");
        let port = ports.pop().expect("a port");
        let driver = Driver::new().expect("a ring");
        let clock = Clock::start();
        let mut io = Io::new(driver, port, Arc::default(), Arc::default(), clock);
        io.unfinished_bytes_max = unfinished_bytes_max;
        Self {
            io,
            listener: TcpListener::bind("127.0.0.1:0").expect("bound"),
            peers: Vec::new(),
        }
    }

    fn insert(&mut self, role: Role) -> ConnId {
        let addr = self.listener.local_addr().expect("bound");
        self.peers
            .push(TcpStream::connect(addr).expect("connected"));
        let (server, _) = self.listener.accept().expect("accepted");
        let socket = Socket::from(OwnedFd::from(server));
        let conn = self.io.insert(socket, role, PeerAddress::EXEMPT);
        conn.expect("a slot")
    }

    /// It keeps so many bytes from now on; tells whether it may.
    fn keeps(&mut self, conn: ConnId, bytes: usize) -> bool {
        self.io.get(conn).expect("connected").inbox = Vec::with_capacity(bytes);
        self.io.try_keep(conn)
    }
}

#[test]
fn one_alone_may_keep_what_is_free() {
    let mut rig = Rig::new(1000);
    let conn = rig.insert(Role::Handshake);
    assert!(rig.keeps(conn, 1000));
    assert!(rig.keeps(conn, 0));
    assert!(!rig.keeps(conn, 1001));
    // Who keeps less is let be, however much that is.
    assert!(rig.keeps(conn, 1000));
    assert!(rig.keeps(conn, 1000), "nothing has changed");
    assert_eq!(rig.io.unfinished_bytes, 1000);
    rig.io.remove(conn);
    assert_eq!(rig.io.unfinished_bytes, 0);
}

#[test]
fn the_largest_are_refused_and_the_small_are_not() {
    let mut rig = Rig::new(1000);
    let [first, second, small] = [(); 3].map(|()| rig.insert(Role::Handshake));
    assert!(rig.keeps(first, 500));
    // As it grows it has its old bytes beside the new ones.
    assert!(!rig.keeps(first, 501));
    assert!(rig.keeps(first, 500));
    assert!(!rig.keeps(second, 501));
    rig.io.remove(second);
    let second = rig.insert(Role::Handshake);
    assert!(rig.keeps(second, 450));
    assert!(!rig.keeps(small, 51));
    assert!(rig.keeps(small, 50));
    assert_eq!(rig.io.unfinished_bytes, 1000);
    for conn in [first, second, small] {
        rig.io.remove(conn);
    }
    assert_eq!(rig.io.unfinished_bytes, 0);
}

#[test]
fn a_smaller_bound_closes_nobody_who_grows_no_more() {
    let mut rig = Rig::new(1000);
    let conn = rig.insert(Role::Handshake);
    assert!(rig.keeps(conn, 400));
    let quotas = Quotas {
        unfinished_bytes_max: 100,
        ..Quotas::default()
    };
    rig.io.share_unfinished(&quotas);
    assert_eq!(rig.io.unfinished_bytes_max, 100);
    assert!(rig.io.try_keep(conn));
    assert!(!rig.keeps(conn, 401));
    assert!(rig.keeps(conn, 399));
}

/// Messages of a frontend are kept in three places.
#[test]
fn everything_that_a_frontend_keeps_is_counted() {
    let mut rig = Rig::new(usize::MAX);
    let mut frontend = Frontend::new(VhostId(1), None);
    let mut frame = Vec::new();
    write_client_frame(&mut frame, Opcode::Text, [1, 2, 3, 4], &[b'x'; 300]);
    frame[0] &= 0x7f;
    let mut consumed = 0;
    let next = frontend.reader.next(&mut frame, 1000, &mut consumed);
    assert!(matches!(next, Ok(None)));
    frontend.held = Some(vec![0; 40].into());
    let fragments = frontend.reader.kept_bytes();
    assert!(fragments >= 300, "{fragments}");
    let conn = rig.insert(Role::Frontend(frontend));
    assert!(rig.keeps(conn, 5));
    assert_eq!(rig.io.unfinished_bytes, fragments + 40 + 5);
    // Given out as a message they are there until the next call.
    let mut last = Vec::new();
    write_client_frame(&mut last, Opcode::Continuation, [1, 2, 3, 4], b"");
    let connection = rig.io.get(conn).expect("connected");
    let Role::Frontend(frontend) = &mut connection.role else {
        panic!("a frontend");
    };
    let next = frontend.reader.next(&mut last, 1000, &mut consumed);
    assert!(matches!(next, Ok(Some(_))));
    assert!(rig.io.try_keep(conn));
    assert_eq!(rig.io.unfinished_bytes, fragments + 40 + 5);
    let connection = rig.io.get(conn).expect("connected");
    let Role::Frontend(frontend) = &mut connection.role else {
        panic!("a frontend");
    };
    frontend.held = None;
    let next = frontend.reader.next(&mut [], 1000, &mut consumed);
    assert!(matches!(next, Ok(None)));
    assert!(rig.io.try_keep(conn));
    assert_eq!(rig.io.unfinished_bytes, 5);
}

/// Who closes is told so while it still keeps something; the place is free at once.
#[test]
fn a_role_that_goes_takes_along_what_it_kept() {
    let mut rig = Rig::new(1000);
    let conn = rig.insert(Role::Fresh(crate::session::Fresh::default()));
    assert!(rig.keeps(conn, 1000));
    let connection = rig.io.get(conn).expect("connected");
    connection.role = Role::Closing;
    assert!(rig.keeps(conn, 0));
    assert_eq!(rig.io.unfinished_bytes, 0);
    rig.io.remove(conn);
}
