//! What DNS has to say for mail to come and go: every record, with what it is for.
//!
//! Receives the configuration, keys and addresses; hands on records in sections, to be printed and compared. Asks nobody.

use crate::limits::DNS_TEXT_BYTES_MAX;
use crate::mail::dkim::Key;
use crate::mail::scope::choose;
use crate::net::associate;
use crate::node::settings::{Port, Settings};
use crate::node::smarthosts::route_policy;
use crate::serve::{RoutePolicy, Service};
use crate::wire::address::Domain;
use std::net::{IpAddr, SocketAddr};

/// What is known about the addresses of this machine in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The owner has said them: these and no others.
    Given(Vec<IpAddr>),
    /// Its interfaces have them; behind a router there may be others.
    Found(Vec<IpAddr>),
    /// Nothing: they are the router's.
    Unknown,
}

impl Addresses {
    /// Those that are known.
    pub fn known(&self) -> &[IpAddr] {
        match self {
            Addresses::Given(addresses) | Addresses::Found(addresses) => addresses,
            Addresses::Unknown => &[],
        }
    }
}

/// What the records are made from.
pub struct Facts<'a> {
    /// The configuration.
    pub settings: &'a Settings,
    /// Where this machine is.
    pub addresses: Addresses,
    /// Keys that sign.
    pub keys: &'a [Key],
    /// Keys that wait.
    pub waiting: &'a [Key],
    /// The certificate, in DER.
    pub certificate: Option<Vec<u8>>,
}

/// Some records, and what to know about them.
pub struct Section {
    /// What it is about.
    pub title: String,
    /// In order.
    pub records: Vec<Record>,
}

/// One record, or several of one name and type.
pub struct Record {
    /// Where it stands.
    pub name: Domain,
    /// What it says.
    pub data: Data,
    /// Whether mail needs it.
    pub need: Need,
    /// What it is for, or what it needs; sentences.
    pub note: String,
}

/// How much mail depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it mail gets lost or refused.
    Required,
    /// Good to have.
    Good,
    /// Only together with something else that somebody has to arrange first.
    Later,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// MX 10.
    Mx(Domain),
    /// A and AAAA.
    Addresses(Addresses),
    /// CNAME: another name for the same machine.
    Alias(Domain),
    /// TXT, by what it means.
    Text(Meaning, String),
    /// SRV; without a port: the service is not there (RFC 6186 section 3.4).
    Srv(Domain, Option<u16>),
    /// TLSA 3 1 1 (RFC 7672 section 3.1.1): the hash, and the certificate whose key has it.
    Tlsa(Vec<u8>, Vec<u8>),
    /// PTR of an address.
    Reverse(IpAddr, Domain),
}

/// How the text of a TXT record is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// RFC 7208: by whom it lets send.
    Spf(Senders),
    /// RFC 6376: by the key.
    Dkim(Vec<u8>),
    /// RFC 7489: by being valid.
    Dmarc,
    /// RFC 8461: likewise.
    Sts,
    /// RFC 8460: likewise.
    TlsReports,
}

/// Who sends mail of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Senders {
    /// This machine, to the servers of others.
    pub direct: bool,
    /// Servers that send it on.
    pub through: Vec<String>,
}

/// All records, the machine's first.
pub fn wanted(facts: &Facts<'_>) -> Vec<Section> {
    let mut sections = vec![machine(facts)];
    sections.extend(facts.settings.local_domains().iter().map(|domain| own_domain(facts, domain)));
    sections.extend(facts.settings.directory.gateway_domains().map(|domain| gateway_domain(facts, domain)));
    sections
}

/// The names of MTA-STS policies and their text (RFC 8461 section 3.2), which every own domain has to serve.
pub fn sts_policy(hostname: &Domain) -> String {
    format!("version: STSv1\nmode: enforce\nmx: {hostname}\nmax_age: 604800\n")
}

