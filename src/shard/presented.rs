//! Single access tokens that frontends present: each takes a unit of its address'
//! budget until it is known to be right (docs/decisions/0018).

use super::connection::Connection;
use super::io::{Doom, Io, doom};
use crate::limits::{PRESENTERS_GONE_MAX, WRONG_TOKENS_PER_CONNECTION_MAX};
use crate::model::ConnId;

impl Io {
    /// See [`try_present`](crate::hub::Effects::try_present).
    pub(super) fn try_present_token(&mut self, conn: ConnId) -> bool {
        let (max, now_us) = (self.wrong_tokens_max, self.turn_us);
        let Some(connection) = self.connections.get_mut(conn.slot as usize) else {
            return false;
        };
        let guesses = &self.occupancy.frontend_guesses;
        let why = if connection.wrong_tokens >= WRONG_TOKENS_PER_CONNECTION_MAX {
            Doom::Guesses
        } else if !guesses.try_take(connection.from, max, now_us) {
            Doom::AddressGuesses
        } else {
            connection.flags.presenting = true;
            return true;
        };
        doom(connection, why, &mut self.notes);
        false
    }

    /// See [`withdrawn`](crate::hub::Effects::withdrawn). Where it leaves before it
    /// presents the token again, no answer comes.
    pub(super) fn withdraw_token(&mut self, conn: ConnId) {
        let (max, now_us) = (self.wrong_tokens_max, self.turn_us);
        if let Some(connection) = self.get(conn) {
            connection.flags.presenting = false;
            let from = connection.from;
            self.occupancy.frontend_guesses.give_back(from, max, now_us);
        }
    }

    /// See [`presented`](crate::hub::Effects::presented). Whoever has left by now
    /// gets a right one back as well: its address may have others.
    pub(super) fn handle_presented(&mut self, conn: ConnId, right: bool) {
        let from = match self.get(conn) {
            Some(connection) => {
                connection.flags.presenting = false;
                connection.wrong_tokens = match right {
                    true => 0,
                    false => connection.wrong_tokens.saturating_add(1),
                };
                Some(connection.from)
            }
            None => self.presenters_gone.remove(&conn),
        };
        if let Some(from) = from.filter(|_| right) {
            let (max, now_us) = (self.wrong_tokens_max, self.turn_us);
            self.occupancy.frontend_guesses.give_back(from, max, now_us);
        }
    }

    /// The connection is gone; the answer to its token is still to come.
    pub(super) fn remember_presenter(&mut self, connection: &Connection) {
        let counts = connection.flags.presenting && !connection.from.is_exempt();
        if counts && self.presenters_gone.len() < PRESENTERS_GONE_MAX {
            self.presenters_gone.insert(connection.id, connection.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use super::*;
    use crate::mesh;
    use crate::meter::Clock;
    use crate::model::{PeerAddress, Quotas};
    use crate::net::{Driver, Socket};
    use crate::shard::connection::Role;

    struct Rig {
        io: Io,
        listener: TcpListener,
        from: PeerAddress,
    }

    impl Rig {
        /// One shard that lets an address be wrong so often.
        fn new(wrong_tokens_max: u32) -> Self {
            let (mut ports, _) = mesh::build(1).expect("a mesh");
            let port = ports.pop().expect("a port");
            let driver = Driver::new().expect("a ring");
            let clock = Clock::start();
            let mut io = Io::new(driver, port, Arc::default(), Arc::default(), clock);
            io.wrong_tokens_max = wrong_tokens_max;
            Self {
                io,
                listener: TcpListener::bind("127.0.0.1:0").expect("bound"),
                from: PeerAddress::of([192, 0, 2, 1].into()),
            }
        }

        fn connect(&mut self) -> ConnId {
            let addr = self.listener.local_addr().expect("bound");
            let _peer = TcpStream::connect(addr).expect("connected");
            let (server, _) = self.listener.accept().expect("accepted");
            let entered = self.io.occupancy.try_enter(self.from, &Quotas::default());
            entered.expect("a place");
            let socket = Socket::from(OwnedFd::from(server));
            let conn = self.io.insert(socket, Role::Handshake, self.from);
            conn.expect("a slot")
        }

        fn presents_and_leaves(&mut self) -> ConnId {
            let conn = self.connect();
            assert!(self.io.try_present_token(conn));
            self.io.remove(conn);
            conn
        }

        /// Whether its address has nothing left.
        fn is_used_up(&mut self) -> bool {
            let conn = self.connect();
            let left = self.io.try_present_token(conn);
            if left {
                self.io.handle_presented(conn, true);
            }
            self.io.remove(conn);
            !left
        }
    }

    #[test]
    fn a_right_token_is_given_back_to_the_address_of_who_has_left() {
        let mut rig = Rig::new(2);
        let [first, second] = [(); 2].map(|()| rig.presents_and_leaves());
        assert!(rig.is_used_up());
        rig.io.handle_presented(first, true);
        assert!(!rig.is_used_up());
        // Once.
        rig.io.handle_presented(first, true);
        rig.presents_and_leaves();
        assert!(rig.is_used_up());
        rig.io.handle_presented(second, false);
        assert!(rig.is_used_up(), "it was wrong");
        assert_eq!(rig.io.presenters_gone.len(), 1);
    }

    /// The slot is another's by then.
    #[test]
    fn another_in_its_place_is_not_taken_for_it() {
        let mut rig = Rig::new(2);
        let gone = rig.presents_and_leaves();
        let other = rig.connect();
        assert_eq!(gone.slot, other.slot);
        assert!(rig.io.try_present_token(other));
        rig.io.handle_presented(gone, true);
        assert!(rig.io.get(other).expect("there").flags.presenting);
        rig.io.handle_presented(other, true);
        assert!(rig.io.occupancy.frontend_guesses.is_empty());
        assert!(rig.io.presenters_gone.is_empty());
    }

    #[test]
    fn a_token_that_could_not_be_looked_at_costs_nothing_and_is_no_right_one() {
        let mut rig = Rig::new(2);
        let conn = rig.connect();
        rig.io.get(conn).expect("there").wrong_tokens = 3;
        assert!(rig.io.try_present_token(conn));
        rig.io.withdraw_token(conn);
        assert_eq!(rig.io.get(conn).expect("there").wrong_tokens, 3);
        rig.io.remove(conn);
        assert!(rig.io.presenters_gone.is_empty());
        assert!(rig.io.occupancy.frontend_guesses.is_empty());
    }

    #[test]
    fn so_many_are_remembered() {
        let mut rig = Rig::new(PRESENTERS_GONE_MAX as u32 + 2);
        let gone: Vec<ConnId> = (0..=PRESENTERS_GONE_MAX)
            .map(|_| rig.presents_and_leaves())
            .collect();
        assert_eq!(rig.io.presenters_gone.len(), PRESENTERS_GONE_MAX);
        for conn in gone {
            rig.io.handle_presented(conn, true);
        }
        assert!(rig.io.presenters_gone.is_empty());
        // The last one's is not given back.
        assert_eq!(rig.io.occupancy.frontend_guesses.len(), 1);
    }
}
