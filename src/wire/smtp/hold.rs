//! Mail to be held before it is sent on (FUTURERELEASE, RFC 4865): the parameters HOLDFOR and HOLDUNTIL.
//!
//! Receives their values; hands on how long or until when. Asks no clock.

use crate::wire::date::Timestamp;
use std::time::Duration;

/// How long a message waits before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// HOLDFOR, from when it was accepted.
    For(Duration),
    /// HOLDUNTIL.
    Until(Timestamp),
}

/// What FUTURERELEASE announces (RFC 4865 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldBounds {
    /// The longest HOLDFOR.
    pub interval: Duration,
    /// The latest HOLDUNTIL.
    pub latest: Timestamp,
}

impl Hold {
    /// When a message accepted now may be sent.
    pub fn release(self, now: Timestamp) -> Timestamp {
        match self {
            Hold::For(wait) => now.plus(wait),
            Hold::Until(at) => at.max(now),
        }
    }

    pub(super) fn is_within(self, bounds: HoldBounds) -> bool {
        match self {
            Hold::For(wait) => wait <= bounds.interval,
            Hold::Until(at) => at <= bounds.latest,
        }
    }
}

/// As a notice quotes it: the `orig-hold-param-value` of RFC 4865 section 5.1.2.
impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hold::For(wait) => write!(f, "for;{}", wait.as_secs()),
            Hold::Until(at) => write!(f, "until;{}", encode_utc(*at)),
        }
    }
}

impl HoldBounds {
    /// The keyword line of EHLO.
    pub(super) fn keyword(self) -> String {
        format!("FUTURERELEASE {} {}", self.interval.as_secs(), encode_utc(self.latest))
    }
}

/// `future-release-interval = %x31-39 *8DIGIT`, in seconds.
pub(super) fn parse_hold_for(value: &[u8]) -> Option<Hold> {
    let well_formed =
        (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) && !value.starts_with(b"0");
    let digits = std::str::from_utf8(value).ok().filter(|_| well_formed)?;
    Some(Hold::For(Duration::from_secs(digits.parse().ok()?)))
}

/// `Internet-style-date-time-UTC`: the `date-time` of RFC 3339 section 5.6 with the zone `Z`. Fractions of a second are
/// rounded up, for nothing may be sent too early.
pub(super) fn parse_hold_until(value: &[u8]) -> Option<Hold> {
    let text = std::str::from_utf8(value).ok()?;
    let (date, rest) = text.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    let fraction = rest.strip_suffix(['Z', 'z'])?;
    let is_fraction = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !fraction.is_empty() && !fraction.strip_prefix('.').is_some_and(is_fraction) {
        return None;
    }
    let mut numbers = [0; 6];
    let mut rest = date;
    for (number, (digits, after)) in
        numbers.iter_mut().zip([(4, "-"), (2, "-"), (2, "Tt"), (2, ":"), (2, ":"), (2, "")])
    {
        let (text, tail) = rest.split_at_checked(digits)?;
        if !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        *number = text.parse::<u16>().ok()?;
        rest = if after.is_empty() { tail } else { tail.strip_prefix(|c| after.contains(c))? };
    }
    let [year, month, day, hour, minute, second] = numbers;
    let small = |number: u16| u8::try_from(number).ok();
    let month = time::Month::try_from(small(month)?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(year), month, small(day)?).ok()?;
    // A leap second counts as the one after it.
    let (leap, second) = if second == 60 { (1, 59) } else { (0, second) };
    let at = date.with_hms(small(hour)?, small(minute)?, small(second)?).ok()?.assume_utc().unix_timestamp();
    let seconds = at + leap + i64::from(fraction.bytes().any(|digit| (b'1'..=b'9').contains(&digit)));
    Some(Hold::Until(Timestamp(seconds.checked_mul(1000)?)))
}

/// A time as RFC 3339 writes it, in UTC.
pub fn encode_utc(at: Timestamp) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, clock) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals() {
        let parsed = |text: &str| parse_hold_for(text.as_bytes());
        assert_eq!(parsed("1"), Some(Hold::For(Duration::from_secs(1))));
        assert_eq!(parsed("999999999"), Some(Hold::For(Duration::from_secs(999_999_999))));
        for text in ["", "0", "01", "-1", "1.5", "1000000000", "x"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(Hold::For(Duration::from_secs(2)).release(Timestamp(5)), Timestamp(2005));
    }

    #[test]
    fn dates() {
        let parsed = |text: &str| parse_hold_until(text.as_bytes()).map(|hold| hold.release(Timestamp(0)).0);
        assert_eq!(parsed("2026-11-21T12:00:00Z"), Some(1_795_262_400_000));
        assert_eq!(parsed("2026-11-21t12:00:00.50z"), Some(1_795_262_401_000));
        assert_eq!(parsed("2016-12-31T23:59:60Z"), Some(1_483_228_800_000));
        for text in [
            "",
            "2026-11-21T12:00:00",
            "2026-11-21T12:00:00+00:00",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-13-21T12:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:61Z",
            "+026-11-21T12:00:00Z",
            "2026-11-21 12:00:00Z",
            "2026/11/21T12:00:00Z",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(Hold::Until(Timestamp(5)).release(Timestamp(9)), Timestamp(9), "what is past is now");
        assert_eq!(Hold::Until(Timestamp(5)).to_string(), "until;1970-01-01T00:00:00Z");
    }

    #[test]
    fn bounds() {
        let bounds = HoldBounds { interval: Duration::from_secs(60), latest: Timestamp(1_795_262_400_000) };
        assert_eq!(bounds.keyword(), "FUTURERELEASE 60 2026-11-21T12:00:00Z");
        assert!(Hold::For(Duration::from_secs(60)).is_within(bounds));
        assert!(!Hold::For(Duration::from_secs(61)).is_within(bounds));
        assert!(Hold::Until(bounds.latest).is_within(bounds));
        assert!(!Hold::Until(bounds.latest.plus(Duration::from_secs(1))).is_within(bounds));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0i64..253_402_300_800) {
            let at = Timestamp(seconds * 1000);
            prop_assert_eq!(parse_hold_until(encode_utc(at).as_bytes()), Some(Hold::Until(at)));
        }

        #[test]
        fn any_bytes_are_survived(bytes in "[0-9TZ:.\\-]{0,25}") {
            let _ = (parse_hold_for(bytes.as_bytes()), parse_hold_until(bytes.as_bytes()));
        }
    }
}
