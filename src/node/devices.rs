//! `hauspost device`: passwords for phones and programs, one for each, and what each of them may do.
//!
//! Receives the words of the command; hands on text. What is done with devices is known by `serve::devices`.

use crate::limits::{CLIENT_NAME_CHARACTERS_MAX, DEVICE_MAILBOXES_MAX, WEB_LINK_SECONDS};
use crate::mail::access::{Access, Rights, is_device_name};
use crate::mail::collecting::{Collecting, OnDelete};
use crate::mail::message::{INBOX, MailboxId};
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{count, full, json, plain};
use crate::node::dns::own_addresses;
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::serve::certificates::fingerprint;
use crate::serve::devices::{
    CollectingWish, Grant, Invitation, NotDone, add, collect, link, list, make_password, regrant, remove,
};
use crate::serve::{Named, Sighting, device_login};
use crate::store::{Device, Trouble};
use std::collections::HashMap;
use std::fmt::Write;
use zeroize::Zeroizing;

/// What stands before a link in an answer: the command that asked makes a QR code of what comes after it.
pub const LINK_LABEL: &str = "link      ";

/// What is said when a password is kept readable.
const APOP_WARNING: &str = "\
WARNING: APOP needs the password itself, so that it is kept readable in the data folder: whoever can read that folder or a
backup of it has it. Without TLS APOP hides the password from those who listen on the line, but not the mail, and somebody who
can change what goes over the line can read the mail, delete it, and in time find the password. Give such a device no more
rights than it needs (--rights read), and remove it when it has learned TLS.

";

/// Characters of a mailbox name in a list.
const MAILBOX_CHARACTERS_SHOWN: usize = 100;

/// What the owner wants of their devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceOrder {
    /// A new one, with a password that is made up; `apop`: and kept readable.
    Add {
        /// Its name.
        name: String,
        /// What it may do.
        wanted: Wanted,
        /// For APOP.
        apop: bool,
    },
    /// All of them.
    List {
        /// For programs.
        json: bool,
    },
    /// Other rights for one of them.
    Rights(String, Wanted),
    /// Another way to collect mail by POP3.
    Pop3(String, CollectingWish),
    /// A link that sets it up.
    Link(String),
    /// One less.
    Remove(String),
}

/// Rights as they stand in a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// See [`Grant::parse`].
    pub rights: String,
    /// Only these mailboxes and what is below them; empty: all.
    pub mailboxes: Vec<String>,
}

impl DeviceOrder {
    /// The words of the command, as they go over the control socket.
    pub fn to_words(&self) -> Vec<String> {
        let mut words = vec!["device".to_owned()];
        let mut push = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        match self {
            DeviceOrder::List { json: false } => push(&["list"]),
            DeviceOrder::List { json: true } => push(&["list", "json"]),
            DeviceOrder::Remove(name) => push(&["remove", name]),
            DeviceOrder::Link(name) => push(&["link", name]),
            DeviceOrder::Add { name, wanted, apop } => {
                push(&[if *apop { "add-apop" } else { "add" }, name, &wanted.rights]);
                words.extend(wanted.mailboxes.iter().cloned());
            }
            DeviceOrder::Rights(name, wanted) => {
                push(&["rights", name, &wanted.rights]);
                words.extend(wanted.mailboxes.iter().cloned());
            }
            DeviceOrder::Pop3(name, wish) => {
                push(&["pop3", name]);
                words.extend(wish.to_words());
            }
        }
        words
    }

    /// Reads the words behind `device`.
    pub fn from_words(words: &[&str]) -> Option<DeviceOrder> {
        match words {
            ["list"] => Some(DeviceOrder::List { json: false }),
            ["list", "json"] => Some(DeviceOrder::List { json: true }),
            ["remove", name] => Some(DeviceOrder::Remove((*name).to_owned())),
            ["link", name] => Some(DeviceOrder::Link((*name).to_owned())),
            ["pop3", name, wish @ ..] => Some(DeviceOrder::Pop3((*name).to_owned(), CollectingWish::from_words(wish)?)),
            [verb @ ("add" | "add-apop" | "rights"), name, rights, mailboxes @ ..] => {
                let mailboxes = mailboxes.iter().map(|name| (*name).to_owned()).collect();
                let (name, wanted) = ((*name).to_owned(), Wanted { rights: (*rights).to_owned(), mailboxes });
                Some(match *verb {
                    "rights" => DeviceOrder::Rights(name, wanted),
                    verb => DeviceOrder::Add { name, wanted, apop: verb == "add-apop" },
                })
            }
            _ => None,
        }
    }
}

