//! Writes INTERNALDATE (`date-time` of RFC 3501 section 9) without an allocation: a mailbox has many.
//!
//! Reading dates is [`crate::wire::date`]'s.

use super::response::push_number;
use crate::wire::date::Timestamp;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::date::parse_internal_date;
    use proptest::prelude::*;

    #[test]
    fn an_internal_date_in_utc() {
        let mut out = Vec::new();
        push_date_time(&mut out, Timestamp(837_596_665_999));
        assert_eq!(out, b"\"17-Jul-1996 09:44:25 +0000\"");
    }

    proptest! {
        #[test]
        fn dates_come_back(seconds in -62_135_596_800i64..253_402_300_799) {
            let mut out = Vec::new();
            push_date_time(&mut out, Timestamp(seconds * 1000));
            let read = parse_internal_date(&out[1..out.len() - 1]).map(|date| date.seconds);
            prop_assert_eq!(read, Some(seconds));
        }
    }
}
