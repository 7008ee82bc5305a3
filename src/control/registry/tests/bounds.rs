//! Every bound, at the bound and past it.

use std::sync::Arc;

use super::*;
use crate::hub::question::Question;
use crate::limits::{
    CHANGES_IN_FLIGHT_MAX, CHANGES_PER_COMMIT_MAX, CHANGES_WAITING_MAX, CHANNELS_PER_VHOST_MAX,
    QUESTION_BACKLOG_MAX, SINGLE_ACCESS_TOKENS_MAX, VHOSTS_MAX,
};
use crate::model::{Quotas, Status, VhostQuota};

const REFUSED: Outcome = Outcome::Failed(Status::InternalError);

fn open(rig: &mut Rig, vhost: VhostId, number: usize) {
    rig.ask(number as u32, vhost, Ask::Open(name(&format!("c{number}"))));
}

#[test]
fn changes_in_flight_are_bounded_and_the_rest_follows_in_order() {
    let (mut rig, vhost) = Rig::with_vhost(2, 30);
    for number in 0..=CHANGES_IN_FLIGHT_MAX {
        open(&mut rig, vhost, number);
    }
    rig.begin_commit();
    rig.end_commit(true);
    rig.send();
    assert_eq!(rig.rings[0].len(), CHANGES_IN_FLIGHT_MAX);
    // The other shard has not applied it, so it is still in flight.
    rig.step_shard(0);
    rig.send();
    assert_eq!(rig.rings[0].len(), CHANGES_IN_FLIGHT_MAX - 1);
    rig.step_shard(1);
    rig.send();
    let all = rig.rings[1].len();
    assert!(all >= CHANGES_IN_FLIGHT_MAX, "{all}");
    rig.settle();
    assert_eq!(rig.replicas[1].log.len(), CHANGES_IN_FLIGHT_MAX + 2);
}

#[test]
fn a_commit_is_bounded() {
    let (mut rig, vhost) = Rig::with_vhost(1, 31);
    for number in 0..=CHANGES_PER_COMMIT_MAX {
        open(&mut rig, vhost, number);
    }
    rig.begin_commit();
    assert_eq!(
        rig.batch.as_ref().map(Vec::len),
        Some(CHANGES_PER_COMMIT_MAX)
    );
    rig.end_commit(true);
    rig.begin_commit();
    assert_eq!(rig.batch.as_ref().map(Vec::len), Some(1));
}

#[test]
fn changes_that_wait_are_bounded() {
    let (mut rig, vhost) = Rig::with_vhost(1, 32);
    for number in 0..CHANGES_WAITING_MAX {
        open(&mut rig, vhost, number);
    }
    rig.send();
    assert!(rig.rings[0].is_empty(), "none is refused");
    let past = CHANGES_WAITING_MAX as u32;
    rig.ask(past, vhost, Ask::Open(name("past")));
    rig.ask(past + 1, vhost, Ask::Close(name("c0")));
    rig.ask(past + 2, vhost, grant());
    rig.send();
    assert_eq!(rig.rings[0].len(), 3);
    while rig.step_shard(0) {}
    for request in past..past + 3 {
        assert_eq!(rig.outcome(request), Some(REFUSED));
    }
    let mut refused = rig.start_edit(Edit::CreateVhost(path("/w")));
    let refused = refused.try_recv().expect("answered at once");
    assert!(matches!(refused, Err(Error::Full)));
    // What is open already needs no change.
    rig.ask(past + 3, vhost, Ask::Open(name("c0")));
    rig.settle();
    assert_eq!(rig.outcome(past + 3), Some(Outcome::Done));
    let outcome = rig.ask_through(past + 4, vhost, Ask::Open(name("past")));
    assert_eq!(outcome, Outcome::Done);
}

#[test]
fn tokens_are_bounded_by_shard_597() {
    let (mut rig, vhost) = Rig::with_vhost(1, 33);
    assert_eq!(rig.registry.tokens.held_max, SINGLE_ACCESS_TOKENS_MAX);
    rig.registry.tokens.held_max = 3;
    let issued: Vec<_> = (0..3)
        .map(|request| rig.ask_through(request, vhost, grant()))
        .collect();
    assert!(issued.iter().all(|it| matches!(it, Outcome::Token(_))));
    assert_eq!(rig.ask_through(3, vhost, grant()), REFUSED);
    let Outcome::Token(token) = &issued[1] else {
        panic!("no token");
    };
    rig.registry.handle_spent(token, None);
    let again = rig.ask_through(4, vhost, grant());
    assert!(matches!(again, Outcome::Token(_)));
    assert_eq!(rig.ask_through(5, vhost, grant()), REFUSED);
    // A deleted vhost gives its room back.
    rig.edit(Edit::DeleteVhost(path("/v"))).expect("deleted");
    rig.edit(Edit::CreateVhost(path("/v"))).expect("created");
    let vhost = rig.registry.paths[&path("/v")];
    assert!(matches!(
        rig.ask_through(6, vhost, grant()),
        Outcome::Token(_)
    ));
}

