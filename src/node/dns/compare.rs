//! What DNS says against what it has to say, record by record.
//!
//! Receives a wanted record; asks DNS; hands on a finding with one plain sentence of what to do. Records are compared by what
//! they mean, not letter by letter.

use super::print::known;
use super::records::{Addresses, Data, Meaning, Need, Record, Senders};
use super::spf::{self, Outcome};
use crate::limits::SPF_LOOKUPS_MAX;
use crate::mail::tls_policy::{Security, Tlsa};
use crate::net::{DnsTrouble, Net, Srv, associate};
use crate::wire::address::Domain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

/// How it stands with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it has to be.
    Right,
    /// There is none.
    Missing,
    /// There is another one.
    Different,
    /// DNS did not say.
    Unknown,
}

/// What became of a comparison.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How it stands.
    pub state: State,
    /// What is there.
    pub there: Vec<String>,
    /// What to do, or to know; may be empty.
    pub advice: String,
}

/// Where other servers bring mail.
const SMTP_PORT: u16 = 25;

/// What the comparisons share.
pub struct Asking<'a> {
    /// Where the answers come from.
    pub net: &'a Net,
    /// The name of this machine.
    pub hostname: &'a Domain,
}

impl Finding {
    fn new(state: State, there: Vec<String>, advice: &str) -> Finding {
        Finding { state, there, advice: advice.to_owned() }
    }

    fn right(there: Vec<String>) -> Finding {
        Finding::new(State::Right, there, "")
    }

    /// Whether mail suffers. A record that is only good to have may be missing, but not wrong; the name of an address is not
    /// the owner's to set, and another web server may know the settings of mail programs too.
    pub fn is_trouble(&self, record: &Record) -> bool {
        match (self.state, record.need) {
            (State::Right, _) => false,
            (_, Need::Required) => true,
            (State::Different, _) => !matches!(record.data, Data::Reverse(..) | Data::Alias(_)),
            (State::Missing | State::Unknown, _) => false,
        }
    }
}

/// Compares one record.
pub async fn compare(asking: &Asking<'_>, record: &Record) -> Finding {
    let found = match &record.data {
        Data::Mx(host) => compare_mx(asking, &record.name, host).await,
        Data::Addresses(addresses) => compare_addresses(asking, &record.name, addresses).await,
        Data::Alias(host) => compare_alias(asking, &record.name, host).await,
        Data::Text(meaning, text) => compare_text(asking, &record.name, meaning, text).await,
        Data::Srv(host, port) => compare_srv(asking, &record.name, host, *port).await,
        Data::Reverse(address, host) => compare_reverse(asking, *address, host).await,
        Data::Tlsa(_, certificate) => compare_tlsa(asking, certificate).await,
    };
    found.unwrap_or_else(|trouble| match trouble {
        DnsTrouble::NoSuchName => missing(),
        DnsTrouble::Temporary(why) => {
            let advice = format!("DNS did not say ({why}). Try again later.");
            Finding::new(State::Unknown, Vec::new(), &advice)
        }
    })
}

type Compared = Result<Finding, DnsTrouble>;

fn missing() -> Finding {
    Finding::new(State::Missing, Vec::new(), "Add it where the DNS of your domain is kept.")
}

/// No name is an answer too: there are none.
fn or_none<T>(answer: Result<Vec<T>, DnsTrouble>) -> Result<Vec<T>, DnsTrouble> {
    match answer {
        Err(DnsTrouble::NoSuchName) => Ok(Vec::new()),
        answer => answer,
    }
}

async fn compare_mx(asking: &Asking<'_>, domain: &Domain, host: &Domain) -> Compared {
    let found = or_none(asking.net.mx(domain).await)?;
    let there = found.iter().map(|mx| format!("{} {}.", mx.preference, mx.exchange)).collect();
    let best = found.iter().map(|mx| mx.preference).min();
    let ours = found.iter().find(|mx| mx.exchange == *host);
    Ok(match (ours, best) {
        (_, None) => missing(),
        (None, _) => Finding::new(
            State::Different,
            there,
            "Mail for the domain goes elsewhere. Put this one in the place of it.",
        ),
        (Some(mx), Some(best)) if mx.preference > best => {
            let advice =
                "Others come first and get the mail. Give this one the smallest number, unless that is what you want.";
            Finding::new(State::Different, there, advice)
        }
        (Some(_), _) if found.len() > 1 => {
            let advice = "The other servers get mail too, at least when this one is away.";
            Finding::new(State::Right, there, advice)
        }
        _ => Finding::right(there),
    })
}

