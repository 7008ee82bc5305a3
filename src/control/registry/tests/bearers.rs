//! Who has used a single access token is told so once it can't be used again.

use super::*;
use crate::hub::envelope::Bearer;
use crate::limits::CHANGES_PER_COMMIT_MAX;
use crate::model::Status;

/// A vhost with one token, whose bearer is on the last shard.
fn with_token(seed: u64) -> (Rig, SingleAccessToken) {
    let (mut rig, vhost) = Rig::with_vhost(2, seed);
    let Outcome::Token(token) = rig.ask_through(1, vhost, grant()) else {
        panic!("no token");
    };
    rig.answers.clear();
    (rig, *token)
}

fn bearer(slot: u32) -> Bearer {
    Bearer {
        from: peer(1, slot),
        grant: Box::new(Grant {
            uid: "u".into(),
            pattern: ".*".into(),
        }),
    }
}

/// What bearers were told, in order.
fn told(rig: &mut Rig) -> Vec<(u32, Result<Box<str>, Status>)> {
    rig.send();
    while rig.step_shard(1) {}
    let told = rig.answers.drain(..).filter_map(|answer| match answer {
        Delivery::Token { conn, grant } => Some((conn.slot, grant.map(|grant| grant.uid))),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_bearer_waits_until_the_store_has_forgotten_the_token_au_06() {
    let (mut rig, token) = with_token(70);
    rig.registry.handle_spent(&token, Some(bearer(5)));
    assert_eq!(told(&mut rig), []);
    assert!(rig.begin_commit());
    assert_eq!(told(&mut rig), []);
    rig.end_commit(true);
    assert!(rig.store.tokens.is_empty());
    assert_eq!(told(&mut rig), [(5, Ok("u".into()))]);
}

#[test]
fn a_bearer_is_told_597_where_the_store_refuses() {
    let (mut rig, token) = with_token(71);
    rig.registry.handle_spent(&token, Some(bearer(5)));
    rig.begin_commit();
    rig.end_commit(false);
    assert_eq!(told(&mut rig), [(5, Err(Status::InternalError))]);
    // The token is spent all the same, and the bearer is told once.
    rig.begin_commit();
    rig.end_commit(true);
    assert!(rig.store.tokens.is_empty());
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_token_gone_meanwhile_is_402() {
    let (mut rig, token) = with_token(72);
    rig.edit(Edit::DeleteVhost(path("/v"))).expect("deleted");
    rig.registry.handle_spent(&token, Some(bearer(5)));
    assert_eq!(told(&mut rig), [(5, Err(Status::Unauthorized))]);
    assert!(!rig.begin_commit());
}

#[test]
fn the_first_bearers_are_told_first() {
    let (mut rig, vhost) = Rig::with_vhost(2, 73);
    let count = CHANGES_PER_COMMIT_MAX as u32 + 1;
    for slot in 0..count {
        let mut bytes = [0; SingleAccessToken::BYTES];
        bytes[..4].copy_from_slice(&slot.to_be_bytes());
        let token = SingleAccessToken::from_random(bytes);
        rig.registry.tokens.insert(token, vhost, u64::MAX);
        rig.registry.handle_spent(&token, Some(bearer(slot)));
    }
    for durable in [false, true, true] {
        rig.begin_commit();
        rig.end_commit(durable);
    }
    let slots: Vec<_> = told(&mut rig).into_iter().map(|(slot, _)| slot).collect();
    // The first batch was refused, and it alone: the last one was not in it.
    assert!(slots.into_iter().eq(0..count));
}
