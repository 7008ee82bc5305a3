use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::*;
use crate::limits::{
    ACCEPTS_PER_TURN_MAX, COMPLETIONS_PER_TURN_MAX, CONNECTIONS_PER_SHARD_MAX, KEEPALIVE_IDLE,
    KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, LISTEN_BACKLOG_CONNECTIONS, LISTENERS_PER_SHARD_MAX,
    UNACKNOWLEDGED_TIMEOUT,
};
use crate::model::ConnId;
use crate::sys::EventFd;

/// Long past anything that works; only a broken driver waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn conn(slot: u32, generation: u32) -> ConnId {
    ConnId { slot, generation }
}

fn any_port() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

/// A driver with a listener, and events kept until a test asks for them.
struct Rig {
    driver: Driver,
    addr: SocketAddr,
    events: Vec<Event>,
}

impl Rig {
    fn new() -> Self {
        Self::with_driver(Driver::new().expect("io_uring"))
    }

    fn with_driver(mut driver: Driver) -> Self {
        let listener = bind_all(any_port(), 1).expect("bound").remove(0);
        let addr = listener.local_addr().expect("bound");
        driver.listen(listener, 7).expect("room");
        Self {
            driver,
            addr,
            events: Vec::new(),
        }
    }

    /// The first event that `pick` wants; the others stay.
    fn wait_for<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> (T, Event) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self
                .events
                .iter()
                .enumerate()
                .find_map(|(at, event)| Some((at, pick(event)?)));
            if let Some((at, picked)) = found {
                return (picked, self.events.remove(at));
            }
            assert!(Instant::now() < deadline, "never came: {:?}", self.events);
            self.driver
                .poll(Some(Duration::from_secs(1)), &mut self.events)
                .expect("polled");
        }
    }

    fn wait_readable(&mut self, conn: ConnId) {
        self.wait_for(|event| matches!(event, Event::Readable(of) if *of == conn).then_some(()));
    }

    fn wait_hung_up(&mut self, conn: ConnId) {
        self.wait_for(|event| matches!(event, Event::HungUp(of) if *of == conn).then_some(()));
    }

    fn wait_writable(&mut self, conn: ConnId) {
        self.wait_for(|event| matches!(event, Event::Writable(of) if *of == conn).then_some(()));
    }

    /// A connection from a plain client, not watched yet.
    fn accept(&mut self) -> (TcpStream, Socket) {
        let client = TcpStream::connect(self.addr).expect("connected");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        let ((), event) =
            self.wait_for(|event| matches!(event, Event::Accepted { .. }).then_some(()));
        let Event::Accepted { listener, socket } = event else {
            unreachable!("picked above")
        };
        assert_eq!(listener, 7);
        (client, socket)
    }

    fn accept_watched(&mut self, conn: ConnId) -> (TcpStream, Socket) {
        let (client, socket) = self.accept();
        self.driver.watch(conn, &socket).expect("room");
        (client, socket)
    }

    /// Polls until nothing more is under way.
    fn settle(&mut self) {
        loop {
            let before = self.events.len();
            self.driver
                .poll(Some(Duration::from_millis(20)), &mut self.events)
                .expect("polled");
            if self.events.len() == before {
                return;
            }
        }
    }

    fn events_of(&self, wanted: ConnId) -> usize {
        self.events
            .iter()
            .filter(|event| match event {
                Event::Readable(conn) | Event::HungUp(conn) | Event::Writable(conn) => {
                    *conn == wanted
                }
                _ => false,
            })
            .count()
    }
}

fn read_all(socket: &Socket) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Recv::Bytes(count) = socket.recv(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    bytes
}

/// Sends until the socket takes no more; tells how many bytes it took.
fn fill(socket: &Socket) -> usize {
    let chunk = [b'x'; 64 * 1024];
    let mut total = 0;
    while let Sent::Bytes(count) = socket.send(&chunk) {
        total += count;
    }
    total
}

#[test]
fn accepts_reads_writes_and_closes() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    socket.tune().expect("tuned");
    assert_eq!(socket.peer_addr(), client.local_addr().ok());

    client.write_all(b"ping").expect("written");
    rig.wait_readable(conn(0, 0));
    assert_eq!(read_all(&socket), b"ping");
    assert!(matches!(socket.recv(&mut [0; 8]), Recv::Empty));

    assert!(matches!(socket.send(b"pong"), Sent::Bytes(4)));
    let mut answer = [0; 4];
    client.read_exact(&mut answer).expect("answered");
    assert_eq!(&answer, b"pong");

    // A second message is announced by the same poll.
    client.write_all(b"again").expect("written");
    rig.wait_readable(conn(0, 0));
    assert_eq!(read_all(&socket), b"again");

    rig.driver.unwatch(conn(0, 0), socket, false);
    rig.settle();
    assert_eq!(client.read(&mut answer).expect("the end"), 0);
}