async fn compare_addresses(asking: &Asking<'_>, host: &Domain, wanted: &Addresses) -> Compared {
    let found = or_none(asking.net.addresses(host).await)?;
    let there = found.iter().map(IpAddr::to_string).collect();
    let lacking = wanted.known().iter().any(|address| !found.contains(address));
    let beyond = found.iter().any(|address| !wanted.known().contains(address));
    Ok(match wanted {
        _ if found.is_empty() => missing(),
        Addresses::Unknown => {
            let advice = "Whether that is your line, only you know: give --address to have it compared.";
            Finding::new(State::Right, there, advice)
        }
        Addresses::Given(_) | Addresses::Found(_) if lacking => {
            let advice = format!("It should be {}. Change it, or nobody finds this machine.", known(wanted));
            Finding::new(State::Different, there, &advice)
        }
        Addresses::Given(_) if beyond => {
            let advice =
                "Mail for this machine goes to the other addresses as well. Remove those that are not its own.";
            Finding::new(State::Different, there, advice)
        }
        _ => Finding::right(there),
    })
}

/// By where it leads to: addresses do as well as a CNAME.
async fn compare_alias(asking: &Asking<'_>, name: &Domain, host: &Domain) -> Compared {
    let found = or_none(asking.net.addresses(name).await)?;
    let ours = or_none(asking.net.addresses(host).await)?;
    let there = found.iter().map(IpAddr::to_string).collect();
    Ok(match found.as_slice() {
        [] => missing(),
        found if found.iter().all(|address| ours.contains(address)) => Finding::right(there),
        _ => {
            Finding::new(State::Different, there, "It leads to another machine, which has to know the settings, then.")
        }
    })
}

async fn compare_text(asking: &Asking<'_>, name: &Domain, meaning: &Meaning, text: &str) -> Compared {
    let texts = or_none(asking.net.texts(name).await)?;
    let all: Vec<String> = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    match meaning {
        Meaning::Spf(senders) => compare_spf(asking, name, senders, spf::records_among(&texts)).await,
        Meaning::Dkim(public) => Ok(compare_dkim(all, public, text)),
        Meaning::Dmarc => compare_dmarc(asking, name, all).await,
        Meaning::Sts => Ok(compare_policy(all, "v=STSv1", |tags| tags.iter().any(|(name, _)| *name == "id"))),
        Meaning::TlsReports => Ok(compare_policy(all, "v=TLSRPTv1", |tags| {
            tags.iter().any(|(name, value)| *name == "rua" && !value.is_empty())
        })),
    }
}

async fn compare_spf(asking: &Asking<'_>, domain: &Domain, senders: &Senders, there: Vec<String>) -> Compared {
    let record = match there.as_slice() {
        [] => return Ok(missing()),
        [record] => record.clone(),
        _ => {
            let advice = "There are several SPF records, and then none of them counts. Make one of them.";
            return Ok(Finding::new(State::Different, there, advice));
        }
    };
    if spf::is_open(&record) {
        let advice = "It lets everybody send mail of the domain. Let it end with -all or ~all.";
        return Ok(Finding::new(State::Different, there, advice));
    }
    let direct = senders.direct.then(|| (asking.hostname.clone(), false));
    let through = senders.through.iter().map(|host| (Domain::new(host), true));
    for (sender, is_other) in direct.into_iter().chain(through) {
        if let Err((state, advice)) = covers(asking.net, domain, &record, &sender, is_other).await? {
            return Ok(Finding::new(state, there, &advice));
        }
    }
    Ok(Finding::right(there))
}

