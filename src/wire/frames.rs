//! Where frames end in bytes that a server has written.

/// Lengths of the frames in `bytes`, header included, which begin with a frame
/// and hold whole ones only. They are unmasked, and their writer is trusted:
/// nothing is judged, extension bits least of all.
pub fn lengths(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = first_length(rest)?;
        rest = &rest[length..];
        Some(length)
    })
}

/// ```text
/// byte 0      1       2..4 or 2..10
/// F RSV opco  length  126: u16, 127: u64   payload
/// ```
fn first_length(bytes: &[u8]) -> Option<usize> {
    let short = usize::from(bytes.get(1)? & 0x7f);
    let length = match short {
        126 => 4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        127 => 10usize.checked_add(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize)?,
        _ => 2 + short,
    };
    (length <= bytes.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{CloseCode, write_close, write_text};

    #[test]
    fn frames_of_every_form_of_length() {
        let payloads = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000];
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for payload in payloads {
            let before = bytes.len();
            write_text(&mut bytes, &[&vec![b'x'; payload]]);
            expected.push(bytes.len() - before);
        }
        let before = bytes.len();
        write_close(&mut bytes, CloseCode::NORMAL, "bye");
        expected.push(bytes.len() - before);
        assert_eq!(lengths(&bytes).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_compressed_frame_is_as_long_as_any() {
        let mut bytes = Vec::new();
        write_text(&mut bytes, &[b"small"]);
        bytes[0] |= 0x40;
        let length = bytes.len();
        assert_eq!(lengths(&bytes).collect::<Vec<_>>(), [length]);
    }

    /// Cannot be, and ends the walk all the same.
    #[test]
    fn what_is_not_whole_is_no_frame() {
        let mut bytes = Vec::new();
        write_text(&mut bytes, &[&[b'x'; 300]]);
        for length in 0..bytes.len() {
            assert_eq!(lengths(&bytes[..length]).count(), 0, "{length}");
        }
        let endless = [0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(lengths(&endless).count(), 0);
    }
}
