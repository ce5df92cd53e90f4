//! The records as text: a zone snippet, a table, JSON.

use super::records::{Addresses, Data, Need, Record, Section, quote_text, sts_policy};
use crate::limits::DNS_RECORD_TTL_SECONDS;
use crate::net::reverse_name;
use crate::wire::address::Domain;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Columns of comments and notes.
const COLUMNS: usize = 100;

/// The lines of one record: type and value, the value as a zone file has it when `zone`, otherwise as a form on a web page
/// wants it.
pub fn values(data: &Data, zone: bool) -> Vec<(&'static str, String)> {
    let dot = if zone { "." } else { "" };
    match data {
        Data::Mx(host) => vec![("MX", format!("10 {host}{dot}"))],
        Data::Addresses(addresses) => addresses.known().iter().map(address).collect(),
        Data::Alias(host) => vec![("CNAME", format!("{host}{dot}"))],
        Data::Text(_, text) => vec![("TXT", if zone { quote_text(text) } else { text.clone() })],
        Data::Srv(host, Some(port)) => vec![("SRV", format!("0 1 {port} {host}{dot}"))],
        Data::Srv(_, None) => vec![("SRV", "0 0 0 .".to_owned())],
        Data::Tlsa(hash, _) => {
            let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![("TLSA", format!("3 1 1 {digits}"))]
        }
        Data::Reverse(_, host) => vec![("PTR", format!("{host}{dot}"))],
    }
}

fn address(address: &IpAddr) -> (&'static str, String) {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    (kind, address.to_string())
}

/// The name of a record; of a reverse one the name under which the address stands.
pub fn name(record: &Record) -> Domain {
    match record.data {
        Data::Reverse(address, _) => reverse_name(address),
        _ => record.name.clone(),
    }
}

/// The type of a record.
pub fn kind(data: &Data) -> &'static str {
    values(data, true).first().map_or("A", |(kind, _)| kind)
}

/// A snippet for a zone file. What cannot stand there as it is, stands there as a comment.
pub fn zone(sections: &[Section], hostname: &Domain) -> String {
    let mut text = String::new();
    for section in sections {
        let _ = writeln!(text, "; ---- {}", section.title);
        for record in &section.records {
            text.push('\n');
            wrap(&mut text, "; ", &record.note);
            let name = name(record);
            // Somebody else's zone, or not yet.
            let is_comment = record.need == Need::Later || matches!(record.data, Data::Reverse(..));
            let mark = if is_comment { "; " } else { "" };
            if matches!(&record.data, Data::Addresses(addresses) if addresses.known().is_empty()) {
                let _ = writeln!(text, "; {name}. {DNS_RECORD_TTL_SECONDS} IN A PUT-YOUR-PUBLIC-ADDRESS-HERE");
            }
            for (kind, value) in values(&record.data, true) {
                let _ = writeln!(text, "{mark}{name}. {DNS_RECORD_TTL_SECONDS} IN {kind} {value}");
            }
            if is_policy(record) {
                wrap(&mut text, "; ", "The policy:");
                sts_policy(hostname).lines().for_each(|line| text.push_str(&format!(";   {line}\n")));
            }
        }
        text.push('\n');
    }
    text
}

/// A table to be typed into a form.
pub fn table(sections: &[Section], hostname: &Domain) -> String {
    let mut text = String::new();
    for section in sections {
        let _ = writeln!(text, "{}", section.title);
        for record in &section.records {
            let need = match record.need {
                Need::Required => "needed",
                Need::Good => "good to have",
                Need::Later => "only if",
            };
            let _ = writeln!(text, "\n  {} ({need})", name(record));
            if matches!(&record.data, Data::Addresses(addresses) if addresses.known().is_empty()) {
                text.push_str("  A      PUT YOUR PUBLIC ADDRESS HERE\n");
            }
            for (kind, value) in values(&record.data, false) {
                let _ = writeln!(text, "  {kind:<6} {value}");
            }
            wrap(&mut text, "         ", &record.note);
            if is_policy(record) {
                sts_policy(hostname).lines().for_each(|line| text.push_str(&format!("           {line}\n")));
            }
        }
        text.push('\n');
    }
    text
}

fn is_policy(record: &Record) -> bool {
    matches!(record.data, Data::Text(super::records::Meaning::Sts, _))
}

/// One element of the JSON that scripts read; more fields may follow.
pub fn json_fields(record: &Record) -> String {
    let values: Vec<String> =
        values(&record.data, false).iter().map(|(kind, value)| format!("\"{kind} {}\"", escape(value))).collect();
    let need = match record.need {
        Need::Required => "required",
        Need::Good => "good",
        Need::Later => "later",
    };
    format!("\"name\":\"{}\",\"records\":[{}],\"need\":\"{need}\"", escape(name(record).as_str()), values.join(","))
}

/// RFC 8259 section 7.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Words in lines.
pub fn wrap(text: &mut String, indent: &str, sentences: &str) {
    let mut column = 0;
    for word in sentences.split_whitespace() {
        let breaks = column == 0 || column + 1 + word.len() > COLUMNS;
        let before = match (breaks, column) {
            (true, 0) => indent.to_owned(),
            (true, _) => format!("\n{indent}"),
            (false, _) => " ".to_owned(),
        };
        column = if breaks { indent.len() } else { column + 1 } + word.len();
        text.push_str(&before);
        text.push_str(word);
    }
    text.push('\n');
}

/// What there is of addresses, in words.
pub fn known(addresses: &Addresses) -> String {
    let known: Vec<String> = addresses.known().iter().map(IpAddr::to_string).collect();
    known.join(", ")
}
