//! Nothing is told before the store has it; what the store refuses never happened.

use super::*;
use crate::model::Status;

const REFUSED: Outcome = Outcome::Failed(Status::InternalError);

#[test]
fn what_comes_during_a_commit_goes_into_the_next_one_whole() {
    let (mut rig, vhost) = Rig::with_vhost(2, 40);
    rig.ask(1, vhost, Ask::Open(name("a")));
    rig.begin_commit();
    for request in 2..10 {
        rig.ask(request, vhost, Ask::Open(name(&format!("c{request}"))));
    }
    assert!(rig.registry.take_batch().is_none(), "one at a time");
    assert_eq!(rig.batch.as_ref().map(Vec::len), Some(1));
    rig.end_commit(true);
    rig.begin_commit();
    assert_eq!(rig.batch.as_ref().map(Vec::len), Some(8));
}

#[test]
fn workers_do_not_wait_for_the_store() {
    let (mut rig, vhost) = Rig::with_vhost(1, 41);
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    assert!(!rig.begin_commit());
    rig.send();
    assert!(rig.step_shard(0));
}

#[test]
fn a_refused_commit_never_happened() {
    let (mut rig, vhost) = Rig::with_vhost(2, 42);
    rig.ask_through(1, vhost, Ask::Open(name("old")));
    let before = rig.registry.vhost(&path("/v")).expect("there");
    let log = rig.replicas[0].log.len();

    let mut replies = vec![
        rig.start_edit(Edit::ReplaceToken(path("/v"))),
        rig.start_edit(Edit::CreateVhost(path("/new"))),
        rig.start_edit(Edit::OpenChannel(path("/new"), name("a"))),
    ];
    rig.ask(2, vhost, Ask::Close(name("old")));
    rig.ask(3, vhost, Ask::Open(name("old")));
    rig.begin_commit();
    // Decided on top of what is with the store.
    rig.ask(4, vhost, Ask::Open(name("old")));
    rig.ask(5, vhost, grant());
    replies.push(rig.start_edit(Edit::DeleteVhost(path("/v"))));
    replies.push(rig.start_edit(Edit::CreateVhost(path("/v"))));
    rig.end_commit(false);

    rig.settle();
    for mut reply in replies {
        let reply = reply.try_recv().expect("answered");
        assert!(matches!(reply, Err(Error::NotStored)));
    }
    for request in 2..=5 {
        assert_eq!(rig.outcome(request), Some(REFUSED));
    }
    assert_eq!(rig.replicas[0].log.len(), log, "no shard heard of it");
    assert_eq!(rig.registry.vhosts(), [before]);
    assert_eq!(rig.registry.paths[&path("/v")], vhost);
    assert_eq!(
        rig.registry.channels(&path("/v")).expect("there"),
        [name("old")]
    );
    // And all goes on.
    assert_eq!(
        rig.ask_through(6, vhost, Ask::Close(name("old"))),
        Outcome::Done
    );
}

#[test]
fn a_deletion_refused_gives_back_workers_tokens_and_channels() {
    let (mut rig, vhost) = Rig::with_vhost(2, 43);
    rig.ask_through(1, vhost, Ask::Open(name("a")));
    let Outcome::Token(token) = rig.ask_through(2, vhost, grant()) else {
        panic!("no token");
    };
    let (stays, goes) = (peer(0, 1), peer(1, 2));
    rig.registry.handle_worker_ready(vhost, worker_id(1), stays);
    rig.registry.handle_worker_ready(vhost, worker_id(2), goes);
    rig.settle();

    let _reply = rig.start_edit(Edit::DeleteVhost(path("/v")));
    rig.begin_commit();
    rig.registry.handle_worker_gone(vhost, goes);
    rig.registry.handle_spent(&token, None);
    rig.end_commit(false);
    rig.settle();
    assert_eq!(rig.replicas[0].workers, [(vhost, stays)]);
    assert_eq!(
        rig.registry.workers(&path("/v")).expect("there"),
        [worker_id(1)]
    );
    assert!(rig.store.tokens.is_empty(), "spent all the same");
    assert_eq!(
        rig.registry.channels(&path("/v")).expect("there"),
        [name("a")]
    );
}

#[test]
fn a_deletion_refused_lets_in_the_workers_that_came_meanwhile() {
    let (mut rig, vhost) = Rig::with_vhost(2, 47);
    let _reply = rig.start_edit(Edit::DeleteVhost(path("/v")));
    rig.begin_commit();
    let (stays, goes) = (peer(0, 1), peer(1, 2));
    rig.registry.handle_worker_ready(vhost, worker_id(1), stays);
    rig.registry.handle_worker_ready(vhost, worker_id(2), goes);
    rig.registry.handle_worker_gone(vhost, goes);
    rig.end_commit(false);
    rig.settle();
    assert_eq!(rig.replicas[1].workers, [(vhost, stays)]);
    let ready = |it: &Delivery| matches!(it, Delivery::WorkerReady { conn } if *conn == stays.conn);
    assert!(rig.answers.iter().any(ready));
}

