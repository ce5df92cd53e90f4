//! `hauspost routes`: which destinations get their mail through the smarthost because they refuse this line, and how mail to each
//! destination went last.
//!
//! Receives the words of the command; hands on text. What is learned is known by [`Destinations`](crate::serve::Destinations).

use crate::mail::learned::Lesson;
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{clock, count, full, json, plain, span};
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::node::values::parse_domain;
use crate::serve::queue::read_time;
use crate::serve::{RoutePolicy, Seen};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::fmt::Write;

/// Characters shown of what a server said.
const REASON_CHARACTERS_SHOWN: usize = 200;

/// What the owner wants of the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutesOrder {
    /// All that is known.
    List {
        /// For programs.
        json: bool,
    },
    /// Try the direct way to everybody again.
    ResetAll,
    /// Try the direct way to this domain, or mail server, again.
    Reset(Domain),
}

impl RoutesOrder {
    /// The words of the command, as they go over the control socket.
    pub fn to_words(&self) -> Vec<String> {
        let words = match self {
            RoutesOrder::List { json: false } => vec!["list"],
            RoutesOrder::List { json: true } => vec!["list", "json"],
            RoutesOrder::ResetAll => vec!["reset", "all"],
            RoutesOrder::Reset(name) => vec!["reset", "name", name.as_str()],
        };
        std::iter::once("routes").chain(words).map(str::to_owned).collect()
    }

    /// Reads the words behind `routes`.
    pub fn from_words(words: &[&str]) -> Option<RoutesOrder> {
        match words {
            ["list"] => Some(RoutesOrder::List { json: false }),
            ["list", "json"] => Some(RoutesOrder::List { json: true }),
            ["reset", "all"] => Some(RoutesOrder::ResetAll),
            ["reset", "name", name] => parse_domain(name).map(RoutesOrder::Reset),
            _ => None,
        }
    }
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    let destinations = &errand.context.destinations;
    destinations.read(&errand.context).await.map_err(|e| in_store(&e))?;
    match RoutesOrder::from_words(words) {
        Some(RoutesOrder::List { json }) => list(errand, json, answer).await,
        Some(RoutesOrder::ResetAll) => {
            let forgotten = destinations.learned(|learned| learned.forget_all());
            destinations.write(&errand.context).await.map_err(|e| in_store(&e))?;
            let forgotten = count(forgotten, "route", "routes");
            answer.say(&format!("{forgotten} forgotten: the direct way is tried again.\n")).await
        }
        Some(RoutesOrder::Reset(name)) => {
            if !destinations.learned(|learned| learned.forget(&name)) {
                let sentence = format!("nothing has been learned about {name}: `hauspost routes list` shows what has");
                return Err(Failure::new(Exit::Findings, sentence));
            }
            destinations.write(&errand.context).await.map_err(|e| in_store(&e))?;
            answer.say(&format!("{name}: forgotten; the direct way is tried again.\n")).await
        }
        None => Err(Failure::new(Exit::Usage, "the node that runs does not know this command: restart it")),
    }
}

async fn list(errand: &Errand, json: bool, answer: &mut Answer) -> Result<(), Failure> {
    let now = read_time(&errand.context).await.map_err(|e| in_store(&e))?;
    let destinations = &errand.context.destinations;
    let lessons: Vec<(Option<Domain>, Lesson)> = destinations
        .learned(|learned| learned.lessons(now).map(|(name, lesson)| (name.cloned(), lesson.clone())).collect());
    let seen = destinations.seen();
    if json {
        return list_json(&lessons, &seen, answer).await;
    }
    let relay = &errand.context.site().relay;
    let policy = match (relay.route, &relay.smarthost) {
        (RoutePolicy::Smarthost, Some(smarthost)) => format!("All mail goes through {}.\n", smarthost.host),
        (RoutePolicy::Auto, Some(smarthost)) => {
            format!("Mail goes directly, or through {} where others refuse this line.\n", smarthost.host)
        }
        _ => "Mail goes directly to each domain's own server.\n".to_owned(),
    };
    answer.say(&policy).await?;
    if lessons.is_empty() {
        answer.say("\nNothing has been learned: nobody refuses this line.\n").await?;
    }
    for (name, lesson) in &lessons {
        answer.say(&describe_lesson(name.as_ref(), lesson, now, errand.zone_minutes)).await?;
    }
    if !seen.is_empty() {
        answer.say("\nLast attempts since the node has started:\n").await?;
    }
    for (domain, seen) in &seen {
        answer.say(&describe_seen(domain, seen, now, errand.zone_minutes)).await?;
    }
    Ok(())
}

