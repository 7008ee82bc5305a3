use proptest::prelude::*;

use super::*;
use crate::wire::frame::CloseCode;

fn answer(offer: &str) -> Option<String> {
    Agreement::choose(offer.as_bytes()).map(Agreement::answer)
}

fn params(window_bits: u8) -> Params {
    Params { window_bits }
}

/// What a peer makes of a frame: its message.
fn open(frame: &[u8]) -> Vec<u8> {
    let mut plain = frame.to_vec();
    plain[0] &= !0x40;
    let header = parse_server_header(&plain).expect("valid").expect("whole");
    let payload = &frame[header.header_bytes..];
    assert_eq!(payload.len(), header.payload_bytes);
    if frame[0] & 0x40 == 0 {
        return payload.to_vec();
    }
    let mut inflater = Inflater::default();
    inflater
        .inflate(payload, 1 << 24)
        .expect("deflate data")
        .to_vec()
}

fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_message(&mut frame, Opcode::Text, text);
    frame
}

#[test]
fn offers_that_are_taken() {
    let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for offer in [
        "permessage-deflate",
        "Permessage-Deflate ; CLIENT_MAX_WINDOW_BITS",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=\"15\"; server_no_context_takeover",
        "permessage-deflate;client_no_context_takeover;server_no_context_takeover",
        "other; x=\"a, permessage-deflate\", permessage-deflate",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "permessage-deflate; unknown, permessage-deflate",
    ] {
        assert_eq!(answer(offer).as_deref(), Some(plain), "{offer}");
    }
    // Who asks for a window is told of it; a smaller one will do.
    for (bits, given) in [(9, 9), (10, 9), (11, 9), (12, 12), (14, 12), (15, 15)] {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let expected = format!("{plain}; server_max_window_bits={given}");
        assert_eq!(answer(&offer), Some(expected));
    }
    assert_eq!(WINDOWS.map(|bits| params(bits).index()), [0, 1, 2]);
}

#[test]
fn offers_that_are_declined() {
    for offer in [
        "",
        ",;",
        "deflate-frame",
        "permessage-deflate2",
        "permessage-deflate; unknown",
        "permessage-deflate;",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=1e1",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=\"",
        "x=\"permessage-deflate, permessage-deflate",
    ] {
        assert_eq!(answer(offer), None, "{offer}");
    }
}

#[test]
fn the_examples_of_rfc_7692() {
    let mut inflater = Inflater::default();
    for hello in [
        // One block; without compression; in a last block; in two blocks.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ],
    ] {
        assert_eq!(inflater.inflate(hello, 5), Ok(&b"Hello"[..]), "{hello:x?}");
    }
    assert_eq!(inflater.inflate(&[0], 0), Ok(&b""[..]));
    // No window is kept: what reaches back to an earlier message is no data.
    let back = [0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflater.inflate(&back, 5), Err(Violation::NOT_DEFLATED));
}

#[test]
fn what_is_no_deflate_data_is_1007() {
    let mut inflater = Inflater::default();
    for bad in [&[0xff][..], &[0x07; 9], &[0x00, 0x01, 0x02, 0x03, 0x04]] {
        let error = inflater.inflate(bad, 100).expect_err("no data");
        assert_eq!(error.code, CloseCode::INVALID_PAYLOAD);
    }
    let good = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflater.inflate(&good, 5), Ok(&b"Hello"[..]), "afterwards");
}

#[test]
fn inflated_messages_at_the_bound_and_past_it() {
    let mut inflater = Inflater::default();
    let mut deflater = Deflater::new(params(15));
    for bytes in [128, 4095, 4096, 4097, 100_000, 1 << 20] {
        assert!(deflater.deflate(&vec![b'x'; bytes]));
        let deflated = deflater.deflated.clone();
        let message = inflater.inflate(&deflated, bytes).map(<[u8]>::len);
        assert_eq!(message, Ok(bytes));
        let past = inflater.inflate(&deflated, bytes - 1);
        assert_eq!(past, Err(Violation::TOO_BIG), "{bytes}");
    }
}