#[test]
fn a_worker_that_goes_while_its_vhost_is_deleted_is_not_told() {
    let (mut rig, vhost) = Rig::with_vhost(2, 44);
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.settle();
    let before = rig.replicas[0].log.len();
    let _reply = rig.start_edit(Edit::DeleteVhost(path("/v")));
    rig.begin_commit();
    rig.registry.handle_worker_gone(vhost, peer(0, 1));
    rig.end_commit(true);
    rig.settle();
    assert_eq!(rig.log(0, before), ["vhost deleted"]);
}

#[test]
fn a_spent_token_is_offered_to_the_store_until_it_takes_it() {
    let (mut rig, vhost) = Rig::with_vhost(1, 45);
    let Outcome::Token(token) = rig.ask_through(1, vhost, grant()) else {
        panic!("no token");
    };
    rig.registry.handle_spent(&token, None);
    for durable in [false, false, true] {
        assert!(rig.begin_commit());
        rig.end_commit(durable);
    }
    assert!(!rig.begin_commit());
    assert!(rig.store.tokens.is_empty());
}

#[test]
fn settling_ends_although_the_store_refuses() {
    let (mut rig, vhost) = Rig::with_vhost(1, 46);
    rig.ask(1, vhost, Ask::Open(name("a")));
    let mut settled = rig.start_edit(Edit::Settle);
    rig.begin_commit();
    rig.end_commit(false);
    assert!(settled.try_recv().expect("answered").is_ok());
}

#[test]
fn all_but_workers_outlives_a_restart_st_01_st_02_st_03_st_04() {
    let (mut rig, vhost) = Rig::with_vhost(2, 47);
    rig.ask(1, vhost, Ask::Open(name("presence-a")));
    rig.ask(2, vhost, Ask::Open(name("b")));
    rig.ask(3, vhost, Ask::Close(name("b")));
    rig.ask(4, vhost, grant());
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(0, 1));
    rig.edit(Edit::ReplaceToken(path("/v"))).expect("replaced");
    let Some(Outcome::Token(token)) = rig.outcome(4) else {
        panic!("no token");
    };

    // More shards than before: the token finds its new home.
    let mut next = Rig::with_store(5, 48, rig.store.clone());
    let mut settled = next.start_edit(Edit::Settle);
    assert!(settled.try_recv().is_err(), "shards don't know yet");
    next.settle();
    assert!(settled.try_recv().expect("answered").is_ok());
    assert_eq!(next.registry.vhosts(), rig.registry.vhosts());
    for replica in &next.replicas {
        let (at, access, channels) = &replica.vhosts[&vhost];
        assert_eq!(*at, path("/v"));
        assert_eq!(
            *access,
            rig.registry.vhost(&path("/v")).expect("there").token
        );
        assert_eq!(channels.iter().collect::<Vec<_>>(), [&name("presence-a")]);
        assert!(replica.workers.is_empty());
    }
    let holders = next.replicas.iter();
    let holders = holders.filter(|it| it.tokens.contains(&(vhost, *token)));
    assert_eq!(holders.count(), 1);
    // Ids go on where they were.
    next.edit(Edit::CreateVhost(path("/w"))).expect("created");
    next.edit(Edit::OpenChannel(path("/w"), name("a")))
        .expect("opened");
}

#[test]
fn tokens_that_expired_while_down_are_forgotten() {
    let (mut rig, vhost) = Rig::with_vhost(1, 49);
    rig.ask_through(1, vhost, grant());
    for stored in rig.store.tokens.values_mut() {
        // The next rig starts at 0.
        stored.expires_at_ms = 0;
    }
    let mut next = Rig::with_store(1, 50, rig.store);
    next.settle();
    assert!(next.store.tokens.is_empty());
    assert!(next.replicas[0].tokens.is_empty());
}

#[test]
fn an_operator_is_told_of_a_token_once_it_is_good() {
    let (mut rig, _) = Rig::with_vhost(1, 43);
    let want = |rig: &mut Rig| {
        let Ask::Token(grant) = grant() else {
            unreachable!("it is a token's")
        };
        let (answer, answered) = oneshot::channel();
        rig.registry
            .handle_token_wanted(&path("/v"), grant, 0, answer);
        answered
    };
    let mut refused = want(&mut rig);
    rig.begin_commit();
    rig.end_commit(false);
    rig.settle();
    let told = refused.try_recv().expect("answered");
    assert!(matches!(told, Err(Error::NotStored)));

    let mut issued = want(&mut rig);
    rig.begin_commit();
    assert!(issued.try_recv().is_err(), "not stored yet");
    rig.end_commit(true);
    assert!(issued.try_recv().is_err(), "no shard knows it yet");
    rig.settle();
    assert!(issued.try_recv().expect("answered").is_ok());
}
