//! How a report about TLS reads: as JSON, packed, and as a message (RFC 8460 sections 4.4 and 5).
//!
//! Receives a domain's counts of one day; hands on bytes. The same day of the same domain gives the same report with the same
//! id, so that one that is handed in twice, after a power cut, is known for that.

use super::{Day, Failure, Tally};
use crate::mail::tls_policy::PolicyKind;
use crate::wire::address::{Address, Domain};
use crate::wire::date::{DateTime, Timestamp, encode_date_time, encode_utc};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::Write as _;

/// The media type of a packed report (RFC 8460 section 6.5).
pub const MEDIA_TYPE: &str = "application/tlsrpt+gzip";
/// Characters of base64 in a line (RFC 2045 section 6.8).
const BASE64_LINE_CHARS: usize = 76;

/// What is reported to whom.
pub struct Report<'a> {
    /// Who answers for it; its domain is the submitter.
    pub contact: &'a Address,
    /// The recipients' domain that it is about.
    pub domain: &'a Domain,
    /// The day; its counts are looked at.
    pub day: &'a Day,
}

impl Report<'_> {
    fn id(&self) -> String {
        let date: String = encode_utc(self.day.begins()).chars().take(10).collect();
        format!("{date}.{}@{}", self.domain, self.contact.domain)
    }

    fn tallies(&self) -> &[Tally] {
        self.day.domains.get(self.domain).map_or(&[], Vec::as_slice)
    }

    /// The report itself.
    pub fn encode_json(&self) -> String {
        // The day's last second: "24:00" is the next day's beginning.
        let end = Timestamp(self.day.ends().0.saturating_sub(1000));
        let mut json = String::from("{");
        let _ = write!(json, "\"organization-name\":{},", quote(self.contact.domain.as_str()));
        let range = (quote(&encode_utc(self.day.begins())), quote(&encode_utc(end)));
        let _ = write!(json, "\"date-range\":{{\"start-datetime\":{},\"end-datetime\":{}}},", range.0, range.1);
        let contact = (quote(&self.contact.to_string()), quote(&self.id()));
        let _ = write!(json, "\"contact-info\":{},\"report-id\":{},\"policies\":[", contact.0, contact.1);
        let policies: Vec<String> = self.tallies().iter().map(encode_tally).collect();
        json.push_str(&policies.join(","));
        json.push_str("]}\n");
        json
    }

    /// The report packed by gzip (section 5.2).
    pub fn pack(&self) -> std::io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(self.encode_json().as_bytes())?;
        encoder.finish()
    }

    /// The message that brings a packed report to these addresses (section 5.3).
    pub fn encode_message(&self, to: &[&Address], packed: &[u8], now: Timestamp) -> Vec<u8> {
        let (submitter, domain, id) = (&self.contact.domain, self.domain, self.id());
        let boundary = format!("tlsrpt-{}", self.day.number);
        let date = encode_date_time(DateTime { seconds: now.seconds(), zone_minutes: 0 });
        let to: Vec<String> = to.iter().map(|address| format!("<{address}>")).collect();
        let (begin, end) = (self.day.begins().seconds(), self.day.ends().seconds() - 1);
        let day: String = encode_utc(self.day.begins()).chars().take(10).collect();
        let mut text = String::new();
        let _ = write!(text, "Date: {date}\r\nFrom: <{}>\r\nTo: {}\r\n", self.contact, to.join(",\r\n "));
        let _ = write!(text, "Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{id}>\r\n");
        let _ = write!(text, "Message-ID: <{id}>\r\nTLS-Report-Domain: {domain}\r\n");
        let _ = write!(text, "TLS-Report-Submitter: {submitter}\r\n");
        // RFC 8460 section 3: it is to arrive whatever is wrong with TLS; RFC 8689 section 5 tells others so. RFC 3834: nobody's
        // vacation answer replies to it.
        text.push_str("TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
        let _ = write!(
            text,
            "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"{boundary}\"\r\n\r\n"
        );
        let _ = write!(text, "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
        let _ = write!(text, "This is a report by {submitter} about TLS with the mail servers of\r\n{domain}");
        let _ = write!(text, " on {day} (UTC). Programs read it from the attached file\r\n(RFC 8460).\r\n\r\n");
        let sums = self.tallies().iter().fold((0u64, 0u64), |sums, tally| {
            (sums.0.saturating_add(tally.successes), sums.1.saturating_add(tally.failures))
        });
        let _ = write!(text, "Connections as they should be: {}\r\nOthers: {}\r\n\r\n", sums.0, sums.1);
        let _ = write!(text, "--{boundary}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Transfer-Encoding: base64\r\n");
        let name = format!("{submitter}!{domain}!{begin}!{end}.json.gz");
        let _ = write!(text, "Content-Disposition: attachment;\r\n\tfilename=\"{name}\"\r\n\r\n");
        let encoded = STANDARD.encode(packed);
        for line in encoded.as_bytes().chunks(BASE64_LINE_CHARS) {
            text.push_str(std::str::from_utf8(line).unwrap_or_default());
            text.push_str("\r\n");
        }
        let _ = write!(text, "--{boundary}--\r\n");
        text.into_bytes()
    }
}

fn encode_tally(tally: &Tally) -> String {
    let Tally { policy, successes, failures, details } = tally;
    let list = |texts: &[String]| texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(",");
    let mut json = format!("{{\"policy\":{{\"policy-type\":{},", quote(policy.kind.as_str()));
    if policy.kind != PolicyKind::NoPolicyFound {
        let _ = write!(json, "\"policy-string\":[{}],", list(&policy.lines));
    }
    let _ = write!(json, "\"policy-domain\":{}", quote(policy.domain.as_str()));
    if !policy.mx.is_empty() {
        let _ = write!(json, ",\"mx-host\":[{}]", list(&policy.mx));
    }
    let _ = write!(json, "}},\"summary\":{{\"total-successful-session-count\":{successes},");
    let _ = write!(json, "\"total-failure-session-count\":{failures}}}");
    if !details.is_empty() {
        let details: Vec<String> =
            details.iter().map(|(failure, sessions)| encode_failure(failure, *sessions)).collect();
        let _ = write!(json, ",\"failure-details\":[{}]", details.join(","));
    }
    json.push('}');
    json
}

fn encode_failure(failure: &Failure, sessions: u64) -> String {
    let mut json = format!("{{\"result-type\":{}", quote(failure.result.as_str()));
    if let Some(local) = failure.local {
        let _ = write!(json, ",\"sending-mta-ip\":{}", quote(&local.to_string()));
    }
    if let Some(host) = &failure.host {
        let _ = write!(json, ",\"receiving-mx-hostname\":{}", quote(host.as_str()));
    }
    if let Some(address) = failure.address {
        let _ = write!(json, ",\"receiving-ip\":{}", quote(&address.to_string()));
    }
    let _ = write!(json, ",\"failed-session-count\":{sessions}");
    if !failure.text.is_empty() {
        let _ = write!(json, ",\"failure-reason-code\":{}", quote(&failure.text));
    }
    json.push('}');
    json
}

/// A JSON string (RFC 8259 section 7).
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;
    use crate::mail::tls_policy::TlsResult;
    use std::io::Read;

    fn day() -> Day {
        let far = Domain::new("far.example");
        let mut day = Day::of(Timestamp(1_795_262_400_000));
        let lines = vec!["version: STSv1".into(), "mode: testing".into(), "mx: *.far.example".into()];
        let mx = vec!["*.far.example".into()];
        let sts = Policy { kind: PolicyKind::Sts, domain: far.clone(), lines, mx };
        day.count(&far, sts.clone(), None);
        let failure = Failure {
            result: TlsResult::CertificateExpired,
            host: Some(Domain::new("mx.far.example")),
            address: Some("198.51.100.1".parse().unwrap()),
            local: Some("192.0.2.1".parse().unwrap()),
            text: "a \"quoted\" \\ reason".into(),
        };
        day.count(&far, sts, Some(failure));
        let none = Policy { kind: PolicyKind::NoPolicyFound, domain: far.clone(), lines: vec![], mx: vec![] };
        day.count(&far, none, None);
        day
    }

    #[test]
    fn as_json() {
        let (day, contact) = (day(), "postmaster@home.test".parse().unwrap());
        let report = Report { contact: &contact, domain: &Domain::new("far.example"), day: &day };
        let wanted = concat!(
            r#"{"organization-name":"home.test","#,
            r#""date-range":{"start-datetime":"2026-11-21T00:00:00Z","end-datetime":"2026-11-21T23:59:59Z"},"#,
            r#""contact-info":"postmaster@home.test","report-id":"2026-11-21.far.example@home.test","policies":["#,
            r#"{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing","mx: *.far.example"],"#,
            r#""policy-domain":"far.example","mx-host":["*.far.example"]},"#,
            r#""summary":{"total-successful-session-count":1,"total-failure-session-count":1},"#,
            r#""failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mx.far.example","#,
            r#""receiving-ip":"198.51.100.1","failed-session-count":1,"#,
            r#""failure-reason-code":"a \"quoted\" \\ reason"}]},"#,
            r#"{"policy":{"policy-type":"no-policy-found","policy-domain":"far.example"},"#,
            r#""summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}"#,
            "\n"
        );
        assert_eq!(report.encode_json(), wanted);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&report.pack().unwrap()[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, wanted);
        assert_eq!(quote("a\u{1}\n\u{7f}b"), "\"a\\u0001\\u000a\\u007fb\"");
    }

    #[test]
    fn as_a_message() {
        let (day, contact): (Day, Address) = (day(), "postmaster@home.test".parse().unwrap());
        let report = Report { contact: &contact, domain: &Domain::new("far.example"), day: &day };
        let to: Address = "tls@far.example".parse().unwrap();
        let message = report.encode_message(&[&to, &contact], &report.pack().unwrap(), Timestamp(1_795_400_000_000));
        let text = String::from_utf8(message.clone()).unwrap();
        for wanted in [
            "From: <postmaster@home.test>\r\nTo: <tls@far.example>,\r\n <postmaster@home.test>\r\n",
            "Subject: Report Domain: far.example\r\n Submitter: home.test\r\n \
             Report-ID: <2026-11-21.far.example@home.test>\r\n",
            "TLS-Report-Domain: far.example\r\nTLS-Report-Submitter: home.test\r\n",
            "multipart/report; report-type=\"tlsrpt\";",
            "\tfilename=\"home.test!far.example!1795219200!1795305599.json.gz\"\r\n",
        ] {
            assert!(text.contains(wanted), "{wanted}");
        }
        assert!(text.split("\r\n").all(|line| line.len() <= 200 && !line.contains('\n')));
        // As others read it.
        let parsed = mail_parser::MessageParser::default().parse(&message).unwrap();
        let mut json = String::new();
        flate2::read::GzDecoder::new(parsed.attachment(0).unwrap().contents()).read_to_string(&mut json).unwrap();
        assert_eq!(json, report.encode_json());
    }
}
