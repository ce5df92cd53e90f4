//! The log: one line per event on stderr, for a person or for journald.
//!
//! Not a file, not a rotation: the service manager does that. A line never holds a control character, whatever the
//! network put into it, and never more than [`LOG_LINE_BYTES_MAX`] bytes of event.

use crate::limits::{LOG_KEPT_BYTES_MAX, LOG_KEPT_LINES_MAX, LOG_LINE_BYTES_MAX};
use crate::wire::date::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Starts logging. Later calls only set the level.
pub fn start(level: LevelFilter) {
    let _ = log::set_boxed_logger(Box::new(Sink { journald: stderr_is_journald() }));
    log::set_max_level(level);
}

/// Changes the level of a running node.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// The last warnings and errors, for whoever asks how the node is: at most [`LOG_KEPT_LINES_MAX`].
static KEPT: Mutex<VecDeque<(Timestamp, String)>> = Mutex::new(VecDeque::new());

/// The last warnings and errors of this process, each with its time, the last one last.
pub fn recent() -> Vec<(Timestamp, String)> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

fn keep(now: SystemTime, event: &str) {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at = Timestamp(i64::try_from(millis).unwrap_or(i64::MAX));
    let event = event.get(..event.floor_char_boundary(LOG_KEPT_BYTES_MAX)).unwrap_or_default().to_owned();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= LOG_KEPT_LINES_MAX {
        kept.pop_front();
    }
    kept.push_back((at, event));
}

struct Sink {
    /// Lines carry a priority prefix instead of time and level, which the journal knows itself (sd-daemon(3)).
    journald: bool,
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates speak only when something is wrong: their chatter is not about the owner's mail.
        metadata.target().starts_with("hauspost") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let event = record.args().to_string();
        if record.level() <= Level::Warn {
            keep(SystemTime::now(), &event);
        }
        let line = if self.journald {
            encode_journald(record.level(), &event)
        } else {
            encode_dated(SystemTime::now(), record.level(), &event)
        };
        // One write per line, so that lines of several threads never mix. A closed stderr is no reason to stop.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// JOURNAL_STREAM names device and inode of the journal's socket; it is inherited, so it must be compared
/// (systemd.exec(5)).
fn stderr_is_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn encode_journald(level: Level, event: &str) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    format!("<{priority}>{}\n", escape(event))
}

fn encode_dated(now: SystemTime, level: Level, event: &str) -> String {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(0);
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z {level} {}\n",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        since_epoch.subsec_millis(),
        escape(event)
    )
}

/// Control characters as `\u{..}` or `\n`, so that nobody writes lines of their own into the log or drives a terminal.
fn escape(event: &str) -> String {
    let mut escaped = String::with_capacity(event.len());
    for c in event.chars() {
        if escaped.len() + c.len_utf8() > LOG_LINE_BYTES_MAX {
            escaped.push_str("...");
            break;
        }
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn control_characters_never_reach_the_log() {
        let line = encode_journald(Level::Info, "event=x text=a\r\n<0>forged\x1b[2J\u{9b}\u{202e}\0");
        assert_eq!(line, "<6>event=x text=a\\r\\n<0>forged\\u{1b}[2J\\u{9b}\\u{202e}\\u{0}\n");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn the_last_troubles_are_kept() {
        for number in 0..LOG_KEPT_LINES_MAX + 3 {
            keep(UNIX_EPOCH + Duration::from_secs(5), &format!("event={number} {}", "ä".repeat(LOG_KEPT_BYTES_MAX)));
        }
        let kept = recent();
        assert_eq!((kept.len(), kept[0].0), (LOG_KEPT_LINES_MAX, Timestamp(5000)));
        assert!(kept[0].1.starts_with("event=3 ä") && kept.iter().all(|(_, event)| event.len() <= LOG_KEPT_BYTES_MAX));
    }

    #[test]
    fn other_letters_stay() {
        assert_eq!(escape("to=jürgen@exämple.org 邮"), "to=jürgen@exämple.org 邮");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let cut = escape(&"ä".repeat(LOG_LINE_BYTES_MAX));
        assert!(cut.len() <= LOG_LINE_BYTES_MAX + 3 && cut.ends_with("ä..."));
    }

    #[test]
    fn a_dated_line_has_time_and_level() {
        let now = UNIX_EPOCH + Duration::from_millis(951_827_696_007);
        assert_eq!(encode_dated(now, Level::Warn, "event=x"), "2000-02-29T12:34:56.007Z WARN event=x\n");
    }
}
