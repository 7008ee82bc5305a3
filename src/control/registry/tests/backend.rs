//! What backends and admin see when the store and the shards do their work.

use super::*;
use crate::hub::home_of_token;
use crate::limits::SINGLE_ACCESS_TOKEN_LIFETIME;
use crate::model::Status;

#[test]
fn an_open_is_acknowledged_when_every_shard_knows_oc_01() {
    let (mut rig, vhost) = Rig::with_vhost(3, 1);
    rig.ask(7, vhost, Ask::Open(name("a")));
    rig.send();
    assert!(rig.rings.iter().all(VecDeque::is_empty), "not yet stored");
    rig.begin_commit();
    rig.end_commit(true);
    for shard in [2, 0, 1] {
        rig.send();
        assert_eq!(rig.outcome(7), None);
        assert!(rig.step_shard(shard));
    }
    rig.settle();
    assert_eq!(rig.outcome(7), Some(Outcome::Done));
    let stored = &rig.store.vhosts[&vhost];
    assert!(stored.channels.contains_key("a"));
}

#[test]
fn opening_again_changes_nothing_oc_02() {
    let (mut rig, vhost) = Rig::with_vhost(2, 2);
    assert_eq!(
        rig.ask_through(1, vhost, Ask::Open(name("a"))),
        Outcome::Done
    );
    let before = rig.replicas[0].log.len();
    assert_eq!(
        rig.ask_through(2, vhost, Ask::Open(name("a"))),
        Outcome::Done
    );
    assert_eq!(rig.replicas[0].log.len(), before);
}

#[test]
fn opening_again_waits_for_the_first_open_oc_02() {
    let (mut rig, vhost) = Rig::with_vhost(2, 3);
    rig.ask(1, vhost, Ask::Open(name("a")));
    rig.begin_commit();
    rig.ask(2, vhost, Ask::Open(name("a")));
    rig.end_commit(true);
    rig.send();
    rig.step_shard(0);
    rig.ask(3, vhost, Ask::Open(name("a")));
    rig.send();
    // Shard 1 has not applied it: nobody is told that the channel is open.
    assert!(!rig.step_shard(0));
    rig.settle();
    for request in 1..=3 {
        assert_eq!(rig.outcome(request), Some(Outcome::Done));
    }
}

#[test]
fn closing_an_unknown_channel_is_454() {
    let (mut rig, vhost) = Rig::with_vhost(2, 4);
    let outcome = rig.ask_through(1, vhost, Ask::Close(name("a")));
    assert_eq!(outcome, Outcome::Failed(Status::ChannelNotFound));
    rig.ask_through(2, vhost, Ask::Open(name("a")));
    assert_eq!(
        rig.ask_through(3, vhost, Ask::Close(name("a"))),
        Outcome::Done
    );
    let outcome = rig.ask_through(4, vhost, Ask::Close(name("a")));
    assert_eq!(outcome, Outcome::Failed(Status::ChannelNotFound));
}

#[test]
fn a_channel_opened_anew_is_another_cc_05() {
    let (mut rig, vhost) = Rig::with_vhost(1, 5);
    rig.ask(1, vhost, Ask::Open(name("a")));
    rig.ask(2, vhost, Ask::Close(name("a")));
    rig.ask(3, vhost, Ask::Open(name("a")));
    rig.settle();
    let opened: Vec<_> = rig.replicas[0]
        .log
        .iter()
        .filter_map(|(_, change)| match change {
            Change::ChannelOpened { channel, .. } => Some(*channel),
            _ => None,
        })
        .collect();
    assert_eq!(opened.len(), 2);
    assert_ne!(opened[0], opened[1]);
}

#[test]
fn a_vhost_gone_meanwhile_is_402() {
    let (mut rig, vhost) = Rig::with_vhost(2, 6);
    let mut deleted = rig.start_edit(Edit::DeleteVhost(path("/v")));
    rig.ask(1, vhost, Ask::Open(name("a")));
    rig.ask(2, vhost, Ask::Close(name("a")));
    rig.ask(3, vhost, grant());
    rig.settle();
    assert!(deleted.try_recv().expect("answered").is_ok());
    for request in 1..=3 {
        let unauthorized = Some(Outcome::Failed(Status::Unauthorized));
        assert_eq!(rig.outcome(request), unauthorized);
    }
    assert_eq!(rig.log(0, 0), ["vhost added", "vhost deleted"]);
}

#[test]
fn a_token_is_known_to_its_home_shard_alone_at_01() {
    let (mut rig, vhost) = Rig::with_vhost(4, 7);
    for request in 0..64 {
        let outcome = rig.ask_through(request, vhost, grant());
        let Outcome::Token(token) = outcome else {
            panic!("{outcome:?}");
        };
        let home = usize::from(home_of_token(&token, 4));
        for (shard, replica) in rig.replicas.iter().enumerate() {
            assert_eq!(replica.tokens.contains(&(vhost, *token)), shard == home);
        }
        let stored = &rig.store.tokens[&token];
        assert_eq!(&*stored.grant.uid, "u");
        let lifetime = SINGLE_ACCESS_TOKEN_LIFETIME.as_millis() as u64;
        assert_eq!(stored.expires_at_ms, NOW_MS + lifetime);
    }
}

#[test]
fn a_spent_token_is_forgotten() {
    let (mut rig, vhost) = Rig::with_vhost(2, 8);
    let Outcome::Token(token) = rig.ask_through(1, vhost, grant()) else {
        panic!("no token");
    };
    rig.registry.handle_spent(&token, None);
    // Told twice, or never issued: nothing.
    rig.registry.handle_spent(&token, None);
    rig.settle();
    assert!(rig.store.tokens.is_empty());
}