fn usage(sentence: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, sentence)
}

fn findings(sentence: impl Into<String>) -> Failure {
    Failure::new(Exit::Findings, sentence)
}

/// The rights that the words mean.
pub fn check_wanted(wanted: &Wanted) -> Result<Grant, Failure> {
    let grant = Grant::parse(&wanted.rights)
        .ok_or_else(|| usage("the rights are all, or some of read, mail and send with commas between them"))?;
    if grant.rights == Rights::NONE && !wanted.mailboxes.is_empty() {
        return Err(usage("a device that only sends sees no mailboxes: leave them out, or say --rights read,send"));
    }
    if wanted.mailboxes.len() > DEVICE_MAILBOXES_MAX {
        return Err(usage(format!("at most {DEVICE_MAILBOXES_MAX} mailboxes can be named")));
    }
    Ok(grant)
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    match DeviceOrder::from_words(words) {
        Some(DeviceOrder::Add { name, wanted, apop }) => add_one(errand, (&name, &wanted, apop), answer).await,
        Some(DeviceOrder::List { json: false }) => show_all(errand, answer).await,
        Some(DeviceOrder::List { json: true }) => show_json(errand, answer).await,
        Some(DeviceOrder::Rights(name, wanted)) => change_one(errand, &name, &wanted, answer).await,
        Some(DeviceOrder::Pop3(name, wish)) => collect_one(errand, &name, &wish, answer).await,
        Some(DeviceOrder::Remove(name)) => remove_one(errand, &name, answer).await,
        Some(DeviceOrder::Link(name)) => link_one(errand, &name, answer).await,
        None => Err(usage("the node that runs does not know this command: restart it")),
    }
}

async fn add_one(
    errand: &Errand,
    (name, wanted, apop): (&str, &Wanted, bool),
    answer: &mut Answer,
) -> Result<(), Failure> {
    let (grant, site) = (check_wanted(wanted)?, errand.context.site());
    if !is_device_name(name) {
        return Err(usage(
            "the name of a device is up to 64 letters, digits, hyphens, underscores and dots, and begins with a letter or a digit",
        ));
    }
    // It would be the owner's own name: their password counts there.
    let login = device_login(&site.login, name);
    if Named::read(&site, &login) == Named::Owner {
        return Err(usage(format!("{login} is one of your addresses: choose another name")));
    }
    let made = make_password(&errand.context.net);
    let password = made.map_err(|e| Failure::new(Exit::System, format!("no random bytes: {e}")))?;
    let done = add(&errand.context, name, &password, grant, &wanted.mailboxes, apop).await;
    done.map_err(|e| not_done(name, e))?;
    let warning = if apop { APOP_WARNING } else { "" };
    let text = format!(
        "login     {}\npassword  {}\n\n{warning}This password is shown only now. The login {login} works too, and shows in the log which \
         device it is.\n\n",
        site.login, *password
    );
    answer.say(&text).await?;
    let link = match &errand.running {
        None => format!("`hauspost device link {name}` makes a link that sets it up, while the server runs.\n"),
        Some(_) => invite(errand, name, Some(password)).await?.unwrap_or_else(|| {
            "There is no link that sets it up: the server does not listen for HTTPS, see `hauspost status`.\n"
                .to_owned()
        }),
    };
    answer.say(&link).await
}

