//! What frontends do, and how they end.

use serde_json::json;
use webrocket::hub::Flow;
use webrocket::model::{ConnId, Peer, Sid, SingleAccessToken, VhostId};

use super::client::{Asked, Client, Message};
use super::{CHANNELS, GUEST, GUEST_CHANNELS, MAIN, Stage, World};

const CLIENTS_MAX: usize = 16;

impl World {
    /// A frontend connects; to the guest where its shard knows it.
    pub(super) fn connect(&mut self) {
        // Whoever is gone meanwhile is not told.
        let told = self.clients.iter().map(|c| c.errors(503)).sum::<usize>() as u64;
        let refused = self.meters.iter().map(|it| it.triggers_refused.count());
        let refused: u64 = refused.sum();
        assert!(refused >= told, "{told} told, {refused} refused");
        let living = self.clients.iter().filter(|client| client.alive).count();
        if living >= CLIENTS_MAX {
            return;
        }
        let at_guest = self.choices.one_in(3);
        let peer = self.new_conn();
        let shard = usize::from(peer.shard);
        if self.stages[shard] == Stage::Serving {
            let guest = self.hubs[shard].registry().vhost(GUEST);
            let vhost = guest.filter(|_| at_guest).unwrap_or(MAIN);
            self.open(peer, vhost, false);
        }
    }

