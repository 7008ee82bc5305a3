//! What control changes: channels, vhosts, quotas, time; and the drain.

use webrocket::hub::Effects;
use webrocket::hub::envelope::ToControl;
use webrocket::model::ShardId;

use super::client::Client;
use super::control::Place;
use super::frontends::subscribe;
use super::{CHANNELS, GUEST, GUEST_CHANNELS, MAIN, Sleep, Stage, World};

impl World {
    /// A new vhost with these channels, each with its witness.
    pub(super) fn add_vhost(&mut self, path: &str, channels: &[&'static str]) {
        let vhost = self.control.add_vhost(path);
        for name in channels {
            self.control.open((vhost, name));
        }
        self.settle();
        for name in channels {
            self.add_witness((vhost, name));
        }
    }

    /// Who is subscribed to the channel before anybody can publish there.
    fn add_witness(&mut self, (vhost, channel): Place) {
        let peer = self.new_conn();
        let index = self.open(peer, vhost, true);
        let token = loop {
            // Some have little time.
            let good = self
                .tokens
                .iter()
                .rposition(|(token, of)| *of == vhost && self.control.is_for_ever(token));
            match good {
                Some(place) => break self.tokens.remove(place).0,
                None => self.ask_for_token_of(vhost),
            }
            self.settle();
        };
        self.present(index, token);
        self.settle();
        self.subscribe_witness(index, channel);
    }

    /// Visible, so that it gets custom events; its own join is in its order.
    fn subscribe_witness(&mut self, index: usize, channel: &'static str) {
        self.script(index, subscribe(channel, false, 0));
        self.settle();
    }

    /// A channel is closed; it opens again with a new witness subscription.
    pub(super) fn change_channels(&mut self) {
        if self.draining || !self.choices.one_in(4) {
            return;
        }
        let channel = CHANNELS[self.choices.below(CHANNELS.len())];
        if self.control.close((MAIN, channel)) {
            self.totals.count("channels closed", 1);
            // Time passes in which it is closed.
            for _ in 0..self.choices.below(60) {
                match self.choices.below(4) {
                    0 => self.send(),
                    1 => self.flush(),
                    2 => self.look_at_notes(),
                    _ => self.carry(),
                }
            }
            // The witness has to be the first subscriber of the new life.
            self.drop_scripts_for(channel);
            self.settle();
            self.control.open((MAIN, channel));
            self.settle();
            let subscribed = |client: &Client| {
                client.witness && client.vhost == MAIN && client.last_channel() == Some(channel)
            };
            let witness = self.clients.iter().position(subscribed);
            self.subscribe_witness(witness.expect("a witness"), channel);
        }
    }

    fn drop_scripts_for(&mut self, channel: &str) {
        let name = format!("\"channel\":\"{channel}\"");
        for client in &mut self.clients {
            client.script.retain(|(text, _)| !text.contains(&name));
        }
    }

    /// The guest comes, or goes with all that is in it.
    pub(super) fn change_vhosts(&mut self) {
        if self.draining {
            return;
        }
        let there = self.control.vhosts.iter().rev();
        let there = there.filter(|&(&id, &(_, there))| there && id != MAIN);
        match there.map(|(&id, _)| id).next() {
            None => self.add_vhost(GUEST, &GUEST_CHANNELS),
            Some(guest) if self.choices.one_in(3) => {
                self.control.delete_vhost(guest);
                self.totals.count("vhosts deleted", 1);
            }
            Some(_) => {}
        }
    }

    /// The clock goes on; a shard looks at it, or only later.
    pub(super) fn pass_time(&mut self) {
        self.control.now_ms += 25 * self.choices.below(10) as u64;
        let shard = self.pick_shard();
        if !self.is_asleep(shard) {
            self.look_at_clock(shard);
        }
    }

    pub(super) fn look_at_clock(&mut self, shard: usize) {
        let (now_ms, port) = (self.control.now_ms, &mut self.ports[shard]);
        port.now_ms = now_ms;
        self.hubs[shard].set_time(now_ms, now_ms * 1000, port);
    }

    /// A shard's wake-up is late, or lost.
    pub(super) fn fall_asleep(&mut self) {
        let shard = self.pick_shard();
        self.sleep[shard] = if self.choices.one_in(8) {
            Sleep::Lost
        } else {
            Sleep::Late(1 + self.choices.below(80))
        };
        self.totals.count("wake-ups late or lost", 1);
    }

    pub(super) fn sleep_on(&mut self) {
        for sleep in &mut self.sleep {
            *sleep = match *sleep {
                Sleep::Late(steps) if steps > 1 => Sleep::Late(steps - 1),
                Sleep::Lost => Sleep::Lost,
                _ => Sleep::Awake,
            };
        }
    }

    pub(super) fn is_asleep(&self, shard: usize) -> bool {
        self.sleep[shard] != Sleep::Awake
    }

    /// Control probes, replaces quotas, or, at last, drains.
    pub(super) fn change_node(&mut self) {
        match self.choices.below(40) {
            0..20 => {
                self.control.probe();
                self.sleep.fill(Sleep::Awake);
            }
            20..39 => {
                let subscriptions_max = 1 + self.choices.below(CHANNELS.len());
                self.control.replace_quotas(subscriptions_max);
                self.totals.count("quotas replaced", 1);
            }
            _ => self.drain(),
        }
    }

    fn drain(&mut self) {
        if self.draining || !self.choices.one_in(2) {
            return;
        }
        self.draining = true;
        self.totals.count("drains", 1);
        self.control.drain();
    }

    /// A shard that drains sends its next frontend away, and says when none is left.
    pub(super) fn take_leave(&mut self, shard: usize) -> bool {
        if self.stages[shard] != Stage::Draining {
            return false;
        }
        let of_shard = |client: &Client| client.alive && usize::from(client.peer.shard) == shard;
        if let Some(index) = self.clients.iter().position(of_shard) {
            self.close(index);
            return true;
        }
        if self.owes(shard) {
            return false;
        }
        self.stages[shard] = Stage::Drained;
        let shard = shard as ShardId;
        let drained = ToControl::Drained { shard };
        self.ports[usize::from(shard)].control(drained);
        true
    }
}
