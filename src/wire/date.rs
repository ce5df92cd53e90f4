//! Points in time, and their spelling in mail: Date fields, INTERNALDATE, SEARCH dates.
//!
//! Reads leniently what others wrote and writes strictly. Never reads a clock. Every parser answers `None` instead of
//! guessing when no calendar date can be read.

/// Milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// This time plus a duration; saturates.
    pub fn plus(self, wait: std::time::Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
    /// How long from `earlier` to this; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A point in time as mail writes it: with the zone of whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DateTime {
    /// Whole seconds since 1970-01-01 00:00:00 UTC.
    pub seconds: i64,
    /// Minutes east of UTC, -1439..=1439.
    pub zone_minutes: i16,
}

impl DateTime {
    /// The day on the writer's calendar, as days since 1970-01-01: what the SENT keys of SEARCH compare, "disregarding
    /// time and timezone" (RFC 3501 section 6.4.4).
    pub fn local_day(self) -> i64 {
        self.seconds.saturating_add(i64::from(self.zone_minutes) * 60).div_euclid(DAY_SECONDS)
    }
}

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The julian day number of 1970-01-01.
const EPOCH_JULIAN_DAY: i64 = 2_440_588;
/// 0001-01-01 and 9999-12-31 23:59:59: times outside are written as the nearest of the two.
const WRITABLE_SECONDS: (i64, i64) = (-62_135_596_800, 253_402_300_799);

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Parses the value of a Date field (RFC 5322 section 3.3 and the obsolete forms of section 4.3), and what software
/// has made of it: no weekday, full month names, month before day, two- and three-digit years, no seconds, dots for
/// colons, zones by name, no zone (then UTC), comments anywhere. `None` when no date can be read from it.
pub fn parse_date_time(value: &[u8]) -> Option<DateTime> {
    let mut words = Words { rest: value };
    let mut word = words.next()?;
    if word.first()?.is_ascii_alphabetic() && month_number(word).is_none() {
        word = words.next()?;
    }
    let (day, month) = match month_number(word) {
        Some(month) => (number(words.next()?)?, month),
        None => (number(word)?, month_number(words.next()?)?),
    };
    let mut year_word = words.next()?;
    let mut clock = words.next();
    // asctime puts the time before the year: "Thu Feb 13 21:26:31 1997".
    if year_word.contains(&b':') {
        let year = clock.filter(|word| word.len() == 4 && number(word).is_some())?;
        clock = Some(std::mem::replace(&mut year_word, year));
    }
    let mut year = i64::from(number(year_word)?);
    // RFC 5322 section 4.3: two digits are 1950..2049, three digits count from 1900.
    year += match year_word.len() {
        1 | 2 if year < 50 => 2000,
        1..=3 => 1900,
        _ => 0,
    };
    let time_seconds = match clock {
        Some(word) => clock_seconds(word)?,
        None => 0,
    };
    let zone_minutes = words.next().map_or(0, zone_minutes);
    let seconds = days(year, month, day)? * DAY_SECONDS + time_seconds - i64::from(zone_minutes) * 60;
    Some(DateTime { seconds, zone_minutes })
}

/// Formats the value of a Date field (RFC 5322 section 3.3): `Tue, 1 Jul 2003 10:52:37 +0200`.
pub fn encode_date_time(date: DateTime) -> String {
    let civil = Civil::of(date);
    let weekday = WEEKDAYS[civil.weekday % 7];
    let Civil { year, month, day, hour, minute, second, .. } = civil;
    let month = MONTHS[month % 12];
    format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} {}", encode_zone(date.zone_minutes))
}

/// Formats a time in UTC as RFC 3339 section 5.6 has it: `2003-07-01T10:52:37Z`.
pub fn encode_utc(at: Timestamp) -> String {
    let civil = Civil::of(DateTime { seconds: at.seconds(), zone_minutes: 0 });
    let Civil { year, month, day, hour, minute, second, .. } = civil;
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1)
}

/// Formats an IMAP `date-time` without its quotes (RFC 3501 section 9): ` 1-Jul-2003 10:52:37 +0200`.
pub fn encode_internal_date(date: DateTime) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::of(date);
    let month = MONTHS[month % 12];
    format!("{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {}", encode_zone(date.zone_minutes))
}

