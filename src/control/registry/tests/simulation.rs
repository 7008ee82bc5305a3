//! Random requests, slow shards and a store that fails now and then: in the end
//! all know the same, and everybody was answered once.

use super::*;
use crate::model::Status;

const PATHS: [&str; 3] = ["/a", "/b", "/a/b"];
const NAMES: [&str; 4] = ["x", "private-y", "presence-z", "w"];

#[test]
fn all_know_the_same_in_the_end() {
    for seed in 0..200 {
        simulate(seed);
    }
}

fn simulate(seed: u64) {
    // Shown with the assertion that fails.
    println!("seed {seed}");
    let mut rig = Rig::new(1 + (seed % 4) as u16, seed);
    let mut asked = 0;
    let mut replies = Vec::new();
    for _ in 0..400 {
        match rig.random.below(12) {
            0..=2 => {
                asked += 1;
                act_as_backend(&mut rig, asked);
            }
            3 => {
                let edit = random_edit(&mut rig);
                replies.push(rig.start_edit(edit));
            }
            4 => act_as_worker(&mut rig),
            5 => {
                rig.begin_commit();
            }
            6 if rig.batch.is_some() => {
                let durable = rig.random.below(4) > 0;
                rig.end_commit(durable);
            }
            _ => {
                rig.send();
                let shard = rig.random.below(rig.rings.len()) as ShardId;
                step(&mut rig, shard);
            }
        }
    }
    rig.settle();
    for request in 1..=asked {
        assert!(rig.outcome(request).is_some(), "request {request}");
    }
    for mut reply in replies {
        assert!(reply.try_recv().is_ok(), "an edit was not answered");
    }
    compare(&rig);
}

/// A shard's step, with a look at what its answers promise.
fn step(rig: &mut Rig, shard: ShardId) {
    let before = rig.answers.len();
    rig.step_shard(shard);
    for answer in &rig.answers[before..] {
        if let Delivery::Answer {
            outcome: Outcome::Token(token),
            ..
        } = answer
        {
            let knew = |replica: &Replica| {
                replica.log.iter().any(
                    |(_, change)| matches!(change, Change::TokenIssued { token: it, .. } if it == token),
                )
            };
            assert!(rig.replicas.iter().any(knew), "answered too early");
        }
    }
}

fn act_as_backend(rig: &mut Rig, request: u32) {
    // An id of the past, the present or never.
    let vhost = VhostId(rig.random.below(6) as u32);
    let channel = name(NAMES[rig.random.below(NAMES.len())]);
    let ask = match rig.random.below(3) {
        0 => Ask::Open(channel),
        1 => Ask::Close(channel),
        _ => grant(),
    };
    rig.ask(request, vhost, ask);
    if rig.registry.live(vhost).is_none() {
        rig.send();
        let unauthorized = Outcome::Failed(Status::Unauthorized);
        // Committed changes may stand behind it in the ring.
        let told = rig.rings[0].iter().any(|delivery| {
            matches!(delivery, Delivery::Answer { request: it, outcome, .. }
                if *it == request && *outcome == unauthorized)
        });
        assert!(told, "402 at once");
    }
}

fn random_edit(rig: &mut Rig) -> Edit {
    let path = path(PATHS[rig.random.below(PATHS.len())]);
    let channel = name(NAMES[rig.random.below(NAMES.len())]);
    match rig.random.below(16) {
        0..=4 => Edit::CreateVhost(path),
        5..=6 => Edit::DeleteVhost(path),
        7 => Edit::ClearVhosts,
        8..=9 => Edit::ReplaceToken(path),
        10..=11 => Edit::OpenChannel(path, channel),
        12 => Edit::CloseChannel(path, channel),
        13..=14 => Edit::ClearChannels(path),
        _ => Edit::Settle,
    }
}

/// A connection has one worker in one vhost that its shard knows.
fn act_as_worker(rig: &mut Rig) {
    let vhosts: Vec<_> = rig.replicas[0].vhosts.keys().copied().collect();
    if vhosts.is_empty() {
        return;
    }
    let vhost = vhosts[rig.random.below(vhosts.len())];
    let number = rig.random.below(4) as u32;
    let from = peer(0, vhost.0 * 4 + number);
    if rig.random.below(2) == 0 {
        let id = worker_id(number as u8 % 2);
        rig.registry.handle_worker_ready(vhost, id, from);
    } else {
        rig.registry.handle_worker_gone(vhost, from);
    }
}

fn compare(rig: &Rig) {
    let registry = &rig.registry;
    assert_eq!(registry.vhosts.len(), registry.paths.len());
    assert_eq!(rig.store.vhosts.len(), registry.vhosts.len());
    for (id, stored) in &rig.store.vhosts {
        let known = &registry.vhosts[id];
        assert!(known.path == stored.path && known.token == stored.token);
        assert!(known.channels.keys().eq(stored.channels.keys()));
        for replica in &rig.replicas {
            let (at, token, channels) = &replica.vhosts[id];
            assert!(*at == stored.path && *token == stored.token);
            assert!(channels.iter().eq(stored.channels.keys()));
            let mut workers: Vec<_> = known.workers.by_id.values().map(|it| it.peer).collect();
            let mut replicated: Vec<_> = replica
                .workers
                .iter()
                .filter(|(vhost, _)| vhost == id)
                .map(|(_, peer)| *peer)
                .collect();
            workers.sort_by_key(|peer| peer.conn.slot);
            replicated.sort_by_key(|peer| peer.conn.slot);
            assert_eq!(workers, replicated);
        }
    }
    let mut held = 0;
    for replica in &rig.replicas {
        assert_eq!(replica.vhosts.len(), rig.store.vhosts.len());
        for (vhost, token) in &replica.tokens {
            assert_eq!(rig.store.tokens[token].vhost, *vhost);
        }
        held += replica.tokens.len();
    }
    assert_eq!(held, rig.store.tokens.len());
}
