//! What is committed is there after a restart, and it alone.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

#[test]
fn a_new_store_is_empty_and_its_owners_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::open_durable(dir.path()).expect("made");
    assert_eq!(rig.load(), Snapshot::default());
    let file = dir.path().join("test-node.redb");
    let mode = file.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!dir.path().join("test-node.redb.new").exists());
}

#[test]
fn a_start_cut_short_is_made_good() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("test-node.redb.new"), "half").expect("written");
    let mut rig = Rig::open_durable(dir.path()).expect("made");
    rig.commit(vec![added(0)]).expect("stored");
    drop(rig);
    let mut rig = Rig::open_durable(dir.path()).expect("opened");
    assert_eq!(rig.load(), applied([added(0)]));
}

#[test]
fn what_was_committed_is_read_again_st_01_st_04() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = [added(0), added(3), opened(0, 5, "a"), issued(3, 1)];
    let mut rig = Rig::open_durable(dir.path()).expect("made");
    rig.commit(records.to_vec()).expect("stored");
    // Also by the same process.
    assert_eq!(rig.load(), Snapshot::default(), "as of the opening");
    assert_eq!(rig.load(), applied(records.clone()));
    drop(rig);
    let mut rig = Rig::open_durable(dir.path()).expect("opened");
    assert_eq!(rig.load(), applied(records));
}

#[test]
fn ids_are_not_handed_out_again_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::open(dir.path()).expect("made");
    let vhost = VhostId(8);
    rig.commit(vec![added(8), opened(8, 40, "a")])
        .expect("stored");
    rig.commit(vec![Record::VhostDeleted { vhost }])
        .expect("stored");
    drop(rig);
    let snapshot = Rig::open(dir.path()).expect("opened").load();
    assert!(snapshot.vhosts.is_empty());
    assert_eq!((snapshot.next_vhost, snapshot.next_channel), (9, 41));
}

#[test]
fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let _first = Rig::open_durable(dir.path()).expect("made");
    assert!(matches!(
        Rig::open_durable(dir.path()),
        Err(Error::Locked(_))
    ));
}

/// Records as the registry makes them (ids only grow), and some that it never
/// would: for vhosts, channels and tokens that are not there.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let choice = (0..9u8, 0..6u32, 0..5u8);
    proptest::collection::vec(choice, 0..60).prop_map(|choices| {
        let (mut next_vhost, mut next_channel) = (0, 0);
        choices
            .into_iter()
            .map(|(kind, vhost, number)| {
                let channel = name(&format!("c{number}"));
                let id = VhostId(vhost);
                match kind {
                    0..=1 => {
                        next_vhost += 1;
                        added(next_vhost - 1)
                    }
                    2..=3 => {
                        next_channel += 1;
                        opened(vhost, next_channel, channel.as_str())
                    }
                    4 => Record::ChannelClosed {
                        vhost: id,
                        name: channel,
                    },
                    5 => Record::TokenReplaced {
                        vhost: id,
                        token: AccessToken::from_random([number; 20]),
                    },
                    // A token is random: no two vhosts ever have the same.
                    6 => issued(vhost, vhost as u8 * 16 + number),
                    7 => Record::TokenForgotten {
                        vhost: id,
                        token: Box::new(token(vhost as u8 * 16 + number)),
                    },
                    _ => Record::VhostDeleted { vhost: id },
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_records_are_kept_as_a_snapshot_keeps_them(
        records in records(),
        batch in 1..12usize,
        restart in 1..4usize,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut rig = Rig::open(dir.path()).expect("made");
        for (number, batch) in records.chunks(batch).enumerate() {
            rig.commit(batch.to_vec()).expect("stored");
            if number % restart == 0 {
                drop(rig);
                rig = Rig::open(dir.path()).expect("opened");
            }
        }
        drop(rig);
        let kept = Rig::open(dir.path()).expect("opened").load();
        prop_assert_eq!(kept, applied(records));
    }
}
