//! What is printed, and what a comparison finds.

use super::records::{Data, Meaning};
use super::*;
use crate::limits::DNS_TEXT_BYTES_MAX;
use crate::mail::dkim::Key;
use crate::mail::tls_policy::Tlsa;
use crate::net::twin::{Twin, Zone};
use crate::net::{DnsTrouble, Srv, tls};
use crate::node::configuration::parse;
use crate::node::settings::Settings;
use crate::wire::address::Domain;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

const V4: &str = "203.0.113.5";
const V6: &str = "2001:db8::5";

fn key(selector: &str, rsa: bool) -> Key {
    let pem: &[u8] = match rsa {
        true => include_bytes!("../../../tests/dialogues/keys/home-rsa.pem"),
        false => include_bytes!("../../../tests/dialogues/keys/home-ed25519.pem"),
    };
    Key::from_pem(selector, pem).unwrap()
}

fn settings(more: &str) -> Settings {
    let text = format!("hostname = \"mail.home.example\"\naddresses = [\"me@home.example\"]\n{more}");
    parse("file", &text).unwrap()
}

/// Of all plans.
static CERTIFICATE: OnceLock<Vec<u8>> = OnceLock::new();

fn make_certificate() -> Vec<u8> {
    let made = tls::self_signed(&["mail.home.example".to_owned()], Twin::new(1).net().clock()).unwrap();
    CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap().to_vec()
}

fn plan(settings: &Settings, addresses: Addresses) -> Vec<Section> {
    let (keys, waiting) = ([key("rsa1", true), key("ed1", false)], [key("rsa2", true)]);
    let certificate = Some(CERTIFICATE.get_or_init(make_certificate).clone());
    let facts = Facts { settings, addresses, keys: &keys, waiting: &waiting, certificate };
    wanted(&facts)
}

fn given() -> Addresses {
    Addresses::Given(vec![V4.parse().unwrap(), V6.parse().unwrap()])
}

/// A world in which all of it is in DNS.
fn publish(sections: &[Section]) -> Arc<Twin> {
    let twin = Twin::new(1);
    for record in sections.iter().flat_map(|section| &section.records) {
        match &record.data {
            Data::Mx(host) => twin.add_mx(&record.name, 10, host),
            Data::Addresses(all) => all.known().iter().for_each(|address| twin.add_address(&record.name, *address)),
            // What a resolver says of a CNAME.
            Data::Alias(host) => {
                for known in sections.iter().flat_map(|section| &section.records).filter(|known| known.name == *host) {
                    if let Data::Addresses(all) = &known.data {
                        all.known().iter().for_each(|address| twin.add_address(&record.name, *address));
                    }
                }
            }
            Data::Text(_, text) => twin.add_text(&record.name, text.as_bytes()),
            Data::Srv(host, port) => {
                let target = if port.is_some() { host.clone() } else { Domain::new("") };
                twin.add_srv(&record.name, Srv { priority: 0, weight: 1, port: port.unwrap_or(0), target });
            }
            Data::Reverse(address, host) => twin.add_name(*address, host),
            Data::Tlsa(hash, _) => {
                twin.add_tlsa(&record.name, Tlsa { usage: 3, selector: 1, matching: 1, data: hash.clone() });
            }
        }
    }
    twin
}

/// The words of a check, and its end.
fn check(twin: &Arc<Twin>, sections: Vec<Section>) -> (String, Result<(), String>) {
    let (net, hostname) = (twin.net(), Domain::new("mail.home.example"));
    let asking = Asking { net: &net, hostname: &hostname };
    let compared = smol::block_on(compare_all(&asking, sections));
    (report(&compared, false), conclude(&compared).map_err(|failure| failure.sentence))
}

/// A check after one name was changed.
fn after(name: &str, change: impl Fn(&Twin, &Domain)) -> (String, Result<(), String>) {
    let sections = plan(&settings(""), given());
    let twin = publish(&sections);
    let name = Domain::new(name);
    twin.forget(&name);
    change(&twin, &name);
    check(&twin, sections)
}

