//! Workers join, leave and replace each other.

use super::*;

fn ready(rig: &Rig) -> Vec<ConnId> {
    let ready = rig.answers.iter().filter_map(|answer| match answer {
        Delivery::WorkerReady { conn } => Some(*conn),
        _ => None,
    });
    ready.collect()
}

#[test]
fn a_worker_is_ready_when_every_shard_knows_it_wk_01() {
    let (mut rig, vhost) = Rig::with_vhost(2, 20);
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(1, 5));
    rig.send();
    assert!(rig.step_shard(1));
    rig.send();
    assert!(!rig.step_shard(1), "shard 0 does not know it");
    rig.settle();
    assert_eq!(ready(&rig), [peer(1, 5).conn]);
    let listed = rig.registry.workers(&path("/v")).expect("there");
    assert_eq!(listed, [worker_id(1)]);
}

#[test]
fn the_newer_of_the_same_id_replaces_the_older_wk_30() {
    let (mut rig, vhost) = Rig::with_vhost(2, 21);
    let (old, new) = (peer(0, 1), peer(1, 2));
    rig.registry.handle_worker_ready(vhost, worker_id(1), old);
    rig.settle();
    let before = rig.replicas[0].log.len();
    rig.registry.handle_worker_ready(vhost, worker_id(1), new);
    rig.settle();
    assert_eq!(rig.log(0, before), ["worker replaced", "worker joined"]);
    assert_eq!(ready(&rig), [old.conn, new.conn]);
    // The older one's end says nothing of the newer.
    rig.registry.handle_worker_gone(vhost, old);
    rig.settle();
    assert_eq!(rig.replicas[1].workers, [(vhost, new)]);
    rig.registry.handle_worker_gone(vhost, new);
    rig.settle();
    assert!(rig.replicas[1].workers.is_empty());
    assert!(rig.registry.workers(&path("/v")).expect("there").is_empty());
}

#[test]
fn ready_twice_on_one_connection_changes_nothing_wk_24() {
    let (mut rig, vhost) = Rig::with_vhost(2, 22);
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.settle();
    assert_eq!(ready(&rig).len(), 2);
    assert_eq!(rig.replicas[0].workers.len(), 1);
}

#[test]
fn an_unknown_worker_gone_is_ignored() {
    let (mut rig, vhost) = Rig::with_vhost(2, 23);
    let before = rig.replicas[0].log.len();
    rig.registry.handle_worker_gone(vhost, peer(0, 1));
    rig.registry.handle_worker_gone(VhostId(99), peer(0, 1));
    rig.settle();
    assert_eq!(rig.replicas[0].log.len(), before);
}

#[test]
fn a_worker_of_a_deleted_vhost_never_gets_ready_wk_26() {
    let (mut rig, vhost) = Rig::with_vhost(2, 24);
    let _deleted = rig.start_edit(Edit::DeleteVhost(path("/v")));
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.settle();
    assert!(ready(&rig).is_empty());
}

#[test]
fn workers_of_other_vhosts_keep_apart() {
    let (mut rig, vhost) = Rig::with_vhost(2, 25);
    rig.edit(Edit::CreateVhost(path("/w"))).expect("created");
    let other = rig.registry.paths[&path("/w")];
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.registry
        .handle_worker_ready(other, worker_id(1), peer(0, 2));
    rig.settle();
    assert_eq!(
        rig.replicas[0].workers,
        [(vhost, peer(0, 1)), (other, peer(0, 2))]
    );
}
