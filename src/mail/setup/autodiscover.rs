//! Outlook's autodiscover with plain old XML: what it posts to `/autodiscover/autodiscover.xml`, and what it is answered.
//!
//! After [MS-OXDSCLI]: request (section 2.2.3), response (section 2.2.4.1), error (section 2.2.4.1.1.4). Accounts of IMAP, POP3 and SMTP
//! are all that is told: nothing here is an Exchange server.
//!
//! The request comes from whoever likes to post one. What always holds: it is at most [`AUTODISCOVER_REQUEST_BYTES_MAX`] long and
//! [`AUTODISCOVER_DEPTH_MAX`] deep, declares no document type, and no entity stands for more than one character.

use super::document::Document;
use super::{Account, Security, Server};
use crate::limits::{AUTODISCOVER_DEPTH_MAX, AUTODISCOVER_REQUEST_BYTES_MAX};
use crate::wire::address::{Address, Domain};
use crate::wire::date::{Timestamp, encode_utc};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};

/// The media type of requests and answers.
pub const MEDIA_TYPE: &str = "text/xml; charset=utf-8";

const ANSWER: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
/// The only schema of settings that is spoken here. Phones that know Exchange ask for another one, without `outlook`.
const SETTINGS: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// Why there are no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request, or does not say for which address.
    Invalid,
    /// It wants settings of another schema.
    OtherSchema,
    /// There is no such address. Never said of a request that could be understood: see [`parse`].
    UnknownAddress,
}

/// Reads a request: the address whose settings are wanted. Whether there is such an address is not known here.
///
/// # Errors
/// [`Refusal::Invalid`] and [`Refusal::OtherSchema`].
pub fn parse(request: &[u8]) -> Result<Address, Refusal> {
    if request.len() > AUTODISCOVER_REQUEST_BYTES_MAX {
        return Err(Refusal::Invalid);
    }
    let text = std::str::from_utf8(request).map_err(|_| Refusal::Invalid)?;
    let (mut address, mut schema) = (String::new(), String::new());
    read_leaves(text, |path, text| match path {
        ["Autodiscover", "Request", "EMailAddress"] => address.push_str(text),
        ["Autodiscover", "Request", "AcceptableResponseSchema"] => schema.push_str(text),
        _ => {}
    })
    .ok_or(Refusal::Invalid)?;
    let address = address.trim().parse().map_err(|_| Refusal::Invalid)?;
    // Programs that say nothing of it are Outlook's elders and take what they know.
    if schema.trim().is_empty() || schema.trim() == SETTINGS { Ok(address) } else { Err(Refusal::OtherSchema) }
}

/// Hands each piece of text on, with the names of the elements around it; namespaces are not looked at. `None`: it is not well-formed, or
/// has what [`parse`] does not take.
fn read_leaves(text: &str, mut leaf: impl FnMut(&[&str], &str)) -> Option<()> {
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut path: Vec<String> = Vec::new();
    let mut hand_on = |path: &[String], text: &str| {
        leaf(&path.iter().map(String::as_str).collect::<Vec<_>>(), text);
    };
    let mut ended = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(_) if path.len() >= AUTODISCOVER_DEPTH_MAX || ended => return None,
            Event::Start(start) => path.push(start.local_name().as_ref().to_owned()),
            Event::End(_) => {
                path.pop()?;
                ended = path.is_empty();
            }
            Event::Text(text) => hand_on(&path, &text),
            Event::CData(text) => hand_on(&path, &text),
            Event::GeneralRef(reference) => hand_on(&path, character(&reference)?.encode_utf8(&mut [0; 4])),
            Event::DocType(_) | Event::PI(_) => return None,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) => {}
            Event::Eof => return ended.then_some(()),
        }
    }
}

/// One of the five that XML itself has, or a character by its number.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character),
        Ok(None) => resolve_xml_entity(reference)?.chars().next(),
        Err(_) => None,
    }
}