fn describe_lesson(name: Option<&Domain>, lesson: &Lesson, now: Timestamp, zone: i16) -> String {
    let name = name.map_or("all destinations".to_owned(), |name| plain(name.as_str(), 255));
    let (left, until) = (span(lesson.until.since(now)), clock(lesson.until, now, zone));
    let why = plain(&lesson.why, REASON_CHARACTERS_SHOWN);
    format!("\n{name}\n    through the smarthost for {left} more (until {until})\n    because {why}\n")
}

fn describe_seen(domain: &Domain, seen: &Seen, now: Timestamp, zone: i16) -> String {
    let domain = plain(domain.as_str(), 255);
    let mut text = format!("\n{domain}\n    {}, {}\n", plain(&seen.way, 255), clock(seen.at, now, zone));
    if let Some(tls) = &seen.tls {
        let _ = writeln!(text, "    TLS: {}", plain(tls, REASON_CHARACTERS_SHOWN));
    }
    if let Some(trouble) = &seen.trouble {
        let _ = writeln!(text, "    failed: {}", plain(trouble, REASON_CHARACTERS_SHOWN));
    }
    text
}

async fn list_json(
    lessons: &[(Option<Domain>, Lesson)],
    seen: &[(Domain, Seen)],
    answer: &mut Answer,
) -> Result<(), Failure> {
    let or_null = |text: Option<&str>| text.map_or("null".to_owned(), json);
    answer.say("{\"learned\":[").await?;
    for (at, (name, lesson)) in lessons.iter().enumerate() {
        let object = format!(
            "{}\n{{\"name\":{},\"since\":{},\"until\":{},\"why\":{}}}",
            if at > 0 { "," } else { "" },
            or_null(name.as_ref().map(Domain::as_str)),
            json(&full(lesson.since, 0)),
            json(&full(lesson.until, 0)),
            json(&lesson.why)
        );
        answer.say(&object).await?;
    }
    answer.say("],\n\"seen\":[").await?;
    for (at, (domain, seen)) in seen.iter().enumerate() {
        let object = format!(
            "{}\n{{\"domain\":{},\"at\":{},\"way\":{},\"tls\":{},\"trouble\":{}}}",
            if at > 0 { "," } else { "" },
            json(domain.as_str()),
            json(&full(seen.at, 0)),
            json(&seen.way),
            or_null(seen.tls.as_deref()),
            or_null(seen.trouble.as_deref())
        );
        answer.say(&object).await?;
    }
    answer.say("]}\n").await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::learned::Learned;

    #[test]
    fn words_are_read_back() {
        for order in [
            RoutesOrder::List { json: false },
            RoutesOrder::List { json: true },
            RoutesOrder::ResetAll,
            RoutesOrder::Reset(Domain::new("far.example")),
            RoutesOrder::Reset(Domain::new("all")),
        ] {
            let words = order.to_words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!((words[0], RoutesOrder::from_words(&words[1..])), ("routes", Some(order)));
        }
        assert_eq!(RoutesOrder::from_words(&["reset", "name", "b..c"]), None);
    }

    #[test]
    fn what_servers_say_cannot_take_over_a_terminal() {
        let now = Timestamp(1_795_262_400_000);
        let mut learned = Learned::default();
        learned.refused(&Domain::new("far.example"), &Domain::new("mx.far.example"), "554 \u{1b}[2J no", now);
        let texts: Vec<String> =
            learned.lessons(now).map(|(name, lesson)| describe_lesson(name, lesson, now, 0)).collect();
        assert!(texts[0].starts_with("\nfar.example\n    through the smarthost for 7 days more"), "{}", texts[0]);
        let seen = Seen { at: now, way: "directly to \u{1b}".into(), tls: None, trouble: Some("\u{202e}".into()) };
        let shown = describe_seen(&Domain::new("far.example"), &seen, now, 0) + &texts.concat();
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    }
}