#[test]
fn a_bomb_takes_no_more_memory_than_the_bound() {
    let mut deflater = Deflater::new(params(15));
    assert!(deflater.deflate(&vec![0; 64 << 20]));
    assert!(deflater.deflated.len() < 400_000);
    let bomb = std::mem::take(&mut deflater.deflated);
    let mut inflater = Inflater::default();
    assert_eq!(inflater.inflate(&bomb, 65_536), Err(Violation::TOO_BIG));
    assert!(inflater.message.capacity() <= 2 * 65_536);
    // A large one within its bound is given back by the next.
    let mut frame = Vec::new();
    deflater.write_message(Opcode::Text, &vec![b'y'; 8 << 20], &mut frame);
    assert_eq!(open(&frame).len(), 8 << 20);
    assert!(inflater.inflate(&[0], 10).is_ok());
    assert!(inflater.message.capacity() <= DEFLATE_KEPT_BYTES_MAX);
}

#[test]
fn short_and_long_messages_go_as_they_are() {
    let mut deflater = Deflater::new(params(15));
    for (bytes, compressed) in [
        (0, false),
        (DEFLATE_BYTES_MIN - 1, false),
        (DEFLATE_BYTES_MIN, true),
        (DEFLATE_BYTES_MAX, true),
        (DEFLATE_BYTES_MAX + 1, false),
    ] {
        let frame = text_frame(&vec![b'a'; bytes]);
        let mut out = Vec::new();
        assert_eq!(deflater.write_frame(&frame, &mut out), compressed);
        assert_eq!(out == frame, !compressed);
        assert_eq!(open(&out), vec![b'a'; bytes]);
    }
}

#[test]
fn what_does_not_get_smaller_goes_as_it_is() {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    let mut frame = Vec::new();
    let noise: Vec<u8> = noise.take(5000).collect();
    write_message(&mut frame, Opcode::Binary, &noise);
    let mut out = Vec::new();
    assert!(!Deflater::new(params(15)).write_frame(&frame, &mut out));
    assert_eq!(out, frame);
}

#[test]
fn a_small_window_is_kept_to() {
    // Repeats at a distance that only a larger window reaches.
    let mut noise = 7_u32;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + (noise >> 26) as u8
    })
    .take(2000)
    .collect();
    let frame = text_frame(&block.repeat(4));
    let (mut small, mut large) = (Vec::new(), Vec::new());
    assert!(Deflater::new(params(9)).write_frame(&frame, &mut small));
    assert!(Deflater::new(params(15)).write_frame(&frame, &mut large));
    assert!(
        2 * large.len() < small.len(),
        "{} {}",
        large.len(),
        small.len()
    );
    assert_eq!(open(&small), open(&large));
    // What a peer with only that window reads.
    let mut inflater = Inflater {
        state: Some(Box::new(Decompress::new_with_window_bits(false, 9))),
        message: Vec::new(),
    };
    let header = 4;
    let message = inflater.inflate(&small[header..], 8000);
    assert_eq!(message.map(<[u8]>::len), Ok(8000));
}

proptest! {
    #[test]
    fn every_message_comes_back(
        word in prop::collection::vec(any::<u8>(), 1..40),
        times in 1..300_usize,
        bits in prop::sample::select(WINDOWS.to_vec()),
    ) {
        let message = word.repeat(times);
        let mut frame = Vec::new();
        write_message(&mut frame, Opcode::Binary, &message);
        let mut deflater = Deflater::new(params(bits));
        let mut first = Vec::new();
        deflater.write_frame(&frame, &mut first);
        prop_assert_eq!(open(&first), &message[..]);
        prop_assert!(first.len() <= frame.len());
        // Compressed in any case.
        let mut whole = Vec::new();
        deflater.write_message(Opcode::Binary, &message, &mut whole);
        prop_assert_eq!(whole[0], 0xc2);
        prop_assert_eq!(open(&whole), &message[..]);
        // Each message stands for itself.
        let mut second = Vec::new();
        deflater.write_frame(&frame, &mut second);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn no_bytes_pass_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..200), bound in 0..500_usize) {
        let mut inflater = Inflater::default();
        if let Ok(message) = inflater.inflate(&bytes, bound) {
            prop_assert!(message.len() <= bound);
        }
    }
}