/// The settings of an account. `None`: its services do not make one.
pub fn encode(account: &Account) -> Option<String> {
    let servers = &account.servers;
    if !servers.make_an_account() {
        return None;
    }
    let mut document = Document::new("");
    document.element("Autodiscover", &[("xmlns", ANSWER)], |document| {
        document.element("Response", &[("xmlns", SETTINGS)], |document| {
            if !account.name.is_empty() {
                document.element("User", &[], |document| document.leaf("DisplayName", &account.name));
            }
            document.element("Account", &[], |document| {
                document.leaf("AccountType", "email");
                document.leaf("Action", "settings");
                for (kind, server) in [("IMAP", &servers.imap), ("POP3", &servers.pop3), ("SMTP", &servers.submission)]
                {
                    if let Some(server) = server {
                        document.element("Protocol", &[], |document| {
                            encode_protocol(document, kind, server, &account.login);
                        });
                    }
                }
            });
        });
    });
    Some(document.finish())
}

/// Section 2.2.4.1.1.2.5.
fn encode_protocol(document: &mut Document, kind: &str, server: &Server, login: &str) {
    document.leaf("Type", kind);
    document.leaf("Server", server.host.as_str());
    document.leaf("Port", &server.port.to_string());
    document.leaf("DomainRequired", "off");
    document.leaf("LoginName", login);
    document.leaf("SPA", "off");
    // For programs that do not know Encryption, which comes before it in force.
    document.leaf("SSL", "on");
    let encryption = match server.security {
        Security::Implicit => "SSL",
        Security::StartTls => "TLS",
    };
    document.leaf("Encryption", encryption);
    document.leaf("AuthRequired", "on");
    if kind == "SMTP" {
        document.leaf("UsePOPAuth", "on");
        document.leaf("SMTPLast", "off");
    }
}

