//! Durations and sizes as people write them: `5d`, `90s`, `50MB`, `16MiB`.
//!
//! Not a general calculator: one whole number and one unit. What is written is read back as the same value.

use std::time::Duration;

const WAIT_UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a duration: digits and one of `s m h d w`. `None` for anything else and for what overflows.
pub fn parse_wait(text: &str) -> Option<Duration> {
    parse_with(text, &WAIT_UNITS).map(Duration::from_secs)
}

/// Reads a size in bytes: digits and one of `B KB MB GB KiB MiB GiB`. `None` for anything else and for what overflows.
pub fn parse_size(text: &str) -> Option<u64> {
    parse_with(text, &SIZE_UNITS)
}

/// Writes a duration in the largest unit that divides it.
pub fn encode_wait(wait: Duration) -> String {
    encode_with(wait.as_secs(), &WAIT_UNITS)
}

/// Writes a size in the largest unit that divides it.
pub fn encode_size(bytes: u64) -> String {
    encode_with(bytes, &SIZE_UNITS)
}

fn parse_with(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn encode_with(value: u64, units: &[(&str, u64)]) -> String {
    for (name, factor) in units {
        if value != 0 && value.is_multiple_of(*factor) {
            return format!("{}{name}", value / factor);
        }
    }
    format!("{value}{}", units.last().map_or("", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_wait("5d"), Some(Duration::from_secs(432_000)));
        assert_eq!(parse_wait("90 s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_size("50MB"), Some(50_000_000));
        assert_eq!(parse_size("16MiB"), Some(16 << 20));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "d", "-5d", "5 days", "1.5h", "5D", "99999999999999999999s", "18446744073709551615w"] {
            assert_eq!(parse_wait(text), None, "{text}");
        }
        for text in ["50", "50mb", "MB", "50M", "18446744073709551615GB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for seconds in [0, 1, 59, 60, 90, 3_600, 86_400, 432_000, 604_800, 604_801] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(parse_wait(&encode_wait(wait)), Some(wait));
        }
        for bytes in [0, 1, 1_000, 1_024, 50_000_000, 16 << 20, 1 << 30, 12_345] {
            assert_eq!(parse_size(&encode_size(bytes)), Some(bytes));
        }
    }
}