#[test]
fn bytes_that_came_before_the_watch_are_announced() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept();
    client.write_all(b"early").expect("written");
    rig.driver.watch(conn(3, 1), &socket).expect("room");
    rig.wait_readable(conn(3, 1));
    assert_eq!(read_all(&socket), b"early");
}

#[test]
fn the_end_is_announced() {
    let mut rig = Rig::new();
    let (client, socket) = rig.accept_watched(conn(0, 0));
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("shut down");
    rig.wait_hung_up(conn(0, 0));
    assert!(matches!(socket.recv(&mut [0; 8]), Recv::Ended));
}

#[test]
fn an_end_that_comes_with_bytes_is_announced() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept();
    client.write_all(b"last").expect("written");
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("shut down");
    rig.driver.watch(conn(0, 0), &socket).expect("room");
    rig.wait_hung_up(conn(0, 0));
    assert_eq!(read_all(&socket), b"last");
    assert!(matches!(socket.recv(&mut [0; 8]), Recv::Ended));
}

#[test]
fn a_reset_is_announced_and_fails() {
    let mut rig = Rig::new();
    let (client, socket) = rig.accept_watched(conn(0, 0));
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .expect("set");
    drop(client);
    rig.wait_hung_up(conn(0, 0));
    assert!(matches!(socket.recv(&mut [0; 8]), Recv::Failed(_)));
    assert!(matches!(socket.send(b"x"), Sent::Failed(_)));
}

#[test]
fn a_closed_peer_sees_the_end_although_the_polls_held_the_file() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    fill(&socket);
    rig.driver
        .watch_writable(conn(0, 0), &socket)
        .expect("room");
    rig.settle();
    rig.driver.unwatch(conn(0, 0), socket, true);
    rig.settle();
    // Reading to the end blocks unless the FIN came.
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the end");
    assert!(!rest.is_empty());
}

#[test]
fn reset_on_close_resets() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    rig.settle();
    socket.reset_on_close();
    rig.driver.unwatch(conn(0, 0), socket, false);
    rig.settle();
    let error = client.read(&mut [0; 8]).expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A peer that vanishes is given up in three minutes, silent or owing.
#[test]
fn a_tuned_socket_has_the_kernel_notice_who_is_gone() {
    let mut rig = Rig::new();
    let (_client, socket) = rig.accept_watched(conn(0, 0));
    socket.tune().expect("tuned");
    let options = socket2::SockRef::from(&socket);
    let is = |value: std::io::Result<Duration>| value.expect("an option");
    assert!(options.keepalive().expect("an option"));
    assert_eq!(is(options.tcp_keepalive_time()), KEEPALIVE_IDLE);
    assert_eq!(is(options.tcp_keepalive_interval()), KEEPALIVE_INTERVAL);
    let probes = options.tcp_keepalive_retries().expect("an option");
    assert_eq!(probes, KEEPALIVE_PROBES);
    let unacknowledged = options.tcp_user_timeout().expect("an option");
    assert_eq!(unacknowledged, Some(UNACKNOWLEDGED_TIMEOUT));
    assert!(options.tcp_nodelay().expect("an option"));
    rig.driver.unwatch(conn(0, 0), socket, false);
}

/// As many wait at a listener as the system lets: our own bound is not less than
/// what the tuning files set (tuning/README.md, somaxconn).
#[test]
fn a_listener_has_the_backlog_that_the_system_grants() {
    let listener = bind_all(any_port(), 1).expect("bound").remove(0);
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
    let granted: u32 = text.trim().parse().expect("a number");
    let bound = LISTEN_BACKLOG_CONNECTIONS.unsigned_abs();
    // Of a listener `tcpi_sacked` is the length that its queue may have.
    assert_eq!(tcp_info(&listener).tcpi_sacked, granted.min(bound));
    let tuned = include_str!("../../tuning/90-webrocket.conf");
    assert!(tuned.contains(&format!("net.core.somaxconn = {bound}\n")));
}

fn tcp_info(socket: &impl AsRawFd) -> libc::tcp_info {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: pointer and length are those of `info`, which lives through the call
    // and is all zeros where an older kernel writes less; numbers all of them, so
    // that any bytes are a value.
    let (result, info) = unsafe {
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        (result, info.assume_init())
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    info
}

#[test]
fn shutdown_write_ends_one_direction() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    assert!(matches!(socket.send(b"bye"), Sent::Bytes(3)));
    socket.shutdown_write();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"bye");
    client.write_all(b"still here").expect("written");
    rig.wait_readable(conn(0, 0));
    assert_eq!(read_all(&socket), b"still here");
}

