use crate::model::Peer;

/// The ready workers of a vhost, as this shard walks them: strict round robin
/// in the order in which they joined ([WK-15..18, WK-20]).
#[derive(Default)]
pub(super) struct Lobby {
    workers: Vec<Peer>,
    next: usize,
}

impl Lobby {
    pub(super) fn join(&mut self, worker: Peer) {
        if !self.workers.contains(&worker) {
            self.workers.push(worker);
        }
    }

    /// Takes the worker out of the cycle; whose turn it is does not change.
    pub(super) fn leave(&mut self, worker: Peer) {
        let Some(place) = self.workers.iter().position(|&w| w == worker) else {
            return;
        };
        self.workers.remove(place);
        if place < self.next {
            self.next -= 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The worker whose turn it is.
    pub(super) fn peek(&self) -> Option<Peer> {
        self.workers
            .get(self.next)
            .or(self.workers.first())
            .copied()
    }

    /// Passes the turn on.
    pub(super) fn advance(&mut self) {
        let served = if self.next < self.workers.len() {
            self.next
        } else {
            0
        };
        self.next = served + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConnId;

    fn worker(slot: u32) -> Peer {
        Peer {
            shard: 0,
            conn: ConnId {
                slot,
                generation: 0,
            },
        }
    }

    fn turns(lobby: &mut Lobby, count: usize) -> Vec<u32> {
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.extend(lobby.peek().map(|worker| worker.conn.slot));
            lobby.advance();
        }
        slots
    }

    #[test]
    fn serves_strictly_in_turn_wk_15() {
        let mut lobby = Lobby::default();
        assert_eq!(lobby.peek(), None);
        lobby.advance();
        (0..3).for_each(|slot| lobby.join(worker(slot)));
        lobby.join(worker(1));
        lobby.next = 0;
        assert_eq!(turns(&mut lobby, 5), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_cycle_goes_on_as_workers_come_and_go_wk_20() {
        let mut lobby = Lobby::default();
        (0..3).for_each(|slot| lobby.join(worker(slot)));
        assert_eq!(turns(&mut lobby, 2), [0, 1]);
        lobby.leave(worker(0));
        assert_eq!(turns(&mut lobby, 2), [2, 1]);
        lobby.join(worker(4));
        assert_eq!(turns(&mut lobby, 3), [2, 4, 1]);
        lobby.leave(worker(4));
        lobby.leave(worker(9));
        assert_eq!(turns(&mut lobby, 2), [2, 1]);
    }
}
