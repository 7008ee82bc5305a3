//! The broker's driver in the floor's place.

use std::io;
use std::net::TcpListener;

use webrocket::model::ConnId;
use webrocket::net::{Driver, Event};

use crate::server::Service;

pub(crate) fn run(listener: TcpListener, mut service: Service) -> io::Result<()> {
    let mut driver = Driver::new()?;
    driver.listen(listener, 0)?;
    let mut events = Vec::new();
    loop {
        driver.poll(None, &mut events)?;
        for event in events.drain(..) {
            match event {
                Event::Accepted { socket, .. } => {
                    let place = service.add(socket)?;
                    if let Some(socket) = service.socket(place) {
                        driver.watch(conn(place), socket)?;
                    }
                }
                // Messages are far smaller than the buffer: one read drains the socket.
                Event::Readable(conn) | Event::HungUp(conn) => {
                    if let Some(socket) = service.handle_readable(conn.slot as usize) {
                        driver.unwatch(conn, socket, false);
                    }
                }
                Event::AcceptFailed { error, .. } => return Err(error),
                Event::Writable(_) | Event::Woken => {}
            }
        }
    }
}

fn conn(place: usize) -> ConnId {
    ConnId {
        slot: place as u32,
        generation: 0,
    }
}