fn machine(facts: &Facts<'_>) -> Section {
    let hostname = &facts.settings.hostname;
    let record =
        |name: &Domain, data, need, note: &str| Record { name: name.clone(), data, need, note: note.to_owned() };
    let mut records = vec![record(
        hostname,
        Data::Addresses(facts.addresses.clone()),
        Need::Required,
        match facts.addresses {
            Addresses::Given(_) => "Where this machine is.",
            Addresses::Found(_) => "Where this machine is, as far as it can see. Behind a router, give --address.",
            Addresses::Unknown => {
                "Where this machine is: the public address of your line. Give --address to have it here."
            }
        },
    )];
    // With a domain of the same name that domain's record is the one.
    if !facts.settings.local_domains().contains(hostname) {
        let spf = {
            let senders = Senders { direct: true, through: Vec::new() };
            Data::Text(Meaning::Spf(senders), "v=spf1 a -all".to_owned())
        };
        records.push(record(hostname, spf, Need::Good, "Bounces are sent in the name of the machine (SPF)."));
    }
    for address in facts.addresses.known() {
        let note = "The name of the address. Only whoever gave you the address can set it: ask your provider. Without it \
                    many servers refuse mail that comes directly from you.";
        records.push(record(hostname, Data::Reverse(*address, hostname.clone()), Need::Good, note));
    }
    if let Some(certificate) = &facts.certificate
        && let Some(hash) = associate(certificate, 1, 1)
    {
        let name = Domain::new(&format!("_25._tcp.{hostname}"));
        let note = "The key of your certificate, for servers that ask DNSSEC (DANE). Only for a zone that is signed with \
                    DNSSEC, and only if you change it before you change the key: with a wrong one, mail stays away.";
        records.push(record(&name, Data::Tlsa(hash, certificate.clone()), Need::Later, note));
    }
    Section { title: format!("{hostname}: this machine"), records }
}

fn own_domain(facts: &Facts<'_>, domain: &Domain) -> Section {
    let settings = facts.settings;
    let at = |prefix: &str| Domain::new(&format!("{prefix}.{domain}"));
    let mut records = vec![mx(facts, domain), spf(settings, domain)];
    for (keys, need) in [(facts.keys, Need::Required), (facts.waiting, Need::Good)] {
        for key in keys {
            let note = match need {
                Need::Required => "The key that signs your mail (DKIM).",
                _ => "A key that does not sign: before its turn, or after it. It goes when its file goes.",
            };
            records.push(Record {
                name: at(&format!("{}._domainkey", key.selector())),
                data: Data::Text(Meaning::Dkim(key.public()), key.record()),
                need,
                note: note.to_owned(),
            });
        }
    }
    let text = |name: Domain, meaning, text: &str, need, note: &str| {
        let data = Data::Text(meaning, text.to_owned());
        Record { name, data, need, note: note.to_owned() }
    };
    let note = "What others do with mail that only claims to come from you (DMARC): put it among the junk.";
    records.push(text(at("_dmarc"), Meaning::Dmarc, "v=DMARC1; p=quarantine", Need::Required, note));
    let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
    let note = "Where others report when they cannot reach you with TLS (TLS-RPT).";
    records.push(text(at("_smtp._tls"), Meaning::TlsReports, &reports, Need::Good, note));
    let policy = sts_policy(&settings.hostname);
    let sts = format!("v=STSv1; id={}", policy_id(&policy));
    let note = format!(
        "Tells others to insist on TLS (MTA-STS). Only when a web server of yours gives out the policy below at \
         https://mta-sts.{domain}/.well-known/mta-sts.txt, and both that server and this one have certificates that the \
         whole world trusts, not a self-signed one."
    );
    records.push(text(at("_mta-sts"), Meaning::Sts, &sts, Need::Later, &note));
    records.extend(services(settings, domain));
    records.extend(where_programs_ask(settings, domain));
    Section { title: format!("{domain}: a domain of yours"), records }
}

fn gateway_domain(facts: &Facts<'_>, domain: &Domain) -> Section {
    Section { title: format!("{domain}: a domain whose mail is handed on inside"), records: vec![mx(facts, domain)] }
}

fn mx(facts: &Facts<'_>, domain: &Domain) -> Record {
    let data = Data::Mx(facts.settings.hostname.clone());
    Record { name: domain.clone(), data, need: Need::Required, note: "Mail for the domain comes here.".to_owned() }
}

