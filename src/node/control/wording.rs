//! Times, sizes and names as people read them, and as nothing can do harm on a terminal.
//!
//! Receives values, and text from the network; hands on text without a control character. No clock: now and the zone come in.

use crate::wire::date::Timestamp;
use std::fmt::Write;
use std::time::Duration;
use time::{OffsetDateTime, UtcOffset};

/// `12 s`, `40 min`, `3 h`, `5 days`: whole units, rounded down.
pub fn span(wait: Duration) -> String {
    let seconds = wait.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `900 bytes`, `12 KB`, `3.4 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// `1 message`, `2 messages`.
pub fn count(number: usize, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
}

/// `21:43`, or `28 Nov 21:43` on another day, or `28 Nov 2027 21:43` in another year.
pub fn clock(at: Timestamp, now: Timestamp, zone_minutes: i16) -> String {
    let (Some(at), Some(now)) = (local(at, zone_minutes), local(now, zone_minutes)) else { return "?".to_owned() };
    let time = format!("{:02}:{:02}", at.hour(), at.minute());
    if at.date() == now.date() {
        return time;
    }
    let month = at.month().to_string();
    let day = format!("{} {}", at.day(), month.get(..3).unwrap_or_default());
    if at.year() == now.year() { format!("{day} {time}") } else { format!("{day} {} {time}", at.year()) }
}

/// `2026-11-28T21:43:07+01:00` (RFC 3339).
pub fn full(at: Timestamp, zone_minutes: i16) -> String {
    let Some(local) = local(at, zone_minutes) else { return "?".to_owned() };
    let (hours, minutes, _) = local.offset().as_hms();
    let sign = if zone_minutes < 0 { '-' } else { '+' };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        local.year(),
        u8::from(local.month()),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        hours.unsigned_abs(),
        minutes.unsigned_abs()
    )
}

fn local(at: Timestamp, zone_minutes: i16) -> Option<OffsetDateTime> {
    let zone = UtcOffset::from_whole_seconds(i32::from(zone_minutes) * 60).ok()?;
    OffsetDateTime::from_unix_timestamp(at.seconds()).ok()?.checked_to_offset(zone)
}

/// The zone of whoever runs this program, in minutes east of UTC; zero when it cannot be told. Before any thread is started.
pub fn own_zone() -> i16 {
    UtcOffset::current_local_offset().map_or(0, UtcOffset::whole_minutes)
}

/// Characters that a terminal obeys instead of showing them, or that make text look like other text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Text from the network for a terminal: one line, at most so many characters, nothing that is obeyed.
pub fn plain(text: &str, characters_max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        if at >= characters_max {
            out.push('…');
            break;
        }
        if is_unsafe(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// What came from a node for the terminal. A node has made it harmless already; this one may be somebody else's.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|&c| c == '\n' || !is_unsafe(c)).collect()
}

/// A JSON string (RFC 8259 section 7), with escapes for all that is not to be shown.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // All of them lie in the first plane, so that one escape is enough.
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text in lines of at most 100 characters, each behind the indent.
pub fn wrap(out: &mut String, first: &str, indent: &str, text: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(out, "{line}");
            line = indent.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes() {
        let spans = [5, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["5 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        let sizes = [0, 1, 999, 1_000, 999_999, 3_460_000].map(size);
        assert_eq!(sizes, ["0 bytes", "1 byte", "999 bytes", "1 KB", "999 KB", "3.4 MB"]);
    }

    #[test]
    fn times_are_where_the_reader_lives() {
        let now = Timestamp(1_795_262_400_000);
        let after = |hours: i64| Timestamp(now.0 + hours * 3_600_000);
        assert_eq!(clock(after(1), now, 60), "14:00");
        assert_eq!(clock(after(13), now, -60), "22 Nov 00:00");
        assert_eq!(clock(after(24 * 60), now, 0), "20 Jan 2027 12:00");
        assert_eq!(full(now, 90), "2026-11-21T13:30:00+01:30");
        assert_eq!(full(now, -90), "2026-11-21T10:30:00-01:30");
        assert_eq!(full(Timestamp(i64::MAX), 0), "?");
    }

    #[test]
    fn nothing_from_the_network_is_obeyed() {
        assert_eq!(plain("a\x1b[2J\u{9b}1m\u{202e}b\r\n", 100), "a\\u{1b}[2J\\u{9b}1m\\u{202e}b\\u{d}\\u{a}");
        assert_eq!(plain("grüße", 3), "grü…");
        assert_eq!(harmless("a\x1b[2J\nb\u{202e}"), "a[2J\nb");
        assert_eq!(json("a\"\\\x1b\u{202e}ä"), "\"a\\\"\\\\\\u001b\\u202eä\"");
    }

    #[test]
    fn long_text_is_wrapped() {
        let mut out = String::new();
        wrap(&mut out, "  why  ", "       ", &"word ".repeat(30));
        assert!(out.lines().count() == 2 && out.lines().all(|line| line.chars().count() <= 100), "{out}");
        assert!(out.starts_with("  why  word ") && out.lines().nth(1).unwrap().starts_with("       word"), "{out}");
    }
}