/// A check after a TXT record was changed.
fn with_text(name: &str, text: &str) -> (String, Result<(), String>) {
    after(name, |twin, name| twin.add_text(name, text.as_bytes()))
}

#[test]
fn the_zone_has_every_record_in_its_form() {
    let zone = print::zone(&plan(&settings(""), given()), &Domain::new("mail.home.example"));
    for line in [
        "mail.home.example. 3600 IN A 203.0.113.5",
        "mail.home.example. 3600 IN AAAA 2001:db8::5",
        "mail.home.example. 3600 IN TXT \"v=spf1 a -all\"",
        "; 5.113.0.203.in-addr.arpa. 3600 IN PTR mail.home.example.",
        "home.example. 3600 IN MX 10 mail.home.example.",
        "home.example. 3600 IN TXT \"v=spf1 mx -all\"",
        "_dmarc.home.example. 3600 IN TXT \"v=DMARC1; p=quarantine\"",
        "_smtp._tls.home.example. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@home.example\"",
        "_submissions._tcp.home.example. 3600 IN SRV 0 1 465 mail.home.example.",
        "_imap._tcp.home.example. 3600 IN SRV 0 1 143 mail.home.example.",
        ";   mx: mail.home.example",
    ] {
        assert!(zone.lines().any(|found| found == line), "{line} in\n{zone}");
    }
    let tlsa = zone.lines().find(|line| line.starts_with("; _25._tcp.mail.home.example. 3600 IN TLSA 3 1 1 ")).unwrap();
    assert_eq!(tlsa.rsplit(' ').next().unwrap().len(), 64);
    assert!(zone.contains("\n; _mta-sts.home.example. 3600 IN TXT \"v=STSv1; id="), "{zone}");
    let dkim = zone.lines().find(|line| line.starts_with("rsa1._domainkey.home.example. ")).unwrap();
    let strings: Vec<&str> = dkim.split('"').skip(1).step_by(2).collect();
    assert!(strings.len() == 2 && strings.iter().all(|string| string.len() <= DNS_TEXT_BYTES_MAX), "{dkim}");
    assert_eq!(strings.concat(), key("rsa1", true).record());
    assert!(zone.lines().all(|line| line.is_empty() || line.starts_with(';') || line.contains(" 3600 IN ")));
}

#[test]
fn the_table_is_for_forms() {
    let table = print::table(&plan(&settings(""), Addresses::Unknown), &Domain::new("mail.home.example"));
    assert!(table.contains(&format!("  TXT    {}\n", key("rsa1", true).record())), "{table}");
    assert!(table.contains("PUT YOUR PUBLIC ADDRESS HERE") && table.contains("  MX     10 mail.home.example\n"));
}

#[test]
fn what_is_off_and_where_mail_goes_through_is_told() {
    let more = "listen.pop3 = []\nlisten.pop3s = [\"127.0.0.1:995\"]\nlisten.imaps = [\"[::]:1993\"]\n\
                relay.host = \"smtp.provider.example\"\n[domain.\"old.example\"]\ngateway = \"192.168.1.5\"\n";
    let settings = settings(more);
    let sections = plan(&settings, given());
    let zone = print::zone(&sections, &settings.hostname);
    for line in [
        "_pop3._tcp.home.example. 3600 IN SRV 0 0 0 .",
        "_pop3s._tcp.home.example. 3600 IN SRV 0 0 0 .",
        "_imaps._tcp.home.example. 3600 IN SRV 0 1 1993 mail.home.example.",
        "autodiscover.home.example. 3600 IN CNAME mail.home.example.",
        "home.example. 3600 IN TXT \"v=spf1 mx a:smtp.provider.example ~all\"",
        "old.example. 3600 IN MX 10 mail.home.example.",
    ] {
        assert!(zone.lines().any(|found| found == line), "{line} in\n{zone}");
    }
    let twin = publish(&sections);
    let (text, end) = check(&twin, plan(&settings, given()));
    assert!(text.contains("unknown    TXT   home.example\n") && end.is_err(), "the smarthost has no address: {text}");
    twin.add_address(&Domain::new("smtp.provider.example"), "198.51.100.9".parse().unwrap());
    assert_eq!(check(&twin, plan(&settings, given())).1, Ok(()));
    twin.forget(&Domain::new("home.example"));
    twin.add_mx(&Domain::new("home.example"), 10, &settings.hostname);
    twin.add_text(&Domain::new("home.example"), b"v=spf1 mx -all");
    let (text, end) = check(&twin, plan(&settings, given()));
    assert!(text.contains("through which your mail goes") && end.is_err(), "{text}");
    twin.forget(&Domain::new("home.example"));
    twin.add_mx(&Domain::new("home.example"), 10, &settings.hostname);
    twin.add_text(&Domain::new("home.example"), b"v=spf1 include:_spf.provider.example ~all");
    twin.add_text(&Domain::new("_spf.provider.example"), b"v=spf1 ip4:198.51.100.128/25 -all");
    assert_eq!(check(&twin, plan(&settings, given())).1, Ok(()));
}

