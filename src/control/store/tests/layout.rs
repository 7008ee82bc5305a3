//! The bytes are a promise to later releases: they are written out here.

use proptest::prelude::*;

use super::*;
use crate::control::store::layout::*;
use crate::control::store::{Damage, StoredVhost};
use crate::limits::{PACKET_BYTES_MAX, PATTERN_BYTES_MAX};

#[test]
fn a_vhost() {
    let key = vhost_key(VhostId(0x01020304));
    let value = encode_vhost("/a/b", &AccessToken::from_random([9; 20]));
    assert_eq!(key, [1, 2, 3, 4]);
    assert_eq!(value, [&[9; 20][..], b"/a/b"].concat());
    let (id, vhost) = decode_vhost(&key, &value).expect("valid");
    let expected = StoredVhost {
        path: VhostPath::parse("/a/b").expect("valid"),
        token: AccessToken::from_random([9; 20]),
        channels: Default::default(),
    };
    assert_eq!((id, vhost), (VhostId(0x01020304), expected));
    for (key, value) in [
        (&key[..3], &value[..]),
        (&[0; 5], &value),
        (&key, &value[..19]),
        (&key, &value[..20]),
        (&key, &value[..21]),
        (&key, &[0xff; 24]),
    ] {
        expect_damage(decode_vhost(key, value), "vhosts");
    }
}

#[test]
fn a_channel() {
    let key = channel_key(VhostId(1), &name("room"));
    let value = encode_channel(ChannelId(0x0102));
    assert_eq!(key, b"\0\0\0\x01room");
    assert_eq!(value, [0, 0, 0, 0, 0, 0, 1, 2]);
    let decoded = decode_channel(&key, &value).expect("valid");
    assert_eq!(decoded, (VhostId(1), name("room"), ChannelId(0x0102)));
    for (key, value) in [
        (&b"\0\0\0"[..], &value[..]),
        (b"\0\0\0\x01", &value),
        (b"\0\0\0\x01a b", &value),
        (b"\0\0\0\x01\xff", &value),
        (&key, &value[..7]),
        (&key, &[0; 9]),
    ] {
        expect_damage(decode_channel(key, value), "channels");
    }
}

#[test]
fn a_token() {
    let Record::TokenIssued { stored, .. } = issued(1, 7) else {
        unreachable!("made so");
    };
    let key = token_key(VhostId(1), &token(7));
    let value = encode_token(&stored);
    assert_eq!(key, [&[0, 0, 0, 1][..], &[7; 64]].concat());
    let expected = [
        &[0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..],
        "jöe".as_bytes(),
        b"private-.*",
    ];
    assert_eq!(value, expected.concat());
    let decoded = decode_token(&key, &value).expect("valid");
    assert_eq!(decoded, (token(7), stored));
    let long_uid = [0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15];
    for (key, value) in [
        (&key[..3], &value[..]),
        (&key[..67], &value),
        (&[0; 69], &value),
        (&key, &value[..11]),
        (&key, &value[..13]),
        (&key, &[0xff; 30]),
        (&key, &[&long_uid[..], b"too short"].concat()),
    ] {
        expect_damage(decode_token(key, value), "tokens");
    }
}

#[test]
fn what_a_token_gives_is_bounded() {
    let value = |uid: usize, pattern: usize| {
        encode_token(&StoredToken {
            vhost: VhostId(0),
            grant: Box::new(Grant {
                uid: "u".repeat(uid).into(),
                pattern: "p".repeat(pattern).into(),
            }),
            expires_at_ms: 0,
        })
    };
    let key = token_key(VhostId(0), &token(0));
    for (uid, pattern) in [(0, 0), (PACKET_BYTES_MAX, PATTERN_BYTES_MAX)] {
        assert!(decode_token(&key, &value(uid, pattern)).is_ok());
    }
    for (uid, pattern) in [(PACKET_BYTES_MAX + 1, 0), (0, PATTERN_BYTES_MAX + 1)] {
        expect_damage(decode_token(&key, &value(uid, pattern)), "tokens");
    }
}

#[test]
fn the_state() {
    let state = State {
        batch: 1,
        next_vhost: 2,
        next_channel: 3,
    };
    let value = state.encode();
    let expected = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
    assert_eq!(value, expected);
    assert_eq!(State::decode(&value).expect("valid"), state);
    expect_damage(State::decode(&value[..19]), "meta");
    expect_damage(State::decode(&[0; 21]), "meta");
    // Ids never go back, whatever comes in which order.
    let after = state.after(&[added(7), added(5), opened(7, 9, "a"), opened(7, 8, "b")]);
    let expected = State {
        batch: 2,
        next_vhost: 8,
        next_channel: 10,
    };
    assert_eq!(after, expected);
}

#[test]
fn the_format() {
    assert_eq!(encode_format(FORMAT), [0, 0, 0, 1]);
    assert_eq!(decode_format(&[0, 0, 1, 0]).expect("valid"), 256);
    expect_damage(decode_format(&[1]), "meta");
}

#[test]
fn a_vhosts_keys_are_its_own() {
    let keys = keys_of(VhostId(0xff));
    let of = |vhost| channel_key(VhostId(vhost), &name("zzz"));
    let within = |key: &[u8]| key >= &keys.start[..] && key < &keys.end[..];
    assert!(within(&of(0xff)));
    assert!(!within(&of(0xfe)) && !within(&of(0x100)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(key: Vec<u8>, value: Vec<u8>) {
        if let Ok((id, vhost)) = decode_vhost(&key, &value) {
            prop_assert_eq!(&vhost_key(id)[..], &key);
            prop_assert_eq!(encode_vhost(vhost.path.as_str(), &vhost.token), &value[..]);
        }
        if let Ok((vhost, name, channel)) = decode_channel(&key, &value) {
            prop_assert_eq!(channel_key(vhost, &name), &key[..]);
            prop_assert_eq!(&encode_channel(channel)[..], &value);
        }
        if let Ok((token, stored)) = decode_token(&key, &value) {
            prop_assert_eq!(token_key(stored.vhost, &token), &key[..]);
            prop_assert_eq!(encode_token(&stored), &value[..]);
        }
        if let Ok(state) = State::decode(&value) {
            prop_assert_eq!(state.encode(), value);
        }
    }

    #[test]
    fn any_grant_comes_back(uid: String, pattern in "[a-z.*|()]{0,40}", expires_at_ms: u64) {
        let grant = Grant { uid: uid.into(), pattern: pattern.into() };
        let stored = StoredToken { vhost: VhostId(3), grant: Box::new(grant), expires_at_ms };
        let decoded = decode_token(&token_key(VhostId(3), &token(9)), &encode_token(&stored));
        prop_assert_eq!(decoded.expect("valid"), (token(9), stored));
    }
}

fn expect_damage<T>(decoded: Result<T, Damage>, in_table: &str) {
    match decoded {
        Err(Damage::Entry { table, .. }) => assert_eq!(table, in_table),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken for valid"),
    }
}
