//! `date-time` and `date` of RFC 3501 section 9: INTERNALDATE, APPEND, SEARCH.

use super::command::Day;
use super::response::push_number;
use crate::wire::date::Timestamp;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01 of a date in the Gregorian calendar; `None` when there is no such date. Years 0..=9999.
fn days_of(year: u32, month: u32, day: u32) -> Option<i64> {
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    Some(i64::from(date.to_julian_day()) - i64::from(time::OffsetDateTime::UNIX_EPOCH.date().to_julian_day()))
}

/// `date-text`: `1-Feb-1994`, one or two digits of day.
pub fn parse_day(text: &[u8]) -> Option<Day> {
    let mut fields = text.split(|b| *b == b'-');
    let day = parse_digits(fields.next()?, 1, 2)?;
    let month = parse_month(fields.next()?)?;
    let year = parse_digits(fields.next()?, 4, 4)?;
    match fields.next() {
        Some(_) => None,
        None => days_of(year, month, day).map(Day),
    }
}

/// What is between the quotes of a `date-time`: `17-Jul-1996 02:44:25 -0700`; the day may be space padded.
pub fn parse_date_time(text: &[u8]) -> Option<Timestamp> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let mut fields = text.split(|b| *b == b' ');
    let Day(days) = parse_day(fields.next()?)?;
    let mut clock = fields.next()?.split(|b| *b == b':');
    let mut two = |max: u32| parse_digits(clock.next()?, 2, 2).filter(|n| *n <= max).map(i64::from);
    // 60 is a leap second; it counts as the first second of the next minute.
    let (hour, minute, second) = (two(23)?, two(59)?, two(60)?);
    let zone = fields.next()?;
    if clock.next().is_some() || fields.next().is_some() {
        return None;
    }
    let (sign, digits) = zone.split_first()?;
    let zone = i64::from(parse_digits(digits, 4, 4)?);
    let minutes = (zone / 100) * 60 + zone % 100;
    let offset = match sign {
        b'+' => minutes * 60,
        b'-' => -minutes * 60,
        _ => return None,
    };
    if zone % 100 > 59 || zone / 100 > 23 {
        return None;
    }
    Some(Timestamp((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1000))
}

/// `"17-Jul-1996 09:44:25 +0000"` with its quotes, in UTC. Times outside the years 0..=9999 are drawn to the epoch.
pub fn push_date_time(out: &mut Vec<u8>, date: Timestamp) {
    let moment = time::OffsetDateTime::from_unix_timestamp(date.seconds())
        .ok()
        .filter(|moment| (0..=9999).contains(&moment.year()))
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let padded = |out: &mut Vec<u8>, number: u8, pad: u8| {
        out.push(if number < 10 { pad } else { b'0' + number / 10 });
        out.push(b'0' + number % 10);
    };
    out.push(b'"');
    padded(out, moment.day(), b' ');
    out.push(b'-');
    out.extend_from_slice(MONTHS.get(usize::from(u8::from(moment.month())) - 1).unwrap_or(&"Jan").as_bytes());
    out.push(b'-');
    let year = u64::try_from(moment.year()).unwrap_or(0);
    out.extend_from_slice(b"000".get(..4 - digits_of(year)).unwrap_or_default());
    push_number(out, year);
    out.push(b' ');
    padded(out, moment.hour(), b'0');
    out.push(b':');
    padded(out, moment.minute(), b'0');
    out.push(b':');
    padded(out, moment.second(), b'0');
    out.extend_from_slice(b" +0000\"");
}

fn digits_of(year: u64) -> usize {
    match year {
        0..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        _ => 4,
    }
}

fn parse_digits(text: &[u8], least: usize, most: usize) -> Option<u32> {
    if !(least..=most).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn parse_month(text: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(text))?;
    u32::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples() {
        assert_eq!(parse_day(b"1-Jan-1970"), Some(Day(0)));
        assert_eq!(parse_day(b"01-feb-1994"), Some(Day(8797)));
        assert_eq!(parse_date_time(b"17-Jul-1996 02:44:25 -0700"), Some(Timestamp(837_596_665_000)));
        assert_eq!(parse_date_time(b" 7-Feb-1994 21:52:25 +0000"), parse_date_time(b"07-Feb-1994 22:52:25 +0100"));
        let mut out = Vec::new();
        push_date_time(&mut out, Timestamp(837_596_665_999));
        assert_eq!(out, b"\"17-Jul-1996 09:44:25 +0000\"");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "1-Jan-70", "31-Feb-2000", "0-Jan-2000", "1-Foo-2000", "1-Jan-2000-", "001-Jan-2000"] {
            assert_eq!(parse_day(text.as_bytes()), None, "{text}");
        }
        for text in ["1-Jan-2000", "1-Jan-2000 24:00:00 +0000", "1-Jan-2000 1:00:00 +0000", "1-Jan-2000 01:00:00 0000"]
        {
            assert_eq!(parse_date_time(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_come_back(seconds in -62_167_219_200i64..253_402_300_799) {
            let mut out = Vec::new();
            push_date_time(&mut out, Timestamp(seconds * 1000));
            prop_assert_eq!(parse_date_time(&out[1..out.len() - 1]), Some(Timestamp(seconds * 1000)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_day(&text), parse_date_time(&text));
        }
    }
}