/// Whether a record lets a host send; if not, what is wrong. Other servers may send from other addresses than those they are
/// reached at, which a record that refers to another one lists there.
async fn covers(
    net: &Net,
    domain: &Domain,
    record: &str,
    sender: &Domain,
    is_other: bool,
) -> Result<Result<(), (State, String)>, DnsTrouble> {
    let addresses = or_none(net.addresses(sender).await)?;
    if addresses.is_empty() {
        let advice = format!("Whether it fits cannot be said before {sender} has an address.");
        return Ok(Err((State::Unknown, advice)));
    }
    for address in addresses {
        let mut lookups = SPF_LOOKUPS_MAX;
        let advice = match spf::evaluate(net, domain, record, address, &mut lookups).await {
            Outcome::Pass => continue,
            Outcome::NotPass if is_other && spf::refers(record) => continue,
            Outcome::NotPass if is_other => {
                format!("It does not let {sender} send, through which your mail goes: ask whoever runs it what to add.")
            }
            Outcome::NotPass => {
                let mechanism = spf::mechanism(address);
                format!("It does not let this machine ({address}) send: add mx or {mechanism} to it.")
            }
            Outcome::Broken(why) => format!("It cannot be used: {why}."),
            Outcome::Unknown(why) => return Err(DnsTrouble::Temporary(why)),
        };
        return Ok(Err((State::Different, advice)));
    }
    Ok(Ok(()))
}