#[test]
fn completions_of_an_earlier_generation_never_surface() {
    let mut rig = Rig::new();
    let (mut old_client, old) = rig.accept_watched(conn(0, 0));
    rig.settle();
    rig.events.clear();
    // Under way when the slot changes hands: the bytes have come, the
    // completion waits in the kernel, and nobody has polled since.
    old_client.write_all(b"late").expect("written");
    rig.driver.unwatch(conn(0, 0), old, false);
    let (mut new_client, new) = rig.accept_watched(conn(0, 1));
    rig.settle();
    assert_eq!(rig.events_of(conn(0, 0)), 0);
    assert_eq!(rig.events_of(conn(0, 1)), 0);

    new_client.write_all(b"new").expect("written");
    rig.wait_readable(conn(0, 1));
    assert_eq!(read_all(&new), b"new");
    // Unwatching a generation that has gone already leaves the present one alone.
    let (_, unwatched) = rig.accept();
    rig.driver.unwatch(conn(0, 0), unwatched, false);
    new_client.write_all(b"newer").expect("written");
    rig.wait_readable(conn(0, 1));
    assert_eq!(read_all(&new), b"newer");
}

#[test]
fn a_poll_whose_completion_is_under_way_still_ends_with_unwatch() {
    let mut rig = Rig::new();
    for round in 0..50 {
        let (mut client, socket) = rig.accept_watched(conn(0, round));
        rig.settle();
        client.write_all(b"under way").expect("written");
        // Read what came, or the close would reset instead of ending.
        while read_all(&socket).is_empty() {}
        rig.driver.unwatch(conn(0, round), socket, false);
        rig.settle();
        assert_eq!(client.read(&mut [0; 8]).expect("the end"), 0);
    }
}

#[test]
fn a_full_socket_turns_writable() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    let sent = fill(&socket);
    rig.driver
        .watch_writable(conn(0, 0), &socket)
        .expect("room");
    rig.settle();
    assert_eq!(rig.events_of(conn(0, 0)), 0, "writable though full");
    let mut drained = vec![0; sent];
    client.read_exact(&mut drained).expect("drained");
    rig.wait_writable(conn(0, 0));
    assert!(matches!(socket.send(b"more"), Sent::Bytes(4)));
    // Once only.
    rig.settle();
    assert_eq!(rig.events_of(conn(0, 0)), 0);
}

#[test]
fn wakes_from_another_thread_as_often_as_it_rings() {
    let mut rig = Rig::new();
    let event = EventFd::new().expect("eventfd");
    rig.driver.watch_wakeups(&event).expect("first");
    assert!(rig.driver.watch_wakeups(&event).is_err());
    for _ in 0..3 {
        let event = event.clone();
        let ringer = std::thread::spawn(move || event.notify());
        rig.wait_for(|event| matches!(event, Event::Woken).then_some(()));
        ringer.join().expect("rang");
        rig.settle();
        rig.events.clear();
    }
}

#[test]
fn a_zero_timeout_does_not_wait() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        rig.driver.poll(AT_ONCE, &mut rig.events).expect("polled");
    }
    assert!(rig.events.is_empty());
}

#[test]
fn connects_from_a_chosen_address() {
    let mut rig = Rig::new();
    let from: IpAddr = Ipv4Addr::new(127, 0, 0, 9).into();
    let socket = connect(rig.addr, Some(from)).expect("begun");
    rig.driver.watch(conn(4, 0), &socket).expect("room");
    rig.driver
        .watch_writable(conn(4, 0), &socket)
        .expect("room");
    rig.wait_writable(conn(4, 0));
    socket.take_error().expect("connected");
    let ((), event) = rig.wait_for(|event| matches!(event, Event::Accepted { .. }).then_some(()));
    let Event::Accepted { socket: other, .. } = event else {
        unreachable!("picked above")
    };
    assert_eq!(other.peer_addr().map(|addr| addr.ip()), Some(from));
}

#[test]
fn a_refused_connect_shows_its_error() {
    let mut rig = Rig::new();
    let nobody = {
        let listener = std::net::TcpListener::bind(any_port()).expect("bound");
        listener.local_addr().expect("bound")
    };
    match connect(nobody, None) {
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        Ok(socket) => {
            rig.driver.watch(conn(4, 0), &socket).expect("room");
            rig.driver
                .watch_writable(conn(4, 0), &socket)
                .expect("room");
            rig.wait_writable(conn(4, 0));
            let error = socket.take_error().expect_err("refused");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    }
}

#[test]
fn stop_listening_refuses_new_connections() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    rig.driver.stop_listening();
    rig.settle();
    assert!(TcpStream::connect(rig.addr).is_err());
    // Connections go on, and the driver can listen anew.
    client.write_all(b"still").expect("written");
    rig.wait_readable(conn(0, 0));
    assert_eq!(read_all(&socket), b"still");
    let listener = bind_all(rig.addr, 1).expect("free again").remove(0);
    rig.driver.listen(listener, 7).expect("room");
    rig.accept();
}