    /// Opens a session; tells its place among all.
    pub(super) fn open(&mut self, peer: Peer, vhost: VhostId, witness: bool) -> usize {
        let shard = usize::from(peer.shard);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number().to_le_bytes());
        let sid = Sid::from_random(bytes);
        let index = self.clients.len();
        self.clients.push(Client::new(peer, vhost, sid, witness));
        self.places.insert((shard, peer.conn.slot), index);
        self.hubs[shard].open(peer.conn, vhost, sid, &mut self.ports[shard]);
        self.take_effects(shard);
        index
    }

    /// A connection breaks.
    pub(super) fn disconnect(&mut self) {
        if let Some(index) = self.pick_client() {
            self.close(index);
        }
    }

    /// A shard closes a frontend's connection.
    pub(super) fn close(&mut self, index: usize) {
        let peer = self.clients[index].peer;
        let shard = usize::from(peer.shard);
        self.clients[index].end();
        self.places.remove(&(shard, peer.conn.slot));
        self.hubs[shard].close(peer.conn, &mut self.ports[shard]);
        self.take_effects(shard);
        self.free(shard, peer.conn);
    }

    /// The frontend on this very connection.
    pub(super) fn client_at(&mut self, shard: usize, conn: ConnId) -> Option<usize> {
        let index = *self.places.get(&(shard, conn.slot))?;
        (self.clients[index].peer.conn == conn).then_some(index)
    }

    /// A frontend stops reading, or goes on.
    pub(super) fn change_pace(&mut self) {
        let Some(index) = self.pick_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if client.reading {
            client.reading = false;
        } else if !client.doomed {
            client.read_on();
        }
    }

    fn pick_client(&mut self) -> Option<usize> {
        let clients = self.clients.iter().enumerate();
        let living = clients.filter(|(_, client)| client.alive && !client.witness);
        let living: Vec<usize> = living.map(|(index, _)| index).collect();
        (!living.is_empty()).then(|| living[self.choices.below(living.len())])
    }

    /// A frontend decides on its next message.
    pub(super) fn plan(&mut self) {
        let Some(index) = self.pick_client() else {
            return;
        };
        let channels = match self.clients[index].vhost {
            MAIN => &CHANNELS[..],
            _ => &GUEST_CHANNELS,
        };
        let channel = channels[self.choices.below(channels.len())];
        let n = self.number();
        match self.choices.below(20) {
            0..6 => {
                // Once hidden, always hidden there: the checker keeps one answer.
                let roll = self.choices.one_in(4);
                let hides = &mut self.clients[index].hides;
                let hidden = *hides.entry(channel).or_insert(roll);
                self.script(index, subscribe(channel, hidden, n));
            }
            6..8 => {
                let text = json!({"unsubscribe": {"channel": channel, "data": {"bye": n}}});
                self.script(index, (text.to_string(), Asked::Unsubscribe { channel }));
            }
            8 => self.authenticate(index),
            9 => self.script(index, ("nonsense".into(), Asked::Nonsense)),
            10 if self.choices.one_in(8) => {
                self.script(index, (json!({"close": {}}).to_string(), Asked::Close));
            }
            10 => {}
            11 => self.script(index, trigger(n)),
            what => {
                // Mostly where it is a subscriber.
                let own = channels.iter().copied();
                let own = own.filter(|it| self.clients[index].subscriptions.contains(*it));
                let own: Vec<_> = own.collect();
                let anywhere = own.is_empty() || self.choices.one_in(4);
                let channel = match anywhere {
                    true => channel,
                    false => own[self.choices.below(own.len())],
                };
                let mut text =
                    json!({"broadcast": {"channel": channel, "event": "said", "data": {"n": n}}});
                let trigger = what == 12;
                if trigger {
                    text["broadcast"]["trigger"] = "work".into();
                }
                let asked = Asked::Broadcast {
                    channel,
                    n,
                    trigger,
                    subscribed: false,
                };
                self.script(index, (text.to_string(), asked));
            }
        }
    }

    pub(super) fn script(&mut self, index: usize, message: Message) {
        self.clients[index].script.push_back(message);
    }

    /// A frontend presents a token: one of its vhost or of the other, fresh or
    /// used; somebody else may be faster.
    fn authenticate(&mut self, index: usize) {
        let token = if self.choices.one_in(3) {
            self.used_tokens.last().copied()
        } else {
            let vhost = self.clients[index].vhost;
            let own = self.tokens.iter().rposition(|&(_, of)| of == vhost);
            let any = self.tokens.len().checked_sub(1);
            let place = if self.choices.one_in(8) { any } else { own };
            place.map(|place| self.tokens.remove(place).0)
        };
        if let Some(token) = token {
            self.present(index, token);
        }
    }

    pub(super) fn present(&mut self, index: usize, token: SingleAccessToken) {
        self.used_tokens.push(token);
        let text = json!({"auth": {"token": token.to_string()}}).to_string();
        self.script(index, (text, Asked::Auth { token }));
    }

    /// A frontend sends its next message.
    pub(super) fn send(&mut self) {
        if let Some(index) = self.pick_client()
            && !self.is_asleep(usize::from(self.clients[index].peer.shard))
        {
            self.send_from(index);
        }
    }

    pub(super) fn send_from(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let peer = client.peer;
        let shard = usize::from(peer.shard);
        if !client.alive || client.doomed || client.waiting || self.ports[shard].is_congested() {
            return false;
        }
        let held = client.held.take();
        let Some((text, mut asked)) = held.or_else(|| client.script.pop_front()) else {
            return false;
        };
        let quota = self.hubs[shard].registry().quota(client.vhost);
        client.ask(&mut asked, quota.subscriptions_max as usize);
        let hub = &mut self.hubs[shard];
        let flow = hub.handle_message(peer.conn, text.as_bytes(), &mut self.ports[shard]);
        // A resume within the call that makes it wait is lost, as on a shard.
        self.take_effects(shard);
        let client = &mut self.clients[index];
        match flow {
            Flow::Retry => client.unask(&asked),
            _ => client.note_handled(&asked),
        }
        match flow {
            Flow::Next => {}
            Flow::Wait => client.waiting = true,
            Flow::Retry => {
                client.waiting = true;
                client.held = Some((text, asked));
                self.totals.count("messages offered again", 1);
            }
            Flow::Close => self.close(index),
        }
        true
    }
}

pub(super) fn subscribe(channel: &'static str, hidden: bool, n: u64) -> Message {
    let text = json!({"subscribe": {"channel": channel, "hidden": hidden, "data": {"n": n}}});
    let granted = 0;
    (text.to_string(), Asked::Subscribe { channel, granted })
}

pub(super) fn trigger(n: u64) -> Message {
    let text = json!({"trigger": {"event": "work", "data": {"n": n}}});
    (text.to_string(), Asked::Trigger { n })
}
