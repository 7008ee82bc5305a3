//! The floor: level-triggered epoll, one `recv` and the `send`s per event.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use webrocket::net::Socket;

use crate::server::Service;

const LISTENER: u64 = u64::MAX;
const EVENTS_PER_WAIT_MAX: usize = 1024;

pub(crate) fn run(listener: &TcpListener, mut service: Service) -> io::Result<()> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poller, listener, LISTENER)?;
    let mut events = Vec::with_capacity(EVENTS_PER_WAIT_MAX);
    loop {
        epoll::wait(&poller, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => accept(listener, &poller, &mut service)?,
                place => drop(service.handle_readable(place as usize)),
            }
        }
    }
}

fn accept(listener: &TcpListener, poller: &OwnedFd, service: &mut Service) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let place = service.add(Socket::from(OwnedFd::from(stream)))?;
    match service.socket(place) {
        Some(socket) => watch(poller, socket, place as u64),
        None => Ok(()),
    }
}

fn watch(poller: &OwnedFd, fd: impl std::os::fd::AsFd, data: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(data);
    Ok(epoll::add(poller, fd, data, epoll::EventFlags::IN)?)
}
