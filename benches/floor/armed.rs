//! What the kernel keeps for an idle connection that a ring waits for: with a
//! multishot poll, as the driver does, and with a multishot receive.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};

use crate::machine;
use crate::peers::pair;

/// What waits for the first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Poll,
    Receive,
}

const ENTRIES: u32 = 1024;

/// Receives take their buffers from this group.
const GROUP: u16 = 0;
const BUFFERS: u16 = 16;
const BUFFER_BYTES: i32 = 4096;

/// Armed before the measured ones, so that the ring has its caches.
const WARM_UP: usize = 100;

/// Bytes of the kernel beyond the sockets themselves, for each of so many connections.
pub(crate) fn bytes_each(wait: Wait, connections: usize) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let pairs = (0..WARM_UP + connections)
        .map(|_| pair(&listener))
        .collect::<io::Result<Vec<_>>>()?;
    // Outlives the ring, which is dropped first.
    let mut buffers = vec![0_u8; usize::from(BUFFERS) * BUFFER_BYTES as usize];
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES)?;
    let provide =
        opcode::ProvideBuffers::new(buffers.as_mut_ptr(), BUFFER_BYTES, BUFFERS, GROUP, 0);
    push(&mut ring, &provide.build())?;
    ring.submit_and_wait(1)?;
    if ring.completion().next().is_none_or(|it| it.result() < 0) {
        return Err(io::Error::other("no buffers provided"));
    }
    let (warm, measured) = pairs.split_at(WARM_UP);
    arm(&mut ring, wait, warm)?;
    let before = machine::socket_bytes()?;
    arm(&mut ring, wait, measured)?;
    let grown = machine::socket_bytes()?.saturating_sub(before);
    // Nothing has happened, so all of them wait.
    if let Some(ended) = ring.completion().next() {
        return Err(io::Error::from_raw_os_error(-ended.result()));
    }
    drop(ring);
    drop(buffers);
    Ok(grown as f64 / connections as f64)
}

fn arm(ring: &mut IoUring, wait: Wait, pairs: &[[TcpStream; 2]]) -> io::Result<()> {
    for [_, server] in pairs {
        let fd = Fd(server.as_raw_fd());
        let entry = match wait {
            Wait::Poll => opcode::PollAdd::new(fd, libc::POLLIN as u32)
                .multi(true)
                .build(),
            Wait::Receive => opcode::RecvMulti::new(fd, GROUP).build(),
        };
        push(ring, &entry)?;
    }
    ring.submit()?;
    Ok(())
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    if ring.submission().is_full() {
        ring.submit()?;
    }
    // SAFETY: polls and receives name descriptors that their caller keeps open past
    // the ring; the only memory named is that of the provided buffers, which nobody
    // else looks at and which is dropped behind the ring.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)
}