/// What is answered instead of settings, with status 200 as well.
pub fn encode_refusal(refusal: Refusal, hostname: &Domain, now: Timestamp) -> String {
    let (code, message) = match refusal {
        Refusal::UnknownAddress => ("500", "The e-mail address cannot be found."),
        Refusal::Invalid => ("600", "Invalid Request"),
        Refusal::OtherSchema => ("601", "Provider is not available"),
    };
    // Date and time without the date: "2026-11-29T12:00:00Z".
    let time: String = encode_utc(now).chars().skip(11).take(8).collect();
    // "A hash of the server's name."
    let id = crc32fast::hash(hostname.as_str().as_bytes()).to_string();
    let mut document = Document::new("");
    document.element("Autodiscover", &[("xmlns", ANSWER)], |document| {
        document.element("Response", &[], |document| {
            document.element("Error", &[("Time", &time), ("Id", &id)], |document| {
                document.leaf("ErrorCode", code);
                document.leaf("Message", message);
                document.leaf("DebugData", "");
            });
        });
    });
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::setup::Servers;
    use crate::mail::setup::tests::account;
    use proptest::prelude::*;

    fn request(address: &str, schema: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover \
             xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\n <Request>\n  \
             <EMailAddress>{address}</EMailAddress>\n  <AcceptableResponseSchema>{schema}</AcceptableResponseSchema>\n \
             </Request>\n</Autodiscover>\n"
        )
    }

    fn read(text: &str) -> Result<String, Refusal> {
        parse(text.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn outlook_is_understood() {
        let plain = request("me@home.test", SETTINGS);
        assert_eq!(read(&plain).unwrap(), "me@home.test");
        assert_eq!(read(&format!("\u{feff}{plain}")).unwrap(), "me@home.test");
        assert_eq!(
            read(&request(" o&apos;neill&#64;<![CDATA[home.test]]> <!-- --> ", "")).unwrap(),
            "o'neill@home.test"
        );
        let prefixed =
            plain.replace('<', "<a:").replace("<a:/", "</a:").replace("<a:?", "<?").replace("xmlns", "xmlns:a");
        assert_eq!(read(&prefixed).unwrap(), "me@home.test");
        let phone = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
        assert_eq!(read(&request("me@home.test", phone)), Err(Refusal::OtherSchema));
    }

    #[test]
    fn traps_are_refused() {
        let plain = request("me@home.test", SETTINGS);
        let deep = request(&format!("{}me@home.test{}", "<a>".repeat(40), "</a>".repeat(40)), SETTINGS);
        let bomb = plain.replacen("<Auto", "<!DOCTYPE a [<!ENTITY b \"me@home.test\">]>\n<Auto", 1);
        for trap in [
            "",
            "<Autodiscover/>",
            &plain[..plain.len() - 5],
            &request("", SETTINGS),
            &request("me", SETTINGS),
            &request("me@home.test\r\nBcc: x@y.test", SETTINGS),
            &request("<b>me@home.test</b>", SETTINGS),
            &request("&b;", SETTINGS),
            &request("&#0;me@home.test", SETTINGS),
            &deep,
            &bomb,
            &plain.replacen("<Auto", "<?php x?><Auto", 1),
            &plain.replace("</Request>", "</Requests>"),
            &format!("{plain}{plain}"),
            &format!("{plain}{}", " ".repeat(AUTODISCOVER_REQUEST_BYTES_MAX)),
        ] {
            assert_eq!(read(trap), Err(Refusal::Invalid), "{trap}");
        }
        assert_eq!(parse(b"\xff\xfe<\0"), Err(Refusal::Invalid));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_reader(bytes: Vec<u8>, cut in 0usize..400, mut junk in "[<>&;/!a\\[\\]\"-]{0,8}") {
            let _ = parse(&bytes);
            let whole = request("me@home.test", SETTINGS);
            let cut = cut.min(whole.len());
            junk.push_str(&whole[cut..]);
            let _ = read(&format!("{}{junk}", &whole[..cut]));
        }

        #[test]
        fn an_address_is_read_however_it_is_spelt(
            local in "[a-z][a-z']{0,9}",
            ways in prop::collection::vec(0u8..6, 1..30),
            depth in 0..2 * AUTODISCOVER_DEPTH_MAX,
        ) {
            let address = format!("{local}@home.test");
            let spelt: String = address.chars().zip(ways.iter().cycle()).map(|(c, way)| spell(c, *way)).collect();
            let beside = format!("<Request>{}x{}", "<b c=\"&d;\">".repeat(depth), "</b>".repeat(depth));
            let text = request(&spelt, SETTINGS).replacen("<Request>", &beside, 1);
            let is_deep = depth + 2 > AUTODISCOVER_DEPTH_MAX;
            prop_assert_eq!(read(&text), if is_deep { Err(Refusal::Invalid) } else { Ok(address) });
        }

        #[test]
        fn nothing_that_has_to_be_declared_is_known(
            name in "[a-z]{1,8}|#[1-9][0-9]{7,19}|#xd[89a-f][0-9a-f]{2}|#x11[0-9a-f]{4,9}|#x?",
            place in prop::sample::select(vec!["<Request>", "<EMailAddress>", "</Request>", "</Autodiscover>"]),
        ) {
            prop_assume!(resolve_xml_entity(&name).is_none());
            let plain = request("me@home.test", SETTINGS);
            let text = plain.replacen(place, &format!("{place}&{name};"), 1);
            prop_assert_eq!(read(&text), Err(Refusal::Invalid), "{}", text);
            let declared = format!("<!DOCTYPE a [<!ENTITY {name} \"me\">]>{text}");
            prop_assert_eq!(read(&declared), Err(Refusal::Invalid), "{}", declared);
        }

        #[test]
        fn no_text_grows_and_no_path_is_too_long(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
            let text = pieces.concat();
            let mut bytes = 0;
            read_leaves(&text, |path, text| {
                assert!(path.len() <= AUTODISCOVER_DEPTH_MAX);
                bytes += text.len();
            });
            prop_assert!(bytes <= text.len(), "{}", text);
            let _ = read(&text);
        }
    }

    /// What documents, and traps, are made of.
    const PIECES: &[&str] = &[
        "<Autodiscover>",
        "</Autodiscover>",
        "<Request>",
        "</Request>",
        "<EMailAddress>",
        "</EMailAddress>",
        "<a>",
        "<a>",
        "<a>",
        "</a>",
        "</a>",
        "<a/>",
        "<a b=\"&c;\">",
        "me@home.test",
        "&amp;",
        "&#64;",
        "&#x10ffff;",
        "&c;",
        "&",
        ";",
        "<",
        ">",
        "\"",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\"1.0\"?>",
        "<?x?>",
        "<!DOCTYPE a [",
        "<!ENTITY c \"&d;&d;\">",
        "]>",
        "\u{feff}",
        "é",
        " ",
        "\0",
    ];

    /// A character in one of the ways that XML has.
    fn spell(character: char, way: u8) -> String {
        match (way, character) {
            (0, _) => format!("&#{};", u32::from(character)),
            (1, _) => format!("&#x{:X};", u32::from(character)),
            (2, _) => format!("<![CDATA[{character}]]>"),
            (3, _) => format!("<!--&x;<{character}>-->{character}"),
            (4, '\'') => "&apos;".to_owned(),
            _ => character.to_string(),
        }
    }

    #[test]
    fn a_request_is_as_long_as_it_may_be() {
        let plain = request("me@home.test", SETTINGS);
        let spare = AUTODISCOVER_REQUEST_BYTES_MAX - plain.len();
        for (bytes, wanted) in [(spare, Ok("me@home.test".to_owned())), (spare + 1, Err(Refusal::Invalid))] {
            let comment = format!("<Request><!--{}-->", " ".repeat(bytes - 7));
            for text in [format!("{plain}{}", " ".repeat(bytes)), plain.replacen("<Request>", &comment, 1)] {
                assert_eq!(read(&text), wanted);
            }
        }
    }

    #[test]
    fn settings_are_of_the_schema() {
        let text = encode(&account()).unwrap();
        assert!(text.contains("<DisplayName>Ada &lt;&amp;&gt; Löw</DisplayName>"), "{text}");
        let protocols: Vec<&str> = text.split("<Protocol>").skip(1).collect();
        let lines = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<String>();
        assert!(lines(protocols[0]).starts_with(
            "<Type>IMAP</Type><Server>mail.home.test</Server><Port>993</Port><DomainRequired>off</DomainRequired>\
             <LoginName>me+phone@home.test</LoginName><SPA>off</SPA><SSL>on</SSL><Encryption>SSL</Encryption>\
             <AuthRequired>on</AuthRequired></Protocol>"
        ));
        assert!(lines(protocols[1]).contains("<Type>POP3</Type>") && protocols[1].contains("<Encryption>TLS<"));
        assert!(protocols[2].contains("<Port>465</Port>") && protocols[2].contains("<UsePOPAuth>on<"));
        let nameless = Account { name: String::new(), ..account() };
        assert!(!encode(&nameless).unwrap().contains("User"));
        assert_eq!(encode(&Account { servers: Servers::default(), ..account() }), None);
    }

    #[test]
    fn a_refusal_says_why() {
        let refuse = |why| encode_refusal(why, &Domain::new("mail.home.test"), Timestamp(1_764_417_600_000));
        let id = crc32fast::hash(b"mail.home.test");
        let text = refuse(Refusal::Invalid);
        assert!(text.contains(&format!("<Error Time=\"12:00:00\" Id=\"{id}\">")), "{text}");
        assert!(text.contains("<ErrorCode>600</ErrorCode>"));
        assert!(refuse(Refusal::OtherSchema).contains("<ErrorCode>601</ErrorCode>"));
        assert!(refuse(Refusal::UnknownAddress).contains("<ErrorCode>500</ErrorCode>"));
    }
}