fn spf(settings: &Settings, domain: &Domain) -> Record {
    let senders = senders(settings, domain);
    let mechanism = |host: &String| match host.parse::<IpAddr>() {
        Ok(ip) => super::spf::mechanism(ip),
        Err(_) => format!("a:{host}"),
    };
    let named: Vec<String> = senders.through.iter().map(mechanism).collect();
    let (text, note) = match named.as_slice() {
        [] => (
            "v=spf1 mx -all".to_owned(),
            "Only the machines of the MX record send mail of the domain (SPF).".to_owned(),
        ),
        named => {
            let note = format!(
                "Who sends mail of the domain (SPF). Yours goes out through {} too: ask whoever runs it what belongs here, \
                 mostly include: with a name of theirs, and put that in the place of {}.",
                senders.through.join(" and "),
                named.join(" ")
            );
            (format!("v=spf1 mx {} ~all", named.join(" ")), note)
        }
    };
    Record { name: domain.clone(), data: Data::Text(Meaning::Spf(senders), text), need: Need::Required, note }
}

/// Which ways mail of a domain goes out.
fn senders(settings: &Settings, domain: &Domain) -> Senders {
    let scopes = settings.smarthosts.iter().map(|table| &table.scope);
    // No recipient is at the domain without a name: the choice is by the sender.
    let of_domain = choose(scopes, Some(domain), &Domain::new("")).and_then(|at| settings.smarthosts.get(at));
    let usual = &settings.relay.server.host;
    let (direct, first) = match (of_domain, route_policy(settings)) {
        (Some(table), _) => (false, Some(&table.server.host)),
        (None, RoutePolicy::Direct) => (true, None),
        (None, RoutePolicy::Smarthost) => (false, Some(usual)),
        (None, RoutePolicy::Auto) => (true, Some(usual)),
    };
    let of_recipients = settings.smarthosts.iter().filter(|table| !table.scope.recipient_domains.is_empty());
    let mut through: Vec<String> = Vec::new();
    for host in first.into_iter().chain(of_recipients.map(|table| &table.server.host)) {
        if !host.is_empty() && !through.contains(host) {
            through.push(host.clone());
        }
    }
    Senders { direct, through }
}

/// RFC 6186 section 3, RFC 8314 section 5.1: how mail programs find the services.
fn services(settings: &Settings, domain: &Domain) -> Vec<Record> {
    let services = settings.listen.services();
    let record = |(port, sockets): &(Port, &[SocketAddr])| {
        let label = match (port.service, port.implicit_tls) {
            (Service::Mx | Service::Web, _) => return None,
            (Service::Submission, true) => "_submissions",
            (Service::Submission, false) => "_submission",
            (Service::Imap, true) => "_imaps",
            (Service::Imap, false) => "_imap",
            (Service::Pop3, true) => "_pop3s",
            (Service::Pop3, false) => "_pop3",
        };
        let reached = sockets.iter().find(|socket| !socket.ip().is_loopback()).map(SocketAddr::port);
        let note = match reached {
            Some(_) => format!("Mail programs find {} by it.", &label[1..]),
            None => format!("Mail programs see by it that there is no {}.", &label[1..]),
        };
        let name = Domain::new(&format!("{label}._tcp.{domain}"));
        Some(Record { name, data: Data::Srv(settings.hostname.clone(), reached), need: Need::Good, note })
    };
    services.iter().filter_map(record).collect()
}

/// Where mail programs ask for their settings: Thunderbird and others by autoconfig, Outlook by autodiscover. Nothing where nobody answers.
fn where_programs_ask(settings: &Settings, domain: &Domain) -> Vec<Record> {
    if settings.listen.https.iter().all(|socket| socket.ip().is_loopback()) {
        return Vec::new();
    }
    let record = |(label, who): (&str, &str)| {
        let name = Domain::new(&format!("{label}.{domain}"));
        let note = format!("{who} asks there for its settings.");
        Record { name, data: Data::Alias(settings.hostname.clone()), need: Need::Good, note }
    };
    [("autoconfig", "Thunderbird"), ("autodiscover", "Outlook")].map(record).into()
}

/// Changes with the policy (RFC 8461 section 3.1).
fn policy_id(policy: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, policy.as_bytes());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a TXT record as a zone file has it: strings of at most 255 bytes in quotes (RFC 1035 sections 3.3 and 5.1).
pub fn quote_text(text: &str) -> String {
    let strings = text.as_bytes().chunks(DNS_TEXT_BYTES_MAX).map(|piece| {
        let plain = String::from_utf8_lossy(piece).replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{plain}\"")
    });
    strings.collect::<Vec<_>>().join(" ")
}
