//! `hauspost dns`: prints what DNS has to say, or compares it with what DNS says.
//!
//! Receives a data folder; hands on text, and with `--check` an exit code. Looks at configuration, keys and certificate; never
//! at the store, so that it works while the node runs.

mod certificate;
mod compare;
mod interfaces;
mod print;
mod records;
mod spf;

pub use interfaces::own_addresses;

use crate::limits::DNS_COMPARED_AT_ONCE_MAX;
use crate::node::command::{Dns, Format, print as say};
use crate::node::configuration::read_file;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use crate::node::settings::Settings;
use crate::node::signing_keys::read_waiting_keys;
use crate::node::site::{make_net, read_signing_keys};
use compare::{Asking, Finding, State, compare};
use records::{Addresses, Facts, Need, Record, Section, wanted};
use smol::LocalExecutor;
use std::fmt::Write as _;
use std::path::Path;

/// Does what the arguments say.
pub fn run(arguments: &Dns) -> Result<(), Failure> {
    if !arguments.data.is_dir() {
        let sentence = format!("there is no folder {}: make one with `hauspost init`", arguments.data.display());
        return Err(Failure::new(Exit::Configuration, sentence));
    }
    let file = arguments.config.clone().unwrap_or_else(|| Folder(arguments.data.clone()).configuration());
    let settings = read_file(&file)?;
    let base = file.parent().unwrap_or(Path::new(""));
    let (keys, waiting) = (read_signing_keys(&settings, base)?, read_waiting_keys(&settings, base)?);
    let addresses = match arguments.address.as_slice() {
        [] => match interfaces::global_addresses() {
            found if found.is_empty() => Addresses::Unknown,
            found => Addresses::Found(found),
        },
        given => Addresses::Given(given.to_vec()),
    };
    let own = Folder(arguments.data.clone()).shown();
    let certificate = certificate::read(&base.join(&settings.tls_cert)).or_else(|| certificate::read(&own));
    let facts = Facts { settings: &settings, addresses, keys: &keys, waiting: &waiting, certificate };
    let sections = wanted(&facts);
    let hostname = &settings.hostname;
    if arguments.check {
        let dns_server = arguments.dns.or(settings.dns_server);
        let net = make_net(&Settings { dns_server, ..settings.clone() }, base)?;
        let asking = Asking { net: &net, hostname };
        let compared = smol::block_on(compare_all(&asking, sections));
        say(&if arguments.json { json(&compared) } else { report(&compared, keys.is_empty()) })?;
        return conclude(&compared);
    }
    if arguments.json {
        let records = sections.iter().flat_map(|section| &section.records);
        let elements: Vec<String> = records.map(|record| format!("{{{}}}", print::json_fields(record))).collect();
        return say(&format!("[{}]\n", elements.join(",\n ")));
    }
    let mut text = String::new();
    if matches!(arguments.format, None | Some(Format::Table)) {
        text.push_str(&print::table(&sections, hostname));
    }
    if matches!(arguments.format, None | Some(Format::Zone)) {
        if arguments.format.is_none() {
            text.push_str("The same as a snippet for a zone file:\n\n");
        }
        text.push_str(&print::zone(&sections, hostname));
    }
    if keys.is_empty() {
        text.push_str(UNSIGNED);
    }
    say(&text)
}

const UNSIGNED: &str =
    "; There is no key: your mail is not signed, and some take it for junk. `hauspost dkim` makes one.\n";

/// What was compared, in order.
type Compared = Vec<(Record, Finding)>;

async fn compare_all(asking: &Asking<'_>, sections: Vec<Section>) -> Compared {
    let records: Vec<Record> = sections.into_iter().flat_map(|section| section.records).collect();
    let mut findings = Vec::new();
    // Where nobody answers, each question takes its time.
    for some in records.chunks(DNS_COMPARED_AT_ONCE_MAX) {
        let executor = LocalExecutor::new();
        let asked: Vec<_> = some.iter().map(|record| executor.spawn(compare(asking, record))).collect();
        for answer in asked {
            findings.push(executor.run(answer).await);
        }
    }
    records.into_iter().zip(findings).collect()
}

fn report(compared: &Compared, unsigned: bool) -> String {
    let mut text = String::new();
    for (record, finding) in compared {
        let kind = print::kind(&record.data);
        let _ = writeln!(text, "{:<10} {kind:<5} {}", state(record, finding), print::name(record));
        if finding.state != State::Right {
            for (_, value) in print::values(&record.data, true) {
                let _ = writeln!(text, "           wanted:   {value}");
            }
        }
        if finding.state == State::Different {
            finding.there.iter().for_each(|there| text.push_str(&format!("           there is: {there}\n")));
        }
        if !finding.advice.is_empty() {
            print::wrap(&mut text, "           ", &finding.advice);
        }
    }
    if unsigned {
        text.push_str(UNSIGNED.trim_start_matches("; "));
    }
    text
}

/// In one word.
fn state(record: &Record, finding: &Finding) -> &'static str {
    match (finding.state, record.need) {
        (State::Right, _) => "right",
        (State::Missing, Need::Required) => "MISSING",
        (State::Missing, Need::Good) => "missing",
        (State::Missing, Need::Later) => "not there",
        (State::Different, _) if finding.is_trouble(record) => "DIFFERENT",
        (State::Different, _) => "different",
        (State::Unknown, _) => "unknown",
    }
}

fn json(compared: &Compared) -> String {
    let element = |(record, finding): &(Record, Finding)| {
        let word = match finding.state {
            State::Right => "right",
            State::Missing => "missing",
            State::Different => "different",
            State::Unknown => "unknown",
        };
        let there: Vec<String> = finding.there.iter().map(|there| format!("\"{}\"", print::escape(there))).collect();
        format!(
            "{{{},\"state\":\"{word}\",\"trouble\":{},\"there\":[{}],\"advice\":\"{}\"}}",
            print::json_fields(record),
            finding.is_trouble(record),
            there.join(","),
            print::escape(&finding.advice)
        )
    };
    let elements: Vec<String> = compared.iter().map(element).collect();
    format!("[{}]\n", elements.join(",\n "))
}

/// The end of a check: all that mail needs is right, or it is named.
fn conclude(compared: &Compared) -> Result<(), Failure> {
    let wrong = compared.iter().filter(|(record, finding)| finding.is_trouble(record));
    let names: Vec<String> =
        wrong.map(|(record, _)| format!("{} of {}", print::kind(&record.data), print::name(record))).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Findings, format!("not as it has to be in DNS: {}", names.join(", ")))),
    }
}

#[cfg(test)]
mod tests;
