//! `hauspost status`: how the node is, on one screen.
//!
//! Receives the words of the command; hands on text. It only looks: what is wrong is mended with other commands.

use crate::limits::MAILBOXES_SHOWN_IN_STATUS;
use crate::mail::message::{Mailbox, QueueId};
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{clock, count, full, json, plain, size, span};
use crate::node::devices::{sighting_json, whereabouts};
use crate::node::failure::{Exit, Failure};
use crate::node::log::recent;
use crate::node::owner::in_store;
use crate::node::update::last_update;
use crate::order;
use crate::serve::certificates::{Standing, standing};
use crate::serve::queue::{read_ids, read_time};
use crate::serve::{Sighting, devices};
use crate::store::{Device, DiskCounts, Space, Trouble};
use crate::wire::date::Timestamp;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// Characters of a name in a list.
const NAME_CHARACTERS_SHOWN: usize = 40;
/// Characters of a line of the log.
const EVENT_CHARACTERS_SHOWN: usize = 200;

/// How the owner wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOrder {
    /// For programs.
    pub json: bool,
}

impl StatusOrder {
    /// The words of the command, as they go over the control socket.
    pub fn to_words(self) -> Vec<String> {
        let words: &[&str] = if self.json { &["status", "json"] } else { &["status"] };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Reads the words behind `status`.
    pub fn from_words(words: &[&str]) -> Option<StatusOrder> {
        match words {
            [] => Some(StatusOrder { json: false }),
            ["json"] => Some(StatusOrder { json: true }),
            _ => None,
        }
    }
}

/// How a node is.
struct Status {
    now: Timestamp,
    zone_minutes: i16,
    hostname: String,
    running: Option<Uptime>,
    certificate: Option<Standing>,
    /// With when they were last used.
    devices: Vec<(Device, Option<Sighting>)>,
    mailboxes: Vec<Mailbox>,
    queue: Queue,
    space: Result<Space, Trouble>,
    written: DiskCounts,
    /// What became of the last update, on a board.
    update: Option<String>,
    /// Warnings and errors of this run, the last one last.
    events: Vec<(Timestamp, String)>,
}

/// What only a running node has.
struct Uptime {
    wait: Duration,
    sessions: usize,
    listeners: Vec<(&'static str, SocketAddr)>,
    /// What it could not listen on, and why.
    missing: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct Queue {
    waiting: usize,
    held: usize,
    bytes: u64,
    oldest: Option<Timestamp>,
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    let Some(order) = StatusOrder::from_words(words) else {
        return Err(Failure::new(Exit::Usage, "the node that runs does not know this command: restart it"));
    };
    let status = look(errand).await.map_err(|e| in_store(&e))?;
    answer.say(&if order.json { status.as_json() } else { status.as_text() }).await
}

async fn look(errand: &Errand) -> Result<Status, Trouble> {
    let context = &errand.context;
    let (store, site) = (&context.store, context.site());
    let running = errand.running.as_ref().map(|running| Uptime {
        wait: context.net.clock().steady().saturating_sub(running.started),
        sessions: running.admission.sessions(),
        listeners: running.listeners.to_vec(),
        missing: running.missing.to_vec(),
    });
    Ok(Status {
        now: context.net.clock().now(),
        zone_minutes: errand.zone_minutes,
        hostname: site.hostname.to_string(),
        running,
        certificate: standing(store, &site).await?.into_iter().next(),
        devices: devices::list(context).await?,
        mailboxes: store.read(|snapshot| snapshot.mailboxes()).await?,
        queue: look_at_queue(errand).await?,
        space: store.space().await,
        written: store.written(),
        update: last_update(),
        events: recent(),
    })
}

async fn look_at_queue(errand: &Errand) -> Result<Queue, Trouble> {
    let (mut queue, mut after) = (Queue::default(), QueueId(0));
    // A clock behind would say that mail has waited for less than no time.
    let now = read_time(&errand.context).await?;
    loop {
        let ids = read_ids(&errand.context, after).await?;
        let Some(last) = ids.last() else { return Ok(queue) };
        after = *last;
        let read = errand.context.store.read(move |snapshot| {
            // One that is damaged is for `hauspost queue` to show.
            Ok(ids.into_iter().filter_map(|id| snapshot.queue_entry(id).ok()?).collect::<Vec<_>>())
        });
        for entry in read.await? {
            match entry.held {
                true => queue.held += 1,
                false => queue.waiting += 1,
            }
            queue.bytes = queue.bytes.saturating_add(entry.bytes);
            queue.oldest = Some(queue.oldest.unwrap_or(now).min(entry.queued));
        }
    }
}

impl Status {
    fn as_text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "{what:<12} {value}");
        };
        match &self.running {
            None => line(&self.hostname, "does not run"),
            Some(up) => {
                let sessions = count(up.sessions, "session", "sessions");
                line(&self.hostname, &format!("runs for {}, {sessions}", span(up.wait)));
                for (at, (service, address)) in up.listeners.iter().enumerate() {
                    line(if at == 0 { "listens" } else { "" }, &format!("{service:<12} {address}"));
                }
                for (service, why) in &up.missing {
                    line("", &format!("{service:<12} does not: {why}"));
                }
            }
        }
        let certificate = self.certificate.as_ref().map(|one| {
            let until = clock(one.facts.until, self.now, self.zone_minutes);
            let name = one.facts.names.first().unwrap_or(&one.facts.subject);
            let ended = if one.facts.until < self.now { "ENDED" } else { "valid until" };
            format!("{} {ended} {until}", plain(name, NAME_CHARACTERS_SHOWN))
        });
        line("certificate", certificate.as_deref().unwrap_or("none yet"));
        for (at, (device, sighting)) in self.devices.iter().enumerate() {
            let used = sighting
                .as_ref()
                .map(|seen| format!("used {} {}", clock(seen.at, self.now, self.zone_minutes), whereabouts(seen)));
            let used = used.as_deref().unwrap_or("not used yet");
            let name = plain(&device.name, NAME_CHARACTERS_SHOWN);
            line(if at == 0 { "devices" } else { "" }, &format!("{name:<20} {used}"));
        }
        self.mailboxes_as_text(&mut line);
        line("queue", &self.queue_as_text());
        match &self.space {
            Ok(space) => {
                line("card", &format!("{} used, room for {} more", size(space.used_bytes), size(space.left_bytes)));
            }
            Err(_) => line("card", "cannot be read"),
        }
        let DiskCounts { bytes, syncs, .. } = self.written;
        line("written", &format!("{} in {} since the start", size(bytes), count_u64(syncs, "flush", "flushes")));
        if let Some(update) = &self.update {
            line("update", &plain(update, EVENT_CHARACTERS_SHOWN));
        }
        match self.events.as_slice() {
            [] => line("troubles", "none since the start"),
            events => {
                for (at, (when, event)) in events.iter().enumerate() {
                    let when = clock(*when, self.now, self.zone_minutes);
                    let event = plain(event, EVENT_CHARACTERS_SHOWN);
                    line(if at == 0 { "troubles" } else { "" }, &format!("{when}  {event}"));
                }
            }
        }
        text
    }