/// A link for a device that is there, which gets a new password when the link is opened.
async fn link_one(errand: &Errand, name: &str, answer: &mut Answer) -> Result<(), Failure> {
    let known = devices(errand).await?.into_iter().find(|(device, _)| device.name.eq_ignore_ascii_case(name));
    let (device, _) = known.ok_or_else(|| not_done(name, NotDone::Trouble(Trouble::NotFound)))?;
    if errand.running.is_none() {
        return Err(findings("the server does not run: a link is made by a server that answers it"));
    }
    let text = invite(errand, &device.name, None).await?;
    answer.say(&text.ok_or_else(|| findings("the server does not listen for HTTPS: see `hauspost status`"))?).await?;
    answer.say("\nWhen it is opened the device gets a new password, and the old one opens nothing any more.\n").await
}

/// Makes a link and says what to do with it. `None`: there are no pages.
async fn invite(errand: &Errand, name: &str, password: Option<Zeroizing<String>>) -> Result<Option<String>, Failure> {
    let invitation = link(&errand.context, name, password).await.map_err(|e| in_store(&e))?;
    let Some(Invitation { url, authority_sha256 }) = invitation else { return Ok(None) };
    let minutes = WEB_LINK_SECONDS / 60;
    let mut text = format!(
        "{LINK_LABEL}{url}\n\nOpen it on the device within {minutes} minutes: it opens once, and shows password and settings.\n"
    );
    if let Some(hash) = authority_sha256 {
        let print = fingerprint(&hash);
        // Two lines, each with half of the bytes.
        let (first, second) = print.split_at_checked(print.len() / 2 + 1).unwrap_or((&print, ""));
        let _ = writeln!(
            text,
            "The device does not know this server yet and warns of its certificate: this once, go on. What it then shall trust has\n\
             the SHA-256 fingerprint\n    {first}\n    {second}"
        );
    }
    Ok(Some(text))
}

async fn change_one(errand: &Errand, name: &str, wanted: &Wanted, answer: &mut Answer) -> Result<(), Failure> {
    let grant = check_wanted(wanted)?;
    regrant(&errand.context, name, grant, &wanted.mailboxes).await.map_err(|e| not_done(name, e))?;
    answer.say(&format!("{}: has other rights now\n", plain(name, MAILBOX_CHARACTERS_SHOWN))).await
}

async fn collect_one(errand: &Errand, name: &str, wish: &CollectingWish, answer: &mut Answer) -> Result<(), Failure> {
    collect(&errand.context, name, wish).await.map_err(|e| not_done(name, e))?;
    answer.say(&format!("{}: collects its mail otherwise now\n", plain(name, MAILBOX_CHARACTERS_SHOWN))).await
}

async fn remove_one(errand: &Errand, name: &str, answer: &mut Answer) -> Result<(), Failure> {
    remove(&errand.context, name).await.map_err(|e| not_done(name, NotDone::Trouble(e)))?;
    answer
        .say(&format!("{}: removed; its password opens nothing any more\n", plain(name, MAILBOX_CHARACTERS_SHOWN)))
        .await
}

fn not_done(name: &str, why: NotDone) -> Failure {
    match why {
        NotDone::NoMailbox(mailbox) => findings(format!("there is no mailbox {mailbox:?}")),
        NotDone::NoOwner => Failure::new(Exit::Configuration, "the owner has no password yet: see hauspost password"),
        NotDone::Trouble(Trouble::NotFound) => findings(format!("there is no device {name:?}: the list shows them")),
        NotDone::Trouble(Trouble::Exists) => findings(format!("there is a device {name:?} already: remove it first")),
        NotDone::Trouble(Trouble::Refused(why)) => findings(why),
        NotDone::Trouble(trouble) => in_store(&trouble),
    }
}

/// The names of all mailboxes.
async fn names(errand: &Errand) -> Result<HashMap<MailboxId, String>, Failure> {
    let read = errand.context.store.read(|snapshot| snapshot.mailboxes());
    let mailboxes = read.await.map_err(|e| in_store(&e))?;
    Ok(mailboxes.into_iter().map(|mailbox| (mailbox.id, mailbox.name)).collect())
}

async fn devices(errand: &Errand) -> Result<Vec<(Device, Option<Sighting>)>, Failure> {
    list(&errand.context).await.map_err(|e| in_store(&e))
}