#[test]
fn listeners_and_slots_are_bounded() {
    let mut rig = Rig::new();
    for _ in 1..LISTENERS_PER_SHARD_MAX {
        let listener = bind_all(any_port(), 1).expect("bound").remove(0);
        rig.driver.listen(listener, 1).expect("within the bound");
    }
    let listener = bind_all(any_port(), 1).expect("bound").remove(0);
    assert!(rig.driver.listen(listener, 1).is_err());

    let (_client, socket) = rig.accept();
    let past = conn(CONNECTIONS_PER_SHARD_MAX as u32, 0);
    assert!(rig.driver.watch(past, &socket).is_err());
    assert!(rig.driver.watch_writable(past, &socket).is_err());
}

#[test]
fn full_queues_lose_nothing() {
    const CONNECTIONS: u32 = 100;
    // Far fewer entries than operations, so that submissions wait and polls
    // are ended by the kernel.
    let mut rig = Rig::with_driver(Driver::with_entries(2, 4).expect("io_uring"));
    let mut pairs = Vec::new();
    for slot in 0..CONNECTIONS {
        pairs.push(rig.accept_watched(conn(slot, 0)));
    }
    for round in 0..5_u8 {
        for (client, _) in &mut pairs {
            client.write_all(&[round]).expect("written");
        }
        for (slot, (_, socket)) in (0..).zip(&pairs) {
            rig.wait_readable(conn(slot, 0));
            assert_eq!(read_all(socket), [round], "slot {slot}");
        }
        rig.settle();
        rig.events.clear();
    }
    let clients: Vec<TcpStream> = (0..)
        .zip(pairs)
        .map(|(slot, (client, socket))| {
            rig.driver.unwatch(conn(slot, 0), socket, false);
            client
        })
        .collect();
    rig.settle();
    for mut client in clients {
        assert_eq!(client.read(&mut [0; 8]).expect("the end"), 0);
    }
}

#[test]
fn a_turn_hands_out_no_more_than_its_bound() {
    let mut rig = Rig::new();
    let mut pairs = Vec::new();
    let count = COMPLETIONS_PER_TURN_MAX as u32 + 8;
    for slot in 0..count {
        pairs.push(rig.accept_watched(conn(slot, 0)));
    }
    rig.settle();
    rig.events.clear();
    for (client, _) in &mut pairs {
        client.write_all(b"x").expect("written");
    }
    let mut seen = 0;
    let mut largest = 0;
    while seen < count as usize {
        rig.driver
            .poll(Some(PATIENCE), &mut rig.events)
            .expect("polled");
        assert!(rig.events.len() <= COMPLETIONS_PER_TURN_MAX);
        largest = largest.max(rig.events.len());
        seen += rig.events.len();
        rig.events.clear();
    }
    // A turn gathers what is ready instead of the kernel's twenty a call.
    assert!(largest > 100, "only {largest} events in one turn");
}

#[test]
fn a_turn_accepts_few_and_goes_on_with_the_others() {
    let mut rig = Rig::new();
    let (mut client, socket) = rig.accept_watched(conn(0, 0));
    rig.settle();
    let crowd = 4 * ACCEPTS_PER_TURN_MAX;
    let crowd: Vec<_> = (0..crowd)
        .map(|_| TcpStream::connect(rig.addr).expect("connected"))
        .collect();
    client.write_all(b"x").expect("written");
    let (mut accepted, mut turns) = (0, 0);
    let mut read_in = None;
    while accepted < crowd.len() || read_in.is_none() {
        rig.events.clear();
        rig.driver
            .poll(Some(PATIENCE), &mut rig.events)
            .expect("polled");
        let of_turn = rig.events.iter();
        let of_turn = of_turn.filter(|event| matches!(event, Event::Accepted { .. }));
        let of_turn = of_turn.count();
        assert!(of_turn <= ACCEPTS_PER_TURN_MAX, "{of_turn} in one turn");
        accepted += of_turn;
        turns += 1;
        let read = |event: &Event| matches!(event, Event::Readable(_));
        if rig.events.iter().any(read) {
            read_in.get_or_insert(turns);
        }
    }
    assert!(turns >= 4, "{turns} turns");
    assert_eq!(read_in, Some(1), "it does not wait for the crowd");
    drop((socket, crowd));
}

#[test]
fn dropping_the_driver_closes_connections_that_nobody_took() {
    let mut rig = Rig::new();
    let mut client = TcpStream::connect(rig.addr).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    rig.driver.poll(AT_ONCE, &mut rig.events).expect("polled");
    drop(rig);
    let closed = match client.read(&mut [0; 8]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(closed);
}

mod outbox;