    /// The fullest ones, and how many others there are.
    fn mailboxes_as_text(&self, line: &mut impl FnMut(&str, &str)) {
        let mut all: Vec<&Mailbox> = self.mailboxes.iter().filter(|mailbox| mailbox.messages > 0).collect();
        order::sort_by_key(&mut all, |mailbox| std::cmp::Reverse(mailbox.bytes));
        let shown = all.iter().take(MAILBOXES_SHOWN_IN_STATUS);
        for (at, mailbox) in shown.enumerate() {
            let Mailbox { name, messages, unseen, bytes, .. } = mailbox;
            let messages = count_u64(u64::from(*messages), "message", "messages");
            let name = plain(name, NAME_CHARACTERS_SHOWN);
            line(
                if at == 0 { "mailboxes" } else { "" },
                &format!("{name:<20} {messages}, {unseen} unseen, {}", size(*bytes)),
            );
        }
        let others = self.mailboxes.len().saturating_sub(all.len().min(MAILBOXES_SHOWN_IN_STATUS));
        let what = if all.is_empty() { "mailboxes" } else { "" };
        if others > 0 || all.is_empty() {
            line(what, &count(others, "other, empty or smaller", "others, empty or smaller"));
        }
    }

    fn queue_as_text(&self) -> String {
        let Queue { waiting, held, bytes, oldest } = &self.queue;
        let Some(oldest) = oldest else { return "empty".to_owned() };
        let age = span(self.now.since(*oldest));
        let held = if *held > 0 { format!(", {held} held") } else { String::new() };
        format!("{} to be sent, {}{held}; the oldest for {age}", count(*waiting, "message", "messages"), size(*bytes))
    }