#[test]
fn all_that_is_printed_is_right_when_it_is_there() {
    for addresses in [given(), Addresses::Found(vec![V4.parse().unwrap()])] {
        let sections = plan(&settings(""), addresses.clone());
        let (text, end) = check(&publish(&sections), sections);
        assert!(
            text.lines().all(|line| line.starts_with("right ") || line.starts_with("   ")) && text.lines().count() > 15,
            "{text}"
        );
        assert_eq!(end, Ok(()));
    }
    let sections = plan(&settings(""), given());
    let (text, end) = check(&publish(&sections), plan(&settings(""), Addresses::Unknown));
    assert!(text.contains("give --address") && end.is_ok(), "{text}");
}

#[test]
fn what_is_missing_is_named_and_counts_when_mail_needs_it() {
    let sections = plan(&settings(""), given());
    let (text, end) = check(&Twin::new(1), sections);
    let end = end.unwrap_err();
    assert!(text.contains("MISSING    MX    home.example\n           wanted:   10 mail.home.example.\n"), "{text}");
    assert!(text.contains("not there  TXT   _mta-sts.home.example\n") && text.contains("missing    SRV "), "{text}");
    for needed in
        ["MX of home.example", "A of mail.home.example", "TXT of rsa1._domainkey.home.example", "TXT of _dmarc."]
    {
        assert!(end.contains(needed), "{end}");
    }
    assert!(!end.contains("rsa2") && !end.contains("_tcp") && !end.contains("_tls") && !end.contains("arpa"), "{end}");
    for name in [
        "_submissions._tcp.home.example",
        "_smtp._tls.home.example",
        "_mta-sts.home.example",
        "rsa2._domainkey.home.example",
    ] {
        let (text, end) = after(name, |_, _| {});
        assert!(text.contains(name) && end.is_ok(), "{text}");
    }
}