/// Parses an IMAP `date-time` without its quotes (RFC 3501 section 9): the day has two characters, the first of which may
/// be a space (one digit alone is taken too).
pub fn parse_internal_date(text: &[u8]) -> Option<DateTime> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let mut words = text.split(|&b| b == b' ');
    let day = parse_search_date(words.next()?)?;
    let clock = words.next()?;
    if clock.len() != 8 {
        return None;
    }
    let zone = words.next()?;
    if words.next().is_some() || zone.len() != 5 || !matches!(zone.first(), Some(b'+' | b'-')) {
        return None;
    }
    number(zone.get(1..)?)?;
    let zone_minutes = zone_minutes(zone);
    Some(DateTime { seconds: day * DAY_SECONDS + clock_seconds(clock)? - i64::from(zone_minutes) * 60, zone_minutes })
}

/// Parses the `date-text` of a SEARCH key (RFC 3501 section 9), `1-Jul-2003`, into days since 1970-01-01.
pub fn parse_search_date(text: &[u8]) -> Option<i64> {
    let mut words = text.split(|&b| b == b'-');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || day.len() > 2 || month.len() != 3 || year.len() != 4 {
        return None;
    }
    days(i64::from(number(year)?), month_number(month)?, number(day)?)
}

/// Cuts a date into words: parted by white space and commas, comments left out (RFC 5322 section 3.2.2).
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let mut depth = 0usize;
        let start = self.rest.iter().position(|&b| {
            match b {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ if depth == 0 => return !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b','),
                _ => {}
            }
            false
        })?;
        let text = self.rest.get(start..)?;
        let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'(');
        let end = text.iter().position(ends).unwrap_or(text.len());
        let (mut word, _) = text.split_at(end);
        // A zone may follow the time at once: "10:52:37+0200". A date may be written with hyphens: "1-Jul-2003".
        let glued = |(at, b): (usize, &u8)| at > 0 && (*b == b'+' && word.contains(&b':') || *b == b'-');
        let cut = word.iter().enumerate().position(glued);
        let skipped = match cut {
            Some(cut) => {
                let zone = word.contains(&b':');
                word = word.get(..cut)?;
                cut + usize::from(!zone)
            }
            None => end,
        };
        self.rest = text.get(skipped..)?;
        Some(word)
    }
}

fn number(word: &[u8]) -> Option<u32> {
    if word.is_empty() || word.len() > 4 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// 1..=12, by the first three letters.
fn month_number(word: &[u8]) -> Option<u32> {
    let start = word.get(..3)?;
    let index = MONTHS.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(start))?;
    u32::try_from(index + 1).ok()
}

/// `hh:mm[:ss]`; a leap second counts as the last second of its minute.
fn clock_seconds(word: &[u8]) -> Option<i64> {
    let mut fields = word.split(|b| matches!(b, b':' | b'.'));
    let (hour, minute) = (number(fields.next()?)?, number(fields.next()?)?);
    let second = fields.next().map_or(Some(0), number)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(i64::from(hour * 3600 + minute * 60 + second.min(59)))
}

/// Minutes east of UTC; what cannot be read counts as UTC (RFC 5322 section 4.3).
fn zone_minutes(word: &[u8]) -> i16 {
    if let Some((sign @ (b'+' | b'-'), digits)) = word.split_first() {
        let Some(value) = number(digits).filter(|value| value / 100 < 24 && value % 100 < 60) else { return 0 };
        let minutes = i16::try_from(value / 100 * 60 + value % 100).unwrap_or(0);
        return if *sign == b'-' { -minutes } else { minutes };
    }
    let names: [(&[u8], i16); 8] = [
        (b"EDT", -4),
        (b"EST", -5),
        (b"CDT", -5),
        (b"CST", -6),
        (b"MDT", -6),
        (b"MST", -7),
        (b"PDT", -7),
        (b"PST", -8),
    ];
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map_or(0, |(_, hours)| hours * 60)
}

/// Days since 1970-01-01 of a date that exists.
fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    Some(i64::from(date.to_julian_day()) - EPOCH_JULIAN_DAY)
}

/// A time on the calendar of its zone. `month` counts from 0, `weekday` from Monday.
struct Civil {
    year: i32,
    month: usize,
    day: u8,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    fn of(date: DateTime) -> Civil {
        let (first, last) = WRITABLE_SECONDS;
        let local = date.seconds.saturating_add(i64::from(date.zone_minutes) * 60).clamp(first, last);
        let (day, time) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS));
        let julian = i32::try_from(day + EPOCH_JULIAN_DAY).unwrap_or(0);
        let date = time::Date::from_julian_day(julian).unwrap_or(time::Date::MIN);
        Civil {
            year: date.year(),
            month: usize::from(u8::from(date.month())) - 1,
            day: date.day(),
            weekday: usize::from(date.weekday().number_days_from_monday()),
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
        }
    }
}