    fn as_json(&self) -> String {
        let time = |at: Option<Timestamp>| at.map_or("null".to_owned(), |at| json(&full(at, 0)));
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        let listeners = self.running.iter().flat_map(|up| &up.listeners);
        let listeners = listeners.map(|(service, address)| {
            format!("{{\"service\":{},\"address\":{}}}", json(service), json(&address.to_string()))
        });
        let missing = self.running.iter().flat_map(|up| &up.missing);
        let missing =
            missing.map(|(service, why)| format!("{{\"service\":{},\"reason\":{}}}", json(service), json(why)));
        let certificate = self.certificate.as_ref().map_or("null".to_owned(), |one| {
            let names = list(one.facts.names.iter().map(|name| json(name)).collect());
            format!("{{\"names\":{names},\"until\":{}}}", time(Some(one.facts.until)))
        });
        let devices = self
            .devices
            .iter()
            .map(|(device, seen)| format!("{{\"name\":{},{}}}", json(&device.name), sighting_json(seen.as_ref())));
        let mailboxes = self.mailboxes.iter().map(|mailbox| {
            let Mailbox { name, messages, unseen, bytes, .. } = mailbox;
            format!("{{\"name\":{},\"messages\":{messages},\"unseen\":{unseen},\"bytes\":{bytes}}}", json(name))
        });
        let Queue { waiting, held, bytes, oldest } = &self.queue;
        let space = self.space.as_ref().map_or("null".to_owned(), |space| {
            format!("{{\"used_bytes\":{},\"left_bytes\":{}}}", space.used_bytes, space.left_bytes)
        });
        let events =
            self.events.iter().map(|(at, event)| format!("{{\"time\":{},\"event\":{}}}", time(Some(*at)), json(event)));
        let up =
            |value: fn(&Uptime) -> u64| self.running.as_ref().map_or("null".to_owned(), |up| value(up).to_string());
        format!(
            "{{\"hostname\":{},\"running\":{},\"uptime_seconds\":{},\"sessions\":{},\"listeners\":{},\"missing\":{},\n \"certificate\":{certificate},\n \
             \"devices\":{},\n \"mailboxes\":{},\n \"queue\":{{\"waiting\":{waiting},\"held\":{held},\"bytes\":{bytes},\"oldest\":{}}},\n \
             \"space\":{space},\n \"written\":{{\"bytes\":{},\"flushes\":{}}},\n \"update\":{},\n \"troubles\":{}}}\n",
            json(&self.hostname),
            self.running.is_some(),
            up(|up| up.wait.as_secs()),
            up(|up| up.sessions as u64),
            list(listeners.collect()),
            list(missing.collect()),
            list(devices.collect()),
            list(mailboxes.collect()),
            time(*oldest),
            self.written.bytes,
            self.written.syncs,
            self.update.as_deref().map_or("null".to_owned(), json),
            list(events.collect()),
        )
    }
}

fn count_u64(number: u64, one: &str, more: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_return() {
        for order in [StatusOrder { json: false }, StatusOrder { json: true }] {
            let words = order.to_words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!((words[0], StatusOrder::from_words(&words[1..])), ("status", Some(order)));
        }
        assert_eq!(StatusOrder::from_words(&["x"]), None);
    }
}
