//! Several hubs without sockets and clocks, and all that happens to them.
//!
//! The order of calls: [`World::new`], [`World::step`] as long as it is wished,
//! [`World::finish`], which panics where a promise was broken.

mod answers;
mod backends;
mod changes;
mod check;
mod choices;
mod client;
mod control;
mod finish;
mod frontends;
mod ports;
mod travel;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use webrocket::hub::Hub;
use webrocket::meter::ShardMeter;
use webrocket::model::{ConnId, Peer, ShardId, SingleAccessToken, VhostId};

pub(crate) use self::check::Totals;
pub(crate) use self::choices::Choices;

use self::backends::{Owed, Published};
use self::client::Client;
use self::control::Control;
use self::ports::{Note, Port};

/// The vhost that stays. [`GUEST`] comes and goes.
const MAIN: VhostId = VhostId(1);
const GUEST: &str = "/guest";

/// Each has them; the guest only the first and the last.
const CHANNELS: [&str; 5] = ["a", "b", "private-c", "presence-d", "presence-e"];
const GUEST_CHANNELS: [&str; 2] = ["a", "presence-e"];

pub(crate) struct World {
    choices: Choices,
    hubs: Vec<Hub>,
    meters: Vec<Arc<ShardMeter>>,
    ports: Vec<Port>,
    control: Control,
    /// What each shard has yet to look at.
    notes: Vec<VecDeque<Note>>,
    sleep: Vec<Sleep>,
    stages: Vec<Stage>,
    draining: bool,
    clients: Vec<Client>,
    /// Living clients by their shard and slot.
    places: HashMap<(usize, u32), usize>,
    /// Slot and generation of the next connection, by shard.
    next_slot: Vec<u32>,
    free_slots: Vec<Vec<ConnId>>,
    /// Requests of backend clients that are not answered.
    owed: HashMap<(usize, ConnId), Owed>,
    /// Connections that may go on with a message.
    resumed: Vec<(usize, ConnId)>,
    published: Vec<Published>,
    tokens: Vec<(SingleAccessToken, VhostId)>,
    used_tokens: Vec<SingleAccessToken>,
    triggered: BTreeMap<u64, usize>,
    next: u64,
    totals: Totals,
}

/// Why a shard does nothing for a while.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// Its wake-up comes after so many steps.
    Late(usize),
    /// Its wake-up was lost: only control's next probe wakes it.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    Drained,
    Stopped,
}

impl World {
    pub(crate) fn new(mut choices: Choices) -> Self {
        let shards = 1 + choices.below(4);
        let meters: Vec<Arc<ShardMeter>> = (0..shards).map(|_| Arc::default()).collect();
        let hub = |id: usize| Hub::new(id as ShardId, shards as u16, Arc::clone(&meters[id]));
        let mut world = Self {
            hubs: (0..shards).map(hub).collect(),
            choices,
            meters,
            ports: (0..shards).map(|_| Port::new(shards)).collect(),
            control: Control::new(shards),
            notes: (0..shards).map(|_| VecDeque::new()).collect(),
            sleep: vec![Sleep::Awake; shards],
            stages: vec![Stage::Serving; shards],
            draining: false,
            clients: Vec::new(),
            places: HashMap::new(),
            next_slot: vec![0; shards],
            free_slots: vec![Vec::new(); shards],
            owed: HashMap::new(),
            resumed: Vec::new(),
            published: Vec::new(),
            tokens: Vec::new(),
            used_tokens: Vec::new(),
            triggered: BTreeMap::new(),
            next: 0,
            totals: Totals::default(),
        };
        // Often fewer than there are channels.
        let subscriptions_max = 2 + world.choices.below(CHANNELS.len());
        world.control.replace_quotas(subscriptions_max);
        world.add_vhost("/v", &CHANNELS);
        world
    }

    /// What was decided so far; a line for the beginning and for each step.
    pub(crate) fn choices(&self) -> &[u8] {
        self.choices.made()
    }

    /// One thing happens; false where nobody has decided what.
    pub(crate) fn step(&mut self) -> bool {
        if !self.choices.next_step() {
            return false;
        }
        self.sleep_on();
        match self.choices.below(100) {
            0..3 => self.connect(),
            3 => self.disconnect(),
            4..6 => self.change_pace(),
            6 => self.change_channels(),
            7 => self.change_vhosts(),
            8..11 => self.ask_for_token(),
            11..14 => self.change_workers(),
            14..16 => self.operate(),
            16 => self.pass_time(),
            17 => self.fall_asleep(),
            18 => self.change_node(),
            19..21 => self.publish(),
            21..43 => self.plan(),
            43..67 => self.send(),
            67..77 => self.flush(),
            77..80 => self.look_at_notes(),
            _ => self.carry(),
        }
        self.offer_again();
        true
    }

    fn shards(&self) -> usize {
        self.hubs.len()
    }

    fn pick_shard(&mut self) -> usize {
        self.choices.below(self.hubs.len())
    }

    /// A number that nothing had before.
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A new connection on some shard.
    fn new_conn(&mut self) -> Peer {
        let shard = self.pick_shard();
        let conn = self.free_slots[shard].pop().unwrap_or_else(|| {
            self.next_slot[shard] += 1;
            ConnId {
                slot: self.next_slot[shard] - 1,
                generation: 0,
            }
        });
        Peer {
            shard: shard as ShardId,
            conn,
        }
    }

    /// The slot is taken anew, as another connection.
    fn free(&mut self, shard: usize, conn: ConnId) {
        let ConnId { slot, generation } = conn;
        let next = ConnId {
            slot,
            generation: generation + 1,
        };
        self.free_slots[shard].push(next);
    }
}