#[test]
fn an_expired_token_is_forgotten() {
    let (mut rig, vhost) = Rig::with_vhost(2, 9);
    rig.ask_through(1, vhost, grant());
    let expiry = NOW_MS + SINGLE_ACCESS_TOKEN_LIFETIME.as_millis() as u64;
    rig.registry.handle_sweep(expiry - 1);
    rig.settle();
    assert_eq!(rig.store.tokens.len(), 1);
    rig.registry.handle_sweep(expiry);
    rig.settle();
    assert!(rig.store.tokens.is_empty());
}

#[test]
fn a_vhost_takes_all_with_it_and_starts_anew_empty_ad_11_ad_12() {
    let (mut rig, vhost) = Rig::with_vhost(2, 10);
    let old = rig.registry.vhost(&path("/v")).expect("there");
    rig.ask_through(1, vhost, Ask::Open(name("a")));
    rig.ask_through(2, vhost, grant());
    rig.registry
        .handle_worker_ready(vhost, worker_id(1), peer(1, 1));
    rig.settle();
    let before = [rig.replicas[0].log.len(), rig.replicas[1].log.len()];
    rig.edit(Edit::DeleteVhost(path("/v"))).expect("deleted");
    for (shard, before) in before.into_iter().enumerate() {
        assert_eq!(rig.log(shard, before), ["vhost deleted"]);
    }
    assert!(rig.store.vhosts.is_empty() && rig.store.tokens.is_empty());
    // Its shard closes the worker's connection and says so; nobody cares any more.
    rig.registry.handle_worker_gone(vhost, peer(1, 1));
    rig.settle();
    assert_eq!(rig.log(0, before[0]), ["vhost deleted"]);

    rig.edit(Edit::CreateVhost(path("/v"))).expect("created");
    let new = rig.registry.vhost(&path("/v")).expect("there");
    assert_eq!(new.channels, 0);
    assert_ne!(new.token, old.token);
    assert_ne!(rig.registry.paths[&path("/v")], vhost);
    assert_eq!(
        rig.registry.workers(&path("/v")).expect("there"),
        Vec::new()
    );
}

#[test]
fn of_concurrent_creations_one_wins_ad_31() {
    let mut rig = Rig::new(2, 11);
    let mut first = rig.start_edit(Edit::CreateVhost(path("/v")));
    let mut second = rig.start_edit(Edit::CreateVhost(path("/v")));
    let refused = second.try_recv().expect("answered at once");
    assert!(matches!(refused, Err(Error::VhostExists)));
    assert!(first.try_recv().is_err(), "not yet applied");
    rig.settle();
    assert!(first.try_recv().expect("answered").is_ok());
    assert_eq!(rig.registry.vhosts().len(), 1);
}

#[test]
fn vhosts_are_listed_by_path() {
    let mut rig = Rig::new(2, 12);
    for at in ["/b", "/a/z", "/c", "/a"] {
        rig.edit(Edit::CreateVhost(path(at))).expect("created");
    }
    let listed = rig.registry.vhosts();
    let paths: Vec<_> = listed.iter().map(|vhost| vhost.path.as_str()).collect();
    assert_eq!(paths, ["/a", "/a/z", "/b", "/c"]);
}

#[test]
fn clearing_answers_when_the_last_is_gone() {
    let mut rig = Rig::new(2, 13);
    for at in ["/a", "/b", "/c"] {
        rig.edit(Edit::CreateVhost(path(at))).expect("created");
    }
    let mut first = rig.start_edit(Edit::ClearVhosts);
    // Finds nothing left to delete, but what it promises is not yet true.
    let mut second = rig.start_edit(Edit::ClearVhosts);
    rig.begin_commit();
    rig.end_commit(true);
    rig.send();
    for _ in 0..3 {
        rig.step_shard(0);
    }
    assert!(first.try_recv().is_err() && second.try_recv().is_err());
    rig.settle();
    assert!(first.try_recv().expect("answered").is_ok());
    assert!(second.try_recv().expect("answered").is_ok());
    assert!(rig.replicas.iter().all(|it| it.vhosts.is_empty()));
}

#[test]
fn settling_waits_for_a_change_of_one_shard_and_for_older_ones_of_all() {
    let (mut rig, vhost) = Rig::with_vhost(2, 14);
    rig.ask(1, vhost, Ask::Open(name("a")));
    rig.ask(2, vhost, grant());
    let mut settled = rig.start_edit(Edit::Settle);
    rig.begin_commit();
    rig.end_commit(true);
    rig.send();
    let home = (0..2).find(|&shard| rig.rings[shard].len() == 2);
    let home = home.expect("a home shard") as ShardId;
    // The home shard has applied both, the newest change is through.
    assert!(rig.step_shard(home) && rig.step_shard(home));
    assert!(settled.try_recv().is_err());
    assert!(rig.step_shard(1 - home));
    assert!(settled.try_recv().expect("answered").is_ok());
}

#[test]
fn what_is_not_there_is_told() {
    let (mut rig, _) = Rig::with_vhost(2, 15);
    let missing = || path("/missing");
    for edit in [
        Edit::DeleteVhost(missing()),
        Edit::ReplaceToken(missing()),
        Edit::OpenChannel(missing(), name("a")),
        Edit::CloseChannel(missing(), name("a")),
        Edit::ClearChannels(missing()),
    ] {
        assert!(matches!(rig.edit(edit), Err(Error::VhostNotFound)));
    }
    let open = || Edit::OpenChannel(path("/v"), name("a"));
    let close = || Edit::CloseChannel(path("/v"), name("a"));
    assert!(matches!(rig.edit(close()), Err(Error::ChannelNotFound)));
    assert!(rig.edit(open()).is_ok());
    assert!(matches!(rig.edit(open()), Err(Error::ChannelExists)));
    assert!(rig.edit(close()).is_ok());
}
