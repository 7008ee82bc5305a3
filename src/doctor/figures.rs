/// A number with commas: `1,048,576`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of a thing: `1 queue`, `2,000 queues`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// Bytes in the largest unit of which there is one: `23.5 GiB`, `512 KiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.iter().find(|(shift, _)| count >> shift > 0) else {
        return format!("{count} bytes");
    };
    let tenths = (count >> (shift - 10)) * 10 / 1024;
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", grouped(tenths / 10))
    } else {
        format!("{}.{} {unit}", grouped(tenths / 10), tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1 << 20, "1,048,576"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn bytes_take_the_largest_unit() {
        for (count, text) in [
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (8 << 20, "8 MiB"),
            (2000 << 30, "2,000 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
