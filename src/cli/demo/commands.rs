//! What the demo's worker can do.

use std::time::{SystemTime, UNIX_EPOCH};

/// The answer to a line of chat that begins with a slash.
pub(super) fn answer(line: &str) -> String {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("/time"), _) => time(),
        (Some("/roll"), dice) => roll(dice.unwrap_or("1d6")),
        (Some("/help"), _) => "/time tells the time, /roll 2d6 rolls dice".into(),
        _ => format!("{line:?} is beyond me; try /help"),
    }
}

fn time() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("it is {hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

/// Dice a throw; more would be no answer to read.
const DICE_MAX: usize = 20;

fn roll(dice: &str) -> String {
    let Some((count, sides)) = parse(dice) else {
        return format!("{dice:?} are no dice; try /roll 2d6");
    };
    let mut random = vec![0; count * 4];
    if getrandom::fill(&mut random).is_err() {
        return "the dice are lost".into();
    }
    let rolled: Vec<u32> = random
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % sides + 1)
        .collect();
    let sum: u32 = rolled.iter().sum();
    format!("{dice}: {rolled:?} = {sum}")
}

fn parse(dice: &str) -> Option<(usize, u32)> {
    let (count, sides) = dice.split_once('d')?;
    let count = if count.is_empty() {
        1
    } else {
        count.parse().ok()?
    };
    let sides = sides.parse().ok()?;
    ((1..=DICE_MAX).contains(&count) && (2..=1000).contains(&sides)).then_some((count, sides))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_at_their_bounds_and_past() {
        assert_eq!(parse("2d6"), Some((2, 6)));
        assert_eq!(parse("d20"), Some((1, 20)));
        assert_eq!(parse("20d1000"), Some((20, 1000)));
        for bad in ["", "6", "0d6", "21d6", "1d1", "1d1001", "xd6", "1d", "-1d6"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_whatever_is_asked() {
        assert!(answer("/roll 3d6").starts_with("3d6: ["));
        assert!(answer("/time").ends_with("UTC"));
        assert!(answer("/help").contains("/roll"));
        assert!(answer("/nonsense").contains("/help"));
        assert!(answer("").contains("/help"));
    }
}