/// Where a device was, for people: `at home (192.168.1.0/24)`.
pub fn whereabouts(sighting: &Sighting) -> String {
    let place = if sighting.is_at_home(&own_addresses()) { "at home" } else { "from elsewhere" };
    format!("{place} ({})", sighting.network())
}

async fn show_all(errand: &Errand, answer: &mut Answer) -> Result<(), Failure> {
    let (names, devices) = (names(errand).await?, devices(errand).await?);
    for (device, sighting) in &devices {
        let mut text = format!("{}\n", device.name);
        let _ = writeln!(text, "    login    {}", device_login(&errand.context.site().login, &device.name));
        let _ = writeln!(text, "    may      {}", describe(&device.access, &names));
        for line in describe_collecting(device, &names) {
            let _ = writeln!(text, "    POP3     {line}");
        }
        let _ = writeln!(text, "    added    {}", full(device.made, errand.zone_minutes));
        match sighting {
            None => text.push_str("    used     not yet\n"),
            Some(seen) => {
                let _ = writeln!(text, "    used     {} {}", full(seen.at, errand.zone_minutes), whereabouts(seen));
                if !seen.program.is_empty() {
                    let _ = writeln!(text, "    program  {}", plain(&seen.program, CLIENT_NAME_CHARACTERS_MAX));
                }
            }
        }
        text.push('\n');
        answer.say(&text).await?;
    }
    let total = match devices.len() {
        0 => "There are no devices: every login uses your own password.\n".to_owned(),
        some => format!("{}.\n", count(some, "device", "devices")),
    };
    answer.say(&total).await
}

/// What rights with mailboxes are in words.
fn in_words(rights: Rights) -> String {
    match rights {
        Rights::GRANTABLE => "read and change".to_owned(),
        Rights::LOOKING => "read".to_owned(),
        Rights::NONE => "not see".to_owned(),
        other => format!("do {} with", other.plain_letters()),
    }
}

fn describe(access: &Access, names: &HashMap<MailboxId, String>) -> String {
    let mut parts = Vec::new();
    let rules: Vec<String> = access
        .rules
        .iter()
        .filter_map(|(id, rights)| {
            let name = plain(names.get(id)?, MAILBOX_CHARACTERS_SHOWN);
            Some(format!("{} {name} and below", in_words(*rights)))
        })
        .collect();
    match (access.base, rules.is_empty()) {
        (Rights::NONE, _) => {}
        (base, true) => parts.push(format!("{} all mailboxes", in_words(base))),
        (base, false) => parts.push(format!("{} all other mailboxes", in_words(base))),
    }
    parts.extend(rules);
    if access.sends {
        parts.push("send".to_owned());
    }
    if parts.is_empty() { "do nothing".to_owned() } else { parts.join("; ") }
}

/// What is special about how a device collects its mail; a line each.
fn describe_collecting(device: &Device, names: &HashMap<MailboxId, String>) -> Vec<String> {
    let Collecting { mailbox, on_delete, login_delay_seconds } = device.collecting;
    let mut lines = Vec::new();
    match names.get(&mailbox) {
        _ if mailbox == INBOX => {}
        Some(name) => lines.push(format!("sees {}", plain(name, MAILBOX_CHARACTERS_SHOWN))),
        None => lines.push("sees a mailbox that is gone, and gets no mail".to_owned()),
    }
    match on_delete {
        OnDelete::Delete => {}
        OnDelete::Trash => lines.push("what it deletes goes to the trash".to_owned()),
        OnDelete::Archive => lines.push("what it deletes goes to the archive".to_owned()),
    }
    if login_delay_seconds > 0 {
        lines.push(format!("at most once in {}", count(login_delay_seconds as usize, "second", "seconds")));
    }
    if device.readable.is_some() {
        lines.push("may use APOP: its password is READABLE in the data folder".to_owned());
    }
    lines
}