#[test]
fn what_is_different_is_named() {
    let wrong = |(text, end): (String, Result<(), String>), name: &str| {
        let end = end.unwrap_err();
        assert!(text.contains("DIFFERENT ") && text.contains("there is: ") && end.ends_with(name), "{end}\n{text}");
        text
    };
    let mx = after("home.example", |twin, name| {
        twin.add_mx(name, 10, &Domain::new("mx.else.example"));
        twin.add_text(name, b"v=spf1 ip4:203.0.113.5 ip6:2001:db8::5 -all");
    });
    wrong(mx, "MX of home.example");
    let behind = after("home.example", |twin, name| {
        twin.add_mx(name, 5, &Domain::new("mx.else.example"));
        twin.add_mx(name, 10, &Domain::new("mail.home.example"));
        twin.add_text(name, b"v=spf1 mx -all");
    });
    assert!(wrong(behind, "MX of home.example").contains("smallest number"));
    for spf in ["v=spf1 -all", "v=spf1 mx +all", "v=spf1 include:gone.example mx -all", "v=spf1 ip4:203.0.113.5 -all"] {
        let changed = after("home.example", |twin, name| {
            twin.add_mx(name, 10, &Domain::new("mail.home.example"));
            twin.add_text(name, spf.as_bytes());
        });
        wrong(changed, "TXT of home.example");
    }
    let addresses = after("mail.home.example", |twin, name| {
        [V4, V6, "203.0.113.6"].iter().for_each(|address| twin.add_address(name, address.parse::<IpAddr>().unwrap()));
        twin.add_text(name, b"v=spf1 a -all");
    });
    wrong(addresses, "A of mail.home.example");
    for text in ["v=DKIM1; k=rsa; p=", "v=DKIM1; k=rsa; p=AAAA", &key("ed1", false).record(), "something"] {
        wrong(with_text("rsa1._domainkey.home.example", text), "TXT of rsa1._domainkey.home.example");
    }
    wrong(with_text("_dmarc.home.example", "v=DMARC1"), "TXT of _dmarc.home.example");
    wrong(with_text("_smtp._tls.home.example", "v=TLSRPTv1"), "TXT of _smtp._tls.home.example");
    let srv = after("_imaps._tcp.home.example", |twin, name| {
        twin.add_srv(name, Srv { priority: 0, weight: 1, port: 993, target: Domain::new("imap.else.example") });
    });
    wrong(srv, "SRV of _imaps._tcp.home.example");
    // Somebody else may know the settings too.
    let elsewhere = after("autoconfig.home.example", |twin, name| {
        twin.add_address(name, "203.0.113.6".parse().unwrap());
    });
    assert!(elsewhere.0.contains("different  CNAME autoconfig.home.example\n"), "{}", elsewhere.0);
    assert_eq!(elsewhere.1, Ok(()));
    let trouble = after("_dmarc.home.example", |twin, name| {
        twin.set_trouble(name, Some(DnsTrouble::Temporary("SERVFAIL".into())));
    });
    assert!(trouble.0.contains("unknown    TXT   _dmarc.home.example\n") && trouble.1.is_err(), "{}", trouble.0);
}

#[test]
fn what_says_the_same_in_other_words_is_right() {
    let rsa = key("rsa1", true).record();
    let (start, end) = rsa.split_at(300);
    for (name, text) in [
        (
            "rsa1._domainkey.home.example",
            format!("v=DKIM1;k=rsa;h=sha256; s=email ;p={}", rsa.split_once("p=").unwrap().1),
        ),
        ("rsa1._domainkey.home.example", format!("{start} \t{end};")),
        ("ed1._domainkey.home.example", key("ed1", false).record().replace("v=DKIM1; ", "")),
        ("_dmarc.home.example", "v=DMARC1;p=Reject; rua=mailto:x@else.example".to_owned()),
        ("_mta-sts.home.example", "v=STSv1; id=20260101".to_owned()),
        ("_smtp._tls.home.example", "v=TLSRPTv1;rua=https://else.example/".to_owned()),
    ] {
        let (report, end) = with_text(name, &text);
        assert!(!report.to_uppercase().contains("DIFFERENT") && end.is_ok(), "{name} {text}\n{report}");
    }
    let spf = after("home.example", |twin, name| {
        twin.add_mx(name, 10, &Domain::new("mail.home.example"));
        twin.add_text(name, b"google-site-verification=1");
        twin.add_text(name, b"v=spf1 a:mail.home.example include:news.example ~all");
        twin.add_text(&Domain::new("news.example"), b"v=spf1 ip4:198.51.100.0/24 -all");
    });
    assert_eq!(spf.1, Ok(()), "{}", spf.0);
    let testing = with_text("rsa1._domainkey.home.example", &format!("{rsa}; t=y"));
    assert!(testing.0.contains("t=y") && testing.1.is_ok(), "{}", testing.0);
    let sections = plan(&settings("domains = [\"home.example\", \"in.home.example\"]"), given());
    let twin = publish(&sections);
    twin.forget(&Domain::new("_dmarc.in.home.example"));
    let (text, end) = check(&twin, sections);
    assert!(text.contains("It is that of home.example, which holds here too.") && end.is_ok(), "{text}");
}