fn encode_zone(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(i64, i16)> {
        parse_date_time(text.as_bytes()).map(|date| (date.seconds, date.zone_minutes))
    }

    #[test]
    fn dates_of_the_rfc() {
        // RFC 5322 appendix A.
        assert_eq!(parsed("Fri, 21 Nov 1997 09:55:06 -0600"), Some((880_127_706, -360)));
        assert_eq!(parsed("Tue, 1 Jul 2003 10:52:37 +0200"), Some((1_057_049_557, 120)));
        assert_eq!(
            parsed("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n   -0330 (Newfoundland Time)"),
            Some((-27_723_480, -210))
        );
        assert_eq!(parsed("21 Nov 97 09:55:06 GMT"), Some((880_106_106, 0)));
        assert_eq!(parsed("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600"), None);
    }

    #[test]
    fn dates_as_software_writes_them() {
        let same = Some((880_106_106, 0));
        for text in [
            "Friday, 21 November 1997 09:55:06 UT",
            "21 Nov 1997 09:55:06",
            "Nov 21, 1997 09:55:06 Z",
            "Fri Nov 21 09:55:06 1997",
            "Fri, 21 Nov 1997 09.55.06 +0000",
            "Fri,21 Nov 1997 09:55:06 +0000 (GMT)",
            "21-Nov-1997 09:55:06 GMT",
            "Fri, 21 Nov 097 09:55:06 nowhere",
        ] {
            assert_eq!(parsed(text), same, "{text}");
        }
        assert_eq!(parsed("Fri, 21 Nov 1997 11:55:06+0200"), Some((880_106_106, 120)));
        assert_eq!(parsed("Fri, 21 Nov 1997 11:55:06-0200"), Some((880_120_506, -120)));
        assert_eq!(parsed("21 Nov 1997"), Some((880_070_400, 0)));
        for text in ["", "Fri", "yesterday at noon", "31 Feb 1997 09:55:06", "21 Nov 1997 25:00:00", "(21 Nov 1997"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn dates_come_back_as_they_were_written() {
        for text in
            ["Fri, 21 Nov 1997 09:55:06 -0600", "Thu, 29 Feb 2024 23:59:59 +1245", "Sat, 1 Jan 0001 00:00:00 +0000"]
        {
            let date = parse_date_time(text.as_bytes()).unwrap();
            assert_eq!(parse_date_time(encode_date_time(date).as_bytes()), Some(date));
        }
        assert_eq!(
            encode_date_time(DateTime { seconds: 880_127_706, zone_minutes: -360 }),
            "Fri, 21 Nov 1997 09:55:06 -0600"
        );
        let internal = b" 1-Jul-2003 10:52:37 +0200";
        let date = parse_internal_date(internal).unwrap();
        assert_eq!(date, DateTime { seconds: 1_057_049_557, zone_minutes: 120 });
        assert_eq!(encode_internal_date(date).as_bytes(), internal);
        assert_eq!(parse_internal_date(b"1-Jul-2003 10:52:37 +0200"), Some(date));
        for text in [
            &b"1-Jul-2003"[..],
            b"31-Feb-2003 10:52:37 +0200",
            b"1-Jul-2003 10:52 +0200",
            b"1-Jul-2003 10:52:37 GMT",
            b"1-Jul-2003 10:52:37 +02:0",
        ] {
            assert_eq!(parse_internal_date(text), None);
        }
    }

    #[test]
    fn far_times_are_written_as_the_nearest_one() {
        assert_eq!(encode_internal_date(DateTime { seconds: i64::MAX, zone_minutes: 0 }), "31-Dec-9999 23:59:59 +0000");
        assert_eq!(
            encode_internal_date(DateTime { seconds: i64::MIN, zone_minutes: -60 }),
            " 1-Jan-0001 00:00:00 -0100"
        );
    }

    #[test]
    fn a_day_is_the_writers_day() {
        assert_eq!(parse_search_date(b"1-Jan-1970"), Some(0));
        assert_eq!(parse_search_date(b"13-Feb-1997"), Some(9905));
        assert_eq!(parse_search_date(b"13-February-1997"), None);
        let late = parse_date_time(b"Thu, 13 Feb 1997 23:30:00 -0800").unwrap();
        assert_eq!(late.local_day(), 9905);
    }
}
