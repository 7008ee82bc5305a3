//! Control as the hubs see it: one writer, changes in one order, an answer once
//! every shard has applied them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use webrocket::hub::envelope::{Ask, Bearer, Change, Delivery, Outcome, ToControl};
use webrocket::hub::home_of_token;
use webrocket::hub::question::Question;
use webrocket::meter::VhostMeters;
use webrocket::model::{
    AccessToken, ChannelId, ChannelName, Peer, Quotas, ShardId, SingleAccessToken, Status, VhostId,
    VhostPath, VhostQuota, WorkerId,
};

use super::GUEST;

/// A vhost and one of its channels.
pub(crate) type Place = (VhostId, &'static str);

/// An answer that is owed once every shard has applied a change.
type Then = Option<(ShardId, Delivery)>;

pub(crate) struct Control {
    /// By shard.
    pub(crate) rings: Vec<VecDeque<Delivery>>,
    pub(crate) channels: BTreeMap<Place, ChannelId>,
    /// Every vhost there was, and whether it is there.
    pub(crate) vhosts: BTreeMap<VhostId, (VhostMeters, bool)>,
    next_channel: u64,
    version: u64,
    waiting: BTreeMap<u64, (usize, Then)>,
    next_token: u64,
    pub(crate) now_ms: u64,
    /// Unused tokens: their vhost and when their time is over.
    tokens: BTreeMap<[u8; 8], (VhostId, u64)>,
    /// When the time of each token ever issued is over.
    pub(crate) issued: BTreeMap<[u8; 8], u64>,
    /// Tokens that a shard said were taken, or whose time it said was over.
    pub(crate) spent: Vec<SingleAccessToken>,
    pub(crate) expired: usize,
    workers: BTreeMap<(VhostId, WorkerId), Peer>,
    pub(crate) replaced: usize,
    /// Probes that were sent and not answered.
    pub(crate) probes: usize,
    /// Questions that were asked and not answered.
    questions: usize,
    drained: usize,
}

/// By what a token is known here.
pub(crate) fn mark(token: &SingleAccessToken) -> [u8; 8] {
    token.spread().to_le_bytes()
}

impl Control {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            rings: (0..shards).map(|_| VecDeque::new()).collect(),
            channels: BTreeMap::new(),
            vhosts: BTreeMap::new(),
            next_channel: 1,
            version: 0,
            waiting: BTreeMap::new(),
            next_token: 0,
            now_ms: 0,
            tokens: BTreeMap::new(),
            issued: BTreeMap::new(),
            spent: Vec::new(),
            expired: 0,
            workers: BTreeMap::new(),
            replaced: 0,
            probes: 0,
            questions: 0,
            drained: 0,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.probes == 0 && self.questions == 0
    }

    pub(crate) fn is_there(&self, vhost: VhostId) -> bool {
        self.vhosts.get(&vhost).is_some_and(|&(_, there)| there)
    }

    /// Whether the token can still be taken in this vhost.
    pub(crate) fn is_good(&self, token: &SingleAccessToken, vhost: VhostId) -> bool {
        let known = self.tokens.get(&mark(token));
        known.is_some_and(|&(of, until)| of == vhost && until > self.now_ms)
    }

    /// Tokens that are kept although their time is over.
    pub(crate) fn overdue(&self) -> usize {
        let over = |&&(_, until): &&(VhostId, u64)| until <= self.now_ms;
        self.tokens.values().filter(over).count()
    }

    /// Whether the token has all the time in the world.
    pub(crate) fn is_for_ever(&self, token: &SingleAccessToken) -> bool {
        self.issued.get(&mark(token)) == Some(&u64::MAX)
    }

    fn shards(&self) -> usize {
        self.rings.len()
    }

    fn send(&mut self, shard: ShardId, delivery: Delivery) {
        self.rings[usize::from(shard)].push_back(delivery);
    }

    fn send_all(&mut self, delivery: impl Fn() -> Delivery) {
        for ring in &mut self.rings {
            ring.push_back(delivery());
        }
    }

    fn change(&mut self, change: &Change, then: Then) {
        self.version += 1;
        let version = self.version;
        self.waiting.insert(version, (self.shards(), then));
        self.send_all(|| Delivery::Change {
            version,
            change: Box::new(change.clone()),
        });
    }

    pub(crate) fn add_vhost(&mut self, path: &str) -> VhostId {
        let vhost = VhostId(self.vhosts.len() as u32 + 1);
        let meters = VhostMeters::new(self.shards() as u16);
        self.vhosts.insert(vhost, (meters.clone(), true));
        let path = VhostPath::parse(path).expect("a path");
        let token = AccessToken::from_random([1; 20]);
        let added = Change::VhostAdded {
            vhost,
            path,
            token,
            meters,
        };
        self.change(&added, None);
        vhost
    }

    pub(crate) fn delete_vhost(&mut self, vhost: VhostId) {
        if let Some((_, there)) = self.vhosts.get_mut(&vhost) {
            *there = false;
        }
        self.channels.retain(|&(of, _), _| of != vhost);
        self.tokens.retain(|_, &mut (of, _)| of != vhost);
        self.workers.retain(|&(of, _), _| of != vhost);
        self.change(&Change::VhostDeleted { vhost }, None);
    }

    pub(crate) fn replace_quotas(&mut self, subscriptions_max: usize) {
        let mut quotas = Quotas::default();
        quotas.default.subscriptions_max = subscriptions_max as u32;
        // By numbers that are there: none, short, long; the guest has another.
        let cork = |at: u64| Duration::from_millis([0, 30, 100][(at % 3) as usize]);
        let at = self.version + subscriptions_max as u64;
        quotas.default.cork = cork(at);
        let own = VhostQuota {
            cork: cork(at / 3),
            ..quotas.default.clone()
        };
        let guest = VhostPath::parse(GUEST).expect("a path");
        quotas.vhosts.insert(guest, own);
        let quotas = Arc::new(quotas);
        self.change(&Change::QuotasReplaced { quotas }, None);
    }

    pub(crate) fn open(&mut self, place: Place) {
        let channel = ChannelId(self.next_channel);
        self.next_channel += 1;
        self.channels.insert(place, channel);
        let (vhost, name) = place;
        let name = ChannelName::parse(name).expect("a channel name");
        let opened = Change::ChannelOpened {
            vhost,
            channel,
            name,
        };
        self.change(&opened, None);
    }

    pub(crate) fn close(&mut self, place: Place) -> bool {
        let Some(channel) = self.channels.remove(&place) else {
            return false;
        };
        let (vhost, name) = place;
        let name = ChannelName::parse(name).expect("a channel name");
        let closed = Change::ChannelClosed {
            vhost,
            channel,
            name,
        };
        self.change(&closed, None);
        true
    }

    /// The operator asks a shard.
    pub(crate) fn ask(&mut self, shard: ShardId, question: Question) {
        self.questions += 1;
        let question = Box::new(question);
        self.send(shard, Delivery::Query { query: 0, question });
    }

    /// Asks every shard whether it makes progress.
    pub(crate) fn probe(&mut self) {
        self.probes += self.shards();
        self.send_all(|| Delivery::Probe);
    }

    pub(crate) fn drain(&mut self) {
        self.send_all(|| Delivery::Drain { window_ms: 0 });
    }

    pub(crate) fn handle(&mut self, message: ToControl) {
        match message {
            ToControl::Applied { version, .. } => self.handle_applied(version),
            ToControl::Backend {
                from,
                request,
                vhost,
                ask: Ask::Token(grant),
            } => {
                if !self.is_there(vhost) {
                    let outcome = Outcome::Failed(Status::Unauthorized);
                    return self.answer(from, request, outcome);
                }
                let (token, expires_at_ms) = self.next_token();
                self.tokens.insert(mark(&token), (vhost, expires_at_ms));
                self.issued.insert(mark(&token), expires_at_ms);
                let home = home_of_token(&token, self.shards() as u16);
                self.version += 1;
                let token = Box::new(token);
                let answer = Delivery::Answer {
                    conn: from.conn,
                    request,
                    outcome: Outcome::Token(token.clone()),
                };
                let then = Some((from.shard, answer));
                self.waiting.insert(self.version, (1, then));
                let issued = Change::TokenIssued {
                    vhost,
                    token,
                    grant,
                    expires_at_ms,
                };
                let delivery = Delivery::Change {
                    version: self.version,
                    change: Box::new(issued),
                };
                self.send(home, delivery);
            }
            ToControl::Backend { .. } => unreachable!("channels are opened by the world"),
            ToControl::Spent { token, bearer } => {
                self.spent.push(*token);
                let known = self.tokens.remove(&mark(&token)).is_some();
                self.expired += usize::from(bearer.is_none());
                if let Some(Bearer { from, grant }) = bearer {
                    let grant = known.then_some(grant).ok_or(Status::Unauthorized);
                    let conn = from.conn;
                    self.send(from.shard, Delivery::Token { conn, grant });
                }
            }
            ToControl::WorkerReady {
                vhost,
                worker,
                from,
            } => self.handle_worker(vhost, worker, from),
            ToControl::WorkerGone { vhost, from } => {
                let known = self.workers.len();
                self.workers
                    .retain(|&(of, _), &mut peer| (of, peer) != (vhost, from));
                if self.workers.len() < known {
                    self.worker_left(vhost, from, false);
                }
            }
            ToControl::Answered { .. } => self.questions -= 1,
            ToControl::Alive { .. } => self.probes -= 1,
            ToControl::Drained { .. } => {
                self.drained += 1;
                if self.drained == self.shards() {
                    self.send_all(|| Delivery::Stop);
                }
            }
        }
    }

    fn handle_applied(&mut self, version: u64) {
        let entry = self.waiting.get_mut(&version).expect("a version under way");
        entry.0 -= 1;
        if entry.0 == 0
            && let Some((_, Some((shard, delivery)))) = self.waiting.remove(&version)
        {
            self.send(shard, delivery);
        }
    }

    fn answer(&mut self, to: Peer, request: u32, outcome: Outcome) {
        let answer = Delivery::Answer {
            conn: to.conn,
            request,
            outcome,
        };
        self.send(to.shard, answer);
    }

    /// Every third has little time.
    fn next_token(&mut self) -> (SingleAccessToken, u64) {
        self.next_token += 1;
        let number = self.next_token;
        let mut bytes = [7; 64];
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes[..8].copy_from_slice(&mixed.to_le_bytes());
        let expires_at_ms = match number % 3 {
            0 => self.now_ms + 100 * (number % 7),
            _ => u64::MAX,
        };
        (SingleAccessToken::from_random(bytes), expires_at_ms)
    }

    fn handle_worker(&mut self, vhost: VhostId, worker: WorkerId, from: Peer) {
        // Its shard sends it away.
        if !self.is_there(vhost) {
            return;
        }
        if let Some(old) = self.workers.insert((vhost, worker), from) {
            self.replaced += 1;
            self.worker_left(vhost, old, true);
        }
        let ready = Delivery::WorkerReady { conn: from.conn };
        let joined = Change::WorkerJoined { vhost, peer: from };
        self.change(&joined, Some((from.shard, ready)));
    }

    fn worker_left(&mut self, vhost: VhostId, peer: Peer, replaced: bool) {
        let left = Change::WorkerLeft {
            vhost,
            peer,
            replaced,
        };
        self.change(&left, None);
    }
}
