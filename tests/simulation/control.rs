//! Control as the hubs see it: one writer, changes in one order, an answer once
//! every shard has applied them.

use std::collections::{BTreeMap, VecDeque};

use webrocket::hub::envelope::{Ask, Bearer, Change, Delivery, Outcome, ToControl};
use webrocket::hub::home_of_token;
use webrocket::model::{ChannelId, ChannelName, Peer, ShardId, SingleAccessToken, VhostId};

pub(crate) const VHOST: VhostId = VhostId(1);

pub(crate) struct Control {
    /// By shard.
    pub(crate) rings: Vec<VecDeque<Delivery>>,
    pub(crate) channels: BTreeMap<String, ChannelId>,
    next_channel: u64,
    version: u64,
    waiting: BTreeMap<u64, (usize, Option<(ShardId, Delivery)>)>,
    next_token: u64,
    /// Tokens that a shard said were taken.
    pub(crate) spent: Vec<SingleAccessToken>,
}

impl Control {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            rings: (0..shards).map(|_| VecDeque::new()).collect(),
            channels: BTreeMap::new(),
            next_channel: 1,
            version: 0,
            waiting: BTreeMap::new(),
            next_token: 0,
            spent: Vec::new(),
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn change(&mut self, change: &Change, then: Option<(ShardId, Delivery)>) {
        self.version += 1;
        self.waiting.insert(self.version, (self.rings.len(), then));
        for ring in &mut self.rings {
            let change = Box::new(change.clone());
            ring.push_back(Delivery::Change {
                version: self.version,
                change,
            });
        }
    }

    pub(crate) fn open(&mut self, name: &str, then: Option<(ShardId, Delivery)>) {
        let channel = ChannelId(self.next_channel);
        self.next_channel += 1;
        self.channels.insert(name.into(), channel);
        let name = ChannelName::parse(name).expect("a channel name");
        self.change(
            &Change::ChannelOpened {
                vhost: VHOST,
                channel,
                name,
            },
            then,
        );
    }

    pub(crate) fn close(&mut self, name: &str) -> bool {
        let Some(channel) = self.channels.remove(name) else {
            return false;
        };
        let name = ChannelName::parse(name).expect("a channel name");
        self.change(
            &Change::ChannelClosed {
                vhost: VHOST,
                channel,
                name,
            },
            None,
        );
        true
    }

    pub(crate) fn handle(&mut self, message: ToControl) {
        match message {
            ToControl::Applied { version, .. } => {
                let entry = self.waiting.get_mut(&version).expect("a version under way");
                entry.0 -= 1;
                if entry.0 == 0
                    && let Some((_, Some((shard, delivery)))) = self.waiting.remove(&version)
                {
                    self.rings[usize::from(shard)].push_back(delivery);
                }
            }
            ToControl::Backend {
                from,
                request,
                ask: Ask::Token(grant),
                ..
            } => {
                self.next_token += 1;
                let mut bytes = [7; 64];
                bytes[..8].copy_from_slice(
                    &self
                        .next_token
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        .to_le_bytes(),
                );
                let token = SingleAccessToken::from_random(bytes);
                let home = home_of_token(&token, self.rings.len() as u16);
                self.version += 1;
                let outcome = Outcome::Token(Box::new(token));
                let answer = Delivery::Answer {
                    conn: from.conn,
                    request,
                    outcome,
                };
                self.waiting
                    .insert(self.version, (1, Some((from.shard, answer))));
                let change = Change::TokenIssued {
                    vhost: VHOST,
                    token: Box::new(token),
                    grant,
                    expires_at_ms: u64::MAX,
                };
                let change = Box::new(change);
                let delivery = Delivery::Change {
                    version: self.version,
                    change,
                };
                self.rings[usize::from(home)].push_back(delivery);
            }
            ToControl::Backend { .. } => unreachable!("channels are opened by the world"),
            ToControl::Spent { token, bearer } => {
                self.spent.push(*token);
                if let Some(Bearer { from, grant }) = bearer {
                    let (conn, grant) = (from.conn, Ok(grant));
                    self.rings[usize::from(from.shard)].push_back(Delivery::Token { conn, grant });
                }
            }
            ToControl::WorkerReady { vhost, from, .. } => {
                let ready = Delivery::WorkerReady { conn: from.conn };
                self.change(
                    &Change::WorkerJoined { vhost, peer: from },
                    Some((from.shard, ready)),
                );
            }
            ToControl::WorkerGone { vhost, from } => self.worker_gone(vhost, from),
            ToControl::Answered { .. } | ToControl::Alive { .. } | ToControl::Drained { .. } => {}
        }
    }

    fn worker_gone(&mut self, vhost: VhostId, peer: Peer) {
        self.change(
            &Change::WorkerLeft {
                vhost,
                peer,
                replaced: false,
            },
            None,
        );
    }
}