async fn show_json(errand: &Errand, answer: &mut Answer) -> Result<(), Failure> {
    let (names, devices) = (names(errand).await?, devices(errand).await?);
    answer.say("[").await?;
    let mut separator = "\n";
    for (device, sighting) in &devices {
        let Access { base, rules, sends } = &device.access;
        let rules: Vec<String> = rules
            .iter()
            .filter_map(|(id, rights)| {
                let name = json(names.get(id)?);
                Some(format!("{{\"mailbox\":{name},\"rights\":{}}}", json(&rights.plain_letters())))
            })
            .collect();
        let object = format!(
            "{separator}{{\"name\":{},\"login\":{},\"rights\":{},\"mailboxes\":[{}],\"sends\":{sends},\"pop3\":{},\"added\":{},{}}}",
            json(&device.name),
            json(&device_login(&errand.context.site().login, &device.name)),
            json(&base.plain_letters()),
            rules.join(","),
            collecting_json(device, &names),
            json(&full(device.made, 0)),
            sighting_json(sighting.as_ref()),
        );
        answer.say(&object).await?;
        separator = ",\n";
    }
    answer.say("\n]\n").await
}

/// The fields of an object that tell of a device's last use.
pub fn sighting_json(sighting: Option<&Sighting>) -> String {
    let Some(seen) = sighting else { return r#""used":null,"network":null,"at_home":null,"program":null"#.to_owned() };
    let program = if seen.program.is_empty() { "null".to_owned() } else { json(&seen.program) };
    format!(
        "\"used\":{},\"network\":{},\"at_home\":{},\"program\":{program}",
        json(&full(seen.at, 0)),
        json(&seen.network()),
        seen.is_at_home(&own_addresses()),
    )
}

fn collecting_json(device: &Device, names: &HashMap<MailboxId, String>) -> String {
    let Collecting { mailbox, on_delete, login_delay_seconds } = device.collecting;
    let mailbox = names.get(&mailbox).map_or("null".to_owned(), |name| json(name));
    format!(
        "{{\"mailbox\":{mailbox},\"on_delete\":{},\"login_delay_seconds\":{login_delay_seconds},\"apop\":{}}}",
        json(on_delete.word()),
        device.readable.is_some()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(rights: &str, mailboxes: &[&str]) -> Wanted {
        Wanted { rights: rights.into(), mailboxes: mailboxes.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn words_return() {
        let orders = [
            DeviceOrder::List { json: false },
            DeviceOrder::List { json: true },
            DeviceOrder::Add { name: "phone".into(), wanted: wanted("read,send", &["INBOX", "a b"]), apop: false },
            DeviceOrder::Add { name: "phone".into(), wanted: wanted("read", &[]), apop: true },
            DeviceOrder::Pop3(
                "phone".into(),
                CollectingWish { mailbox: Some("a b".into()), forget_readable: true, ..CollectingWish::default() },
            ),
            DeviceOrder::Rights("phone".into(), wanted("all", &[])),
            DeviceOrder::Remove("phone".into()),
            DeviceOrder::Link("phone".into()),
        ];
        for order in orders {
            let words = order.to_words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!((words[0], DeviceOrder::from_words(&words[1..])), ("device", Some(order)));
        }
        for words in
            [&[][..], &["fly"], &["add"], &["add", "phone"], &["remove"], &["remove", "a", "b"], &["pop3", "a"]]
        {
            assert_eq!(DeviceOrder::from_words(words), None, "{words:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(check_wanted(&wanted("read,send", &["INBOX"])).is_ok());
        for bad in [wanted("everything", &[]), wanted("send", &["INBOX"]), wanted("read", &["x"; 65])] {
            assert_eq!(check_wanted(&bad).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn rights_are_described() {
        let names = HashMap::from([(MailboxId(1), "INBOX".to_owned()), (MailboxId(2), "Work\x1b[2J".to_owned())]);
        let access = |base, rules, sends| describe(&Access { base, rules, sends }, &names);
        assert_eq!(access(Rights::GRANTABLE, vec![], true), "read and change all mailboxes; send");
        assert_eq!(access(Rights::NONE, vec![], false), "do nothing");
        let rules = vec![(MailboxId(2), Rights::LOOKING), (MailboxId(1), Rights::NONE), (MailboxId(9), Rights::ALL)];
        assert_eq!(
            access(Rights::LOOKING, rules, false),
            "read all other mailboxes; read Work\\u{1b}[2J and below; not see INBOX and below"
        );
    }
}
