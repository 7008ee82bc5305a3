use proptest::prelude::*;

use std::io::Read as _;

use super::*;
use crate::limits::{OUTBOX_BYTES_MAX, SPARE_BUFFER_BYTES_MAX};

/// Two ends of one connection.
fn pair() -> (Socket, TcpStream) {
    let listener = std::net::TcpListener::bind(any_port()).expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    let (server, _) = listener.accept().expect("accepted");
    (Socket::from(std::os::fd::OwnedFd::from(server)), client)
}

#[test]
fn takes_deliveries_up_to_its_bound() {
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    let all_but_one = vec![0; OUTBOX_BYTES_MAX - 1];
    assert_eq!(
        outbox.try_push(&all_but_one, OUTBOX_BYTES_MAX, &mut spare),
        Ok(())
    );
    assert_eq!(
        outbox.try_push(b"ab", OUTBOX_BYTES_MAX, &mut spare),
        Err(OutboxFull)
    );
    assert_eq!(outbox.try_push(b"a", OUTBOX_BYTES_MAX, &mut spare), Ok(()));
    assert_eq!(outbox.len(), OUTBOX_BYTES_MAX);
    assert_eq!(
        outbox.try_push(b"a", OUTBOX_BYTES_MAX, &mut spare),
        Err(OutboxFull)
    );
    // Replies pass; the connection is not read meanwhile.
    outbox.push(b"reply", &mut spare);
    assert_eq!(outbox.len(), OUTBOX_BYTES_MAX + 5);
    assert_eq!(
        outbox.try_push(b"a", OUTBOX_BYTES_MAX, &mut spare),
        Err(OutboxFull)
    );
}

#[test]
fn a_lowered_bound_holds_for_what_is_queued() {
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    assert_eq!(outbox.try_push(b"four", 4, &mut spare), Ok(()));
    assert_eq!(outbox.try_push(b"s", 4, &mut spare), Err(OutboxFull));
    assert_eq!(outbox.try_push(b"", 3, &mut spare), Ok(()));
    assert_eq!(outbox.try_push(b"s", 3, &mut spare), Err(OutboxFull));
    assert_eq!(outbox.try_push(b"s", 5, &mut spare), Ok(()));
    assert_eq!(outbox.len(), 5);
}

#[test]
fn replies_take_no_room_from_deliveries() {
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    outbox.push(&vec![0; 2 * OUTBOX_BYTES_MAX], &mut spare);
    let most = vec![0; OUTBOX_BYTES_MAX];
    assert_eq!(outbox.try_push(&most, OUTBOX_BYTES_MAX, &mut spare), Ok(()));
    assert_eq!(
        outbox.try_push(b"a", OUTBOX_BYTES_MAX, &mut spare),
        Err(OutboxFull)
    );
    // Sent or given up, they count no longer.
    outbox.clear(&mut spare);
    assert_eq!(outbox.try_push(&most, OUTBOX_BYTES_MAX, &mut spare), Ok(()));
    assert_eq!(
        outbox.try_push(b"a", OUTBOX_BYTES_MAX, &mut spare),
        Err(OutboxFull)
    );
}

#[test]
fn owns_nothing_while_empty() {
    let (socket, _client) = pair();
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    outbox.push(b"", &mut spare);
    assert!(outbox.is_empty());
    outbox.push(b"bytes", &mut spare);
    assert!(matches!(outbox.flush(&socket, &mut spare), Flushed::Empty));
    assert!(outbox.is_empty());
    // Its buffer went back: it is the next one taken.
    assert!(spare.take().capacity() >= 5);
}

#[test]
fn a_lost_connection_fails_and_frees_the_queue() {
    let (socket, client) = pair();
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    fill(&socket);
    outbox.push(b"bytes", &mut spare);
    assert!(matches!(
        outbox.flush(&socket, &mut spare),
        Flushed::Blocked
    ));
    assert_eq!(outbox.len(), 5);
    drop(client);
    assert!(matches!(
        outbox.flush(&socket, &mut spare),
        Flushed::Failed(_)
    ));
    assert!(outbox.is_empty());
}

#[test]
fn memory_stays_within_a_small_multiple_of_what_is_queued() {
    let (socket, mut client) = pair();
    let mut spare = Spare::new();
    let mut outbox = Outbox::new();
    let chunk = [b'c'; 4096];
    let mut drained = vec![0; 64 * 1024];
    // A consumer that is always a little behind must not grow the queue.
    for _ in 0..2000 {
        outbox.push(&chunk, &mut spare);
        while outbox.len() > 256 * 1024 {
            if matches!(outbox.flush(&socket, &mut spare), Flushed::Blocked) {
                let _ = client.read(&mut drained).expect("drained");
            }
        }
        assert!(outbox.bytes_reserved() <= 4 * 512 * 1024);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever mix of pushes, flushes and drains: the peer reads exactly what
    /// was pushed, in order.
    #[test]
    fn bytes_arrive_in_order(steps in prop::collection::vec((0..40_000_usize, 0..3_u8), 1..60)) {
        // A Unix socket with a small buffer: most sends are short, and none
        // waits for a delayed acknowledgement as TCP's would.
        let (server, mut client) = std::os::unix::net::UnixStream::pair().expect("pair");
        let socket = Socket::from(std::os::fd::OwnedFd::from(server));
        socket2::SockRef::from(&socket).set_send_buffer_size(16 * 1024).expect("set");
        let mut spare = Spare::new();
        let mut outbox = Outbox::new();
        let mut pushed = 0_usize;
        let mut read = 0_usize;
        let mut drained = vec![0; SPARE_BUFFER_BYTES_MAX];
        for (size, action) in steps {
            match action {
                0 => {
                    let bytes: Vec<u8> = (pushed..pushed + size).map(|at| (at % 251) as u8).collect();
                    outbox.push(&bytes, &mut spare);
                    pushed += size;
                }
                1 => {
                    let flushed = outbox.flush(&socket, &mut spare);
                    prop_assert!(!matches!(flushed, Flushed::Failed(_)));
                    prop_assert_eq!(outbox.is_empty(), matches!(flushed, Flushed::Empty));
                }
                _ if pushed - outbox.len() > read => {
                    let count = client.read(&mut drained).expect("drained");
                    check(&drained[..count], read);
                    read += count;
                }
                _ => {}
            }
        }
        while read < pushed {
            outbox.flush(&socket, &mut spare);
            let count = client.read(&mut drained).expect("drained");
            check(&drained[..count], read);
            read += count;
        }
        prop_assert!(outbox.is_empty());
    }
}

fn check(bytes: &[u8], from: usize) {
    for (at, byte) in (from..).zip(bytes) {
        assert_eq!(*byte, (at % 251) as u8, "byte {at}");
    }
}