#[test]
fn the_key_of_the_certificate_may_not_be_another() {
    let mut sections = plan(&settings(""), given());
    let (twin, service) = (publish(&sections), Domain::new("_25._tcp.mail.home.example"));
    for record in sections.iter_mut().flat_map(|section| &mut section.records) {
        if let Data::Tlsa(_, certificate) = &mut record.data {
            *certificate = make_certificate();
        }
    }
    let (text, end) = check(&twin, sections);
    assert!(text.contains("DIFFERENT  TLSA  _25._tcp.mail.home.example\n"), "a certificate of its own: {text}");
    assert!(end.unwrap_err().ends_with("TLSA of _25._tcp.mail.home.example"));
    let sections = plan(&settings(""), given());
    let twin = publish(&sections);
    let (text, end) = check(&twin, sections);
    assert!(text.contains("right      TLSA  ") && text.contains("not signed with DNSSEC") && end.is_ok(), "{text}");
    let sections = plan(&settings(""), given());
    let twin = publish(&sections);
    twin.set_zone(&Domain::new("mail.home.example"), Zone::Secure);
    twin.set_zone(&service, Zone::Secure);
    let (text, _) = check(&twin, sections);
    assert!(!text.contains("not signed with DNSSEC"), "{text}");
}

#[test]
fn some_mail_goes_other_ways() {
    let more = "relay.host = \"smtp.provider.example\"\nrelay.route = \"auto\"\n\
                [smarthost.work]\nhost = \"198.51.100.7\"\nsender_domains = [\"work.example\"]\n\
                [smarthost.near]\nhost = \"near.example\"\nrecipient_domains = [\"near.example\"]\n\
                [domain.\"work.example\"]\n";
    let settings = settings(more);
    let zone = print::zone(&plan(&settings, given()), &settings.hostname);
    for line in [
        "home.example. 3600 IN TXT \"v=spf1 mx a:smtp.provider.example a:near.example ~all\"",
        "work.example. 3600 IN TXT \"v=spf1 mx ip4:198.51.100.7 a:near.example ~all\"",
    ] {
        assert!(zone.lines().any(|found| found == line), "{line} in\n{zone}");
    }
}

#[test]
fn the_name_of_an_address_is_only_advised() {
    let sections = plan(&settings(""), given());
    let twin = publish(&plan(&settings(""), Addresses::Unknown));
    for address in [V4, V6] {
        twin.add_address(&Domain::new("mail.home.example"), address.parse().unwrap());
    }
    let dynamic = Domain::new("dyn-5.provider.example");
    twin.add_name(V4.parse().unwrap(), &dynamic);
    let (text, end) = check(&twin, sections);
    assert!(
        text.contains("different  PTR   5.113.0.203.in-addr.arpa\n") && text.contains("missing    PTR   5.0.0."),
        "{text}"
    );
    assert_eq!(end, Ok(()));
    twin.add_address(&dynamic, V4.parse().unwrap());
    let (text, _) = check(&twin, plan(&settings(""), given()));
    assert!(text.contains("right      PTR   5.113.0.203.in-addr.arpa\n") && text.contains("leads back"), "{text}");
}

#[test]
fn scripts_get_json() {
    let sections = plan(&settings(""), given());
    let (net, hostname) = (Twin::new(1).net(), Domain::new("mail.home.example"));
    let asking = Asking { net: &net, hostname: &hostname };
    let text = json(&smol::block_on(compare_all(&asking, sections)));
    let mx = "{\"name\":\"home.example\",\"records\":[\"MX 10 mail.home.example\"],\"need\":\"required\",\"state\":\"missing\",\"trouble\":true,\"there\":[],";
    assert!(text.contains(mx), "{text}");
    assert_eq!(print::escape("a\"\\\n\u{e9}"), "a\\\"\\\\\\u000a\u{e9}");
    let record = Record {
        name: Domain::new("x.example"),
        data: Data::Text(Meaning::Dmarc, "say \"\\\"".into()),
        need: Need::Good,
        note: String::new(),
    };
    assert_eq!(print::values(&record.data, true), [("TXT", "\"say \\\"\\\\\\\"\"".to_owned())]);
}