/// RFC 6376 section 3.6.1: by the key, however the rest is written.
fn compare_dkim(there: Vec<String>, public: &[u8], wanted: &str) -> Finding {
    let keys: Vec<&String> = there.iter().filter(|text| tags(text).iter().any(|(name, _)| *name == "p")).collect();
    let wanted_kind = tag(wanted, "k").unwrap_or_default();
    let holds = |text: &String| {
        let kind = tag(text, "k").unwrap_or_else(|| "rsa".to_owned());
        let version = tag(text, "v").unwrap_or_else(|| "DKIM1".to_owned());
        let key = tag(text, "p").and_then(|key| STANDARD.decode(key).ok()).unwrap_or_default();
        // For RSA some leave the frame around the key away.
        let same = key == public
            || (kind == "rsa" && !key.is_empty() && public.ends_with(&key) && key.len() + 32 > public.len());
        same && kind == wanted_kind && version == "DKIM1"
    };
    let right = keys.iter().any(|text| holds(text));
    let testing = keys.iter().any(|text| tag(text, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y")));
    match (keys.is_empty(), right) {
        (true, _) if there.is_empty() => missing(),
        (true, _) => Finding::new(State::Different, there, "That is no key. Put this one in the place of it."),
        (false, false) => {
            let advice =
                "That is another key, and with it your signatures do not hold: put this one in the place of it.";
            Finding::new(State::Different, there, advice)
        }
        (false, true) if keys.len() > 1 => Finding::new(
            State::Different,
            there,
            "There are several keys of this name. Leave only the one that is right.",
        ),
        (false, true) if testing => {
            let advice = "It says t=y, testing: some treat your mail as if it were not signed. Take that out one day.";
            Finding::new(State::Right, there, advice)
        }
        (false, true) => Finding::right(there),
    }
}

async fn compare_dmarc(asking: &Asking<'_>, name: &Domain, there: Vec<String>) -> Compared {
    let is_record = |text: &&String| tag(text, "v").is_some_and(|version| version == "DMARC1");
    match there.iter().filter(is_record).collect::<Vec<_>>().as_slice() {
        [] => {}
        [record] => {
            return Ok(match is_policy_of_dmarc(record) {
                true => Finding::right(there),
                false => Finding::new(State::Different, there, "It lacks a policy: p=none, p=quarantine or p=reject."),
            });
        }
        _ => {
            let advice = "There are several DMARC records, and then none of them counts. Leave one.";
            return Ok(Finding::new(State::Different, there, advice));
        }
    }
    // RFC 7489 section 6.6.3: a domain below another one may have that one's.
    let mut parent = name.as_str().strip_prefix("_dmarc.").unwrap_or_default();
    while let Some((_, above)) = parent.split_once('.').filter(|(_, above)| above.contains('.')) {
        let texts = or_none(asking.net.texts(&Domain::new(&format!("_dmarc.{above}"))).await)?;
        let texts: Vec<String> = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        if texts.iter().filter(is_record).any(|record| is_policy_of_dmarc(record)) {
            return Ok(Finding::new(State::Right, texts, &format!("It is that of {above}, which holds here too.")));
        }
        parent = above;
    }
    Ok(missing())
}

fn is_policy_of_dmarc(record: &str) -> bool {
    let policy = tag(record, "p").map(|policy| policy.to_ascii_lowercase());
    policy.is_some_and(|policy| ["none", "quarantine", "reject"].contains(&policy.as_str()))
}

/// RFC 8460 section 3 and RFC 8461 section 3.1: exactly one record that begins with the version.
fn compare_policy(there: Vec<String>, version: &str, is_valid: impl Fn(&[(&str, String)]) -> bool) -> Finding {
    let ours: Vec<&String> = there.iter().filter(|text| text.starts_with(version)).collect();
    match ours.as_slice() {
        [] => missing(),
        [record] if is_valid(&tags(record)) => Finding::right(there),
        [_] => Finding::new(State::Different, there, "It is not complete. Put this one in the place of it."),
        _ => Finding::new(State::Different, there, "There are several, and then none of them counts. Leave one."),
    }
}

async fn compare_srv(asking: &Asking<'_>, name: &Domain, host: &Domain, port: Option<u16>) -> Compared {
    let found = or_none(asking.net.srv(name).await)?;
    let there =
        found.iter().map(|srv| format!("{} {} {} {}.", srv.priority, srv.weight, srv.port, srv.target)).collect();
    let is_none = |srv: &Srv| srv.target.as_str().is_empty();
    let fits = |srv: &Srv| srv.target == *host && Some(srv.port) == port;
    Ok(match port {
        _ if found.is_empty() && port.is_none() => Finding::right(there),
        _ if found.is_empty() => missing(),
        None if found.iter().all(is_none) => Finding::right(there),
        Some(_) if found.iter().any(fits) => Finding::right(there),
        None => Finding::new(State::Different, there, "Mail programs look for a service that is turned off here."),
        Some(_) => Finding::new(
            State::Different,
            there,
            "Mail programs look in the wrong place. Put this one in the place of it.",
        ),
    })
}

/// RFC 7672 section 3.1: whether the certificate is the one that DNS tells of.
async fn compare_tlsa(asking: &Asking<'_>, certificate: &[u8]) -> Compared {
    let found = asking.net.tlsa(asking.hostname, SMTP_PORT).await?;
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown = |tlsa: &Tlsa| format!("{} {} {} {}", tlsa.usage, tlsa.selector, tlsa.matching, hex(&tlsa.data));
    let there: Vec<String> = found.found.iter().map(shown).collect();
    let is_ours = |tlsa: &Tlsa| {
        tlsa.usage == 3 && associate(certificate, tlsa.selector, tlsa.matching).as_deref() == Some(tlsa.data.as_slice())
    };
    Ok(match found.security {
        _ if found.found.is_empty() => missing(),
        _ if !found.found.iter().any(is_ours) && found.found.iter().any(|tlsa| tlsa.usage == 2) => Finding::new(
            State::Right,
            there,
            "It names who issued your certificate. Whether that is so, is not looked at here.",
        ),
        _ if !found.found.iter().any(is_ours) => {
            let advice = "That is not the key of your certificate, and servers that ask for it stay away. Change it, or remove it.";
            Finding::new(State::Different, there, advice)
        }
        Security::Secure => Finding::right(there),
        Security::Insecure => {
            let advice =
                "As far as can be seen from here the zone is not signed with DNSSEC, and then nobody looks at it.";
            Finding::new(State::Right, there, advice)
        }
    })
}

/// The name of an address, and whether the name leads back to it.
async fn compare_reverse(asking: &Asking<'_>, address: IpAddr, host: &Domain) -> Compared {
    let names = or_none(asking.net.names(address).await)?;
    let there: Vec<String> = names.iter().map(|name| format!("{name}.")).collect();
    if names.is_empty() {
        let advice = "Ask your provider to set it. Where that cannot be had, send through a smarthost ([relay] host).";
        return Ok(Finding::new(State::Missing, there, advice));
    }
    for name in &names {
        if or_none(asking.net.addresses(name).await)?.contains(&address) {
            let advice = format!("It is not {host}, but it leads back to the address, which is what others ask.");
            let advice = if names.contains(host) { String::new() } else { advice };
            return Ok(Finding::new(State::Right, there, &advice));
        }
    }
    let advice =
        "That name does not lead back to the address, which others take for a bad sign. Ask your provider to set it.";
    Ok(Finding::new(State::Different, there, advice))
}

/// A tag list (RFC 6376 section 3.2) without white space in the values.
fn tags(text: &str) -> Vec<(&str, String)> {
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.map(|(name, value)| (name.trim(), value.split_whitespace().collect())).collect()
}

fn tag(text: &str, wanted: &str) -> Option<String> {
    tags(text).into_iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
}