#[test]
fn vhosts_are_bounded() {
    let mut rig = Rig::new(1, 34);
    assert_eq!(rig.registry.vhosts_max, VHOSTS_MAX);
    rig.registry.vhosts_max = 2;
    rig.edit(Edit::CreateVhost(path("/a"))).expect("created");
    rig.edit(Edit::CreateVhost(path("/b"))).expect("created");
    let past = rig.edit(Edit::CreateVhost(path("/c")));
    assert!(matches!(past, Err(Error::Full)));
    rig.edit(Edit::DeleteVhost(path("/a"))).expect("deleted");
    rig.edit(Edit::CreateVhost(path("/c"))).expect("created");
}

#[test]
fn channels_of_a_vhost_are_bounded() {
    let (mut rig, vhost) = Rig::with_vhost(1, 35);
    let default = Quotas::default().of(&path("/v")).channels_max;
    assert_eq!(default as usize, CHANNELS_PER_VHOST_MAX);
    let quotas = |vhost: &str| {
        let quota = VhostQuota {
            channels_max: 2,
            ..VhostQuota::default()
        };
        Arc::new(Quotas {
            vhosts: [(path(vhost), quota)].into(),
            ..Quotas::default()
        })
    };
    rig.edit(Edit::ReplaceQuotas(quotas("/v")))
        .expect("applied");
    for request in 0..2 {
        open(&mut rig, vhost, request);
    }
    assert_eq!(rig.ask_through(2, vhost, Ask::Open(name("past"))), REFUSED);
    assert_eq!(
        rig.ask_through(3, vhost, Ask::Open(name("c0"))),
        Outcome::Done
    );
    let past = rig.edit(Edit::OpenChannel(path("/v"), name("past")));
    assert!(matches!(past, Err(Error::Full)));
    rig.ask(4, vhost, Ask::Close(name("c0")));
    assert_eq!(
        rig.ask_through(5, vhost, Ask::Open(name("past"))),
        Outcome::Done
    );
}

#[test]
fn the_last_vhost_id_is_never_handed_out() {
    let mut rig = Rig::new(1, 36);
    rig.registry.next_vhost = u32::MAX - 1;
    rig.edit(Edit::CreateVhost(path("/a"))).expect("created");
    let past = rig.edit(Edit::CreateVhost(path("/b")));
    assert!(matches!(past, Err(Error::Full)));
}

#[test]
fn without_random_bytes_no_token_is_made() {
    let (mut rig, vhost) = Rig::with_vhost(1, 37);
    rig.registry.random = Box::new(|_| Err(getrandom::Error::UNSUPPORTED));
    assert_eq!(rig.ask_through(1, vhost, grant()), REFUSED);
    let created = rig.edit(Edit::CreateVhost(path("/w")));
    assert!(matches!(created, Err(Error::NoRandom)));
    let replaced = rig.edit(Edit::ReplaceToken(path("/v")));
    assert!(matches!(replaced, Err(Error::NoRandom)));
    assert_eq!(rig.registry.vhosts().len(), 1);
}

#[test]
fn questions_to_a_stuck_shard_do_not_pile_up() {
    let (mut rig, _) = Rig::with_vhost(2, 39);
    let ask = |rig: &mut Rig, shard| {
        let question = Box::new(Question::Busiest(1));
        rig.registry.query(shard, 1, question)
    };
    for _ in 0..QUESTION_BACKLOG_MAX {
        ask(&mut rig, 1).expect("room");
    }
    assert!(matches!(ask(&mut rig, 1), Err(Error::NoAnswer)));
    ask(&mut rig, 0).expect("another shard is not stuck");
    assert!(
        matches!(ask(&mut rig, 2), Err(Error::NoAnswer)),
        "no such shard"
    );
    rig.send();
    ask(&mut rig, 1).expect("the ring has taken them");
}
