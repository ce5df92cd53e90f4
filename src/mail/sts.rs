//! MTA-STS (RFC 8461): what TLS a domain promises for its mail servers, learnt over HTTPS and kept.
//!
//! Receives TXT records, policy files and times; hands on policies and when what is kept must be fetched again. Fetches
//! nothing; what follows from a policy for a host is decided in [`crate::mail::tls_policy`]. What always holds: a policy that is kept is applied until it runs out, whatever the
//! network says meanwhile, unless a newer one was fetched over a connection that proved whose it is.

use crate::limits::*;
use crate::mail::tls_policy::{StsMode, StsPolicy};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::fmt::Write;
use std::time::Duration;

/// What a domain wants done with a server that is not as its policy says (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Nothing is delivered to it.
    Enforce,
    /// It is reported; mail is delivered all the same.
    Testing,
    /// There is no policy (any more).
    None,
}

impl Mode {
    /// As policies spell it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        }
    }
}

/// A policy as it was fetched (RFC 8461 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Policy {
    /// What it asks for.
    pub mode: Mode,
    /// Patterns of host names, in lower case: `mail.example.com`, `*.example.net`. At most [`STS_PATTERNS_MAX`]; none only
    /// when the mode is `none`.
    pub mx: Vec<String>,
    /// How long it holds after it was fetched, in seconds, at most [`STS_AGE_SECONDS_MAX`].
    pub max_age: u64,
}

impl Policy {
    /// What it asks of the domain's hosts; nothing in mode `none`.
    pub fn demand(&self) -> Option<StsPolicy> {
        let mode = match self.mode {
            Mode::Enforce => StsMode::Enforce,
            Mode::Testing => StsMode::Testing,
            Mode::None => return None,
        };
        Some(StsPolicy { mode, mx: self.mx.clone() })
    }

    /// Its lines, as a report shows it (RFC 8460 section 4.5).
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.name())];
        lines.extend(self.mx.iter().map(|pattern| format!("mx: {pattern}")));
        lines.push(format!("max_age: {}", self.max_age));
        lines
    }
}

/// Reads the TXT records of `_mta-sts.DOMAIN`: the id of the domain's policy, when there is exactly one record that can be
/// one and it is well formed (RFC 8461 section 3.1).
pub fn parse_records(records: &[Vec<u8>]) -> Option<String> {
    // "records that do not begin with "v=STSv1;" are discarded"; the grammar allows white space before the semicolon.
    let mut found = records.iter().filter_map(|record| {
        let rest = record.strip_prefix(b"v=STSv1")?;
        rest.trim_ascii_start().first().filter(|byte| **byte == b';').map(|_| rest)
    });
    let (record, None) = (found.next()?, found.next()) else { return None };
    let text = std::str::from_utf8(record).ok().filter(|text| text.is_ascii())?;
    let mut id = None;
    let mut fields = text.trim_start_matches([' ', '\t']).strip_prefix(';')?.split(';').peekable();
    while let Some(field) = fields.next() {
        let field = field.trim_matches([' ', '\t']);
        if field.is_empty() && fields.peek().is_none() {
            break;
        }
        let (name, value) = field.split_once('=')?;
        if name == "id" {
            let fits =
                (1..=STS_ID_BYTES_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric());
            // Of a field that is there twice the first counts (section 3.2).
            id = id.or(Some(value)).filter(|_| fits);
            id?;
        } else if !is_name(name) || value.is_empty() || !value.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b'=') {
            return None;
        }
    }
    id.map(str::to_owned)
}

/// Reads a policy file (RFC 8461 section 3.2). Lines end in CRLF or LF; of a field that is there twice the first counts, but
/// for `mx`; unknown fields are ignored.
///
/// # Errors
/// What is wrong with it, for a log and for a report.
pub fn parse_policy(file: &[u8]) -> Result<Policy, &'static str> {
    let text = std::str::from_utf8(file).map_err(|_| "the policy is no text")?;
    let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches([' ', '\t']);
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("the policy has a line without a colon")?;
        if !is_name(name) || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err("the policy has a line that is none of a policy");
        }
        let value = value.trim_matches([' ', '\t']);
        match name {
            "version" => drop(version.get_or_insert(value)),
            "mode" => drop(mode.get_or_insert(value)),
            "max_age" => drop(max_age.get_or_insert(value)),
            "mx" => mx.push(parse_pattern(value).ok_or("the policy names an MX that is no host name")?),
            _ => {}
        }
        if mx.len() > STS_PATTERNS_MAX {
            return Err("the policy names too many MX hosts");
        }
    }
    if version.ok_or("the policy has no version")? != "STSv1" {
        return Err("the policy has a version that is not known");
    }
    let mode = match mode.ok_or("the policy has no mode")? {
        "enforce" => Mode::Enforce,
        "testing" => Mode::Testing,
        "none" => Mode::None,
        _ => return Err("the policy has a mode that is not known"),
    };
    let max_age = max_age.ok_or("the policy has no max_age")?;
    if !(1..=10).contains(&max_age.len()) || !max_age.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the policy has a max_age that is no number");
    }
    let max_age = max_age.parse::<u64>().map_err(|_| "the policy has a max_age that is no number")?;
    if mx.is_empty() && mode != Mode::None {
        return Err("the policy names no MX");
    }
    mx.dedup();
    Ok(Policy { mode, mx, max_age: max_age.min(STS_AGE_SECONDS_MAX) })
}

/// `sts-policy-ext-name`, and what every field name looks like.
fn is_name(name: &str) -> bool {
    (1..=STS_ID_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// A host name, or one after `*.`; in A-labels, as everything in a policy.
fn parse_pattern(value: &str) -> Option<String> {
    let name = value.strip_prefix("*.").unwrap_or(value);
    // A final dot names the same host.
    let name = name.strip_suffix('.').unwrap_or(name);
    let domain = Domain::parse(name).ok().filter(|_| name.is_ascii())?;
    Some(if value.starts_with("*.") { format!("*.{domain}") } else { domain.to_string() })
}

/// A policy in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The id its record had when it was fetched, at most [`STS_ID_BYTES_MAX`] letters and digits.
    pub id: String,
    /// When it was fetched last.
    pub fetched: Timestamp,
    /// When mail went to the domain last, to the day or so: what is not used any more is not fetched again.
    pub used: Timestamp,
    /// What it says.
    pub policy: Policy,
}

impl Kept {
    /// When it ceases to hold: `max_age` after it was fetched.
    pub fn ends(&self) -> Timestamp {
        self.fetched.plus(Duration::from_secs(self.policy.max_age))
    }

    /// Whether it still holds at this time, which must be one that never goes back: a wall clock that is wrong must not
    /// bring back what has run out, or forget what has not.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.ends()
    }

    /// When it should be fetched anew although its id is the same, so that who blocks the fetch has to do so for long
    /// (RFC 8461 section 3.3): half of its time, and not later than [`STS_REFRESH_SECONDS`].
    pub fn refresh(&self) -> Timestamp {
        self.fetched.plus(Duration::from_secs((self.policy.max_age / 2).min(STS_REFRESH_SECONDS)))
    }

    /// Whether it is still worth being fetched anew without mail for the domain.
    pub fn in_use(&self, now: Timestamp) -> bool {
        now.since(self.used) < Duration::from_secs(STS_UNUSED_SECONDS)
    }

    /// As a value of the store: three lines of ours, then the policy as it could be served.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n{}\n{}\n", self.id, self.fetched.0, self.used.0);
        for line in self.policy.lines() {
            let _ = writeln!(text, "{line}");
        }
        text.into_bytes()
    }

    /// Reads [`Kept::encode`]. `None`: this is something else.
    pub fn decode(value: &[u8]) -> Option<Kept> {
        let mut parts = std::str::from_utf8(value).ok()?.splitn(4, '\n');
        let id = parts.next()?.to_owned();
        let fetched = Timestamp(parts.next()?.parse().ok()?);
        let used = Timestamp(parts.next()?.parse().ok()?);
        Some(Kept { id, fetched, used, policy: parse_policy(parts.next()?.as_bytes()).ok()? })
    }
}

/// What to do before mail goes to a domain (RFC 8461 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is kept is the domain's policy; without anything kept, it has none.
    Apply,
    /// A policy must be fetched first; what is kept holds when that fails.
    Fetch,
    /// What is kept is the domain's policy, and it is time to fetch it anew; mail need not wait for that.
    Refresh,
}

/// Decides by what is kept and holds, and by the id that the DNS names now (`None`: none, or no answer).
pub fn decide(kept: Option<&Kept>, id: Option<&str>, now: Timestamp) -> Step {
    match (kept.filter(|kept| kept.holds(now)), id) {
        // Its absence does not end a policy (section 3.1).
        (_, None) => Step::Apply,
        (Some(kept), Some(id)) if kept.id != id => Step::Fetch,
        (Some(kept), Some(_)) if kept.refresh() <= now => Step::Refresh,
        (Some(_), Some(_)) => Step::Apply,
        (None, Some(_)) => Step::Fetch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(texts: &[&str]) -> Option<String> {
        parse_records(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn the_record() {
        let id = |text: &str| records(&[text]);
        // The example of section 3.1.
        assert_eq!(id("v=STSv1; id=20160831085700Z;").as_deref(), Some("20160831085700Z"));
        assert_eq!(id("v=STSv1;id=1").as_deref(), Some("1"));
        assert_eq!(id("v=STSv1 ; x=y ; id=1 ;").as_deref(), Some("1"));
        assert_eq!(id("v=STSv1; id=1; id=2").as_deref(), Some("1"), "the first counts");
        for bad in [
            "",
            "v=STSv1",
            "v=STSv1;",
            "v=STSv2; id=1",
            "v=STSv10; id=1",
            " v=STSv1; id=1",
            "id=1; v=STSv1",
            "v=stsv1; id=1",
            "v=STSv1; id=",
            "v=STSv1; id=a-b",
            "v=STSv1; id=1;; x=y",
            "v=STSv1; id=1; x",
            "v=STSv1; id=1; x=a=b",
            "v=STSv1; id=123456789012345678901234567890123",
            "v=STSv1; id=é",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
        assert_eq!(records(&["v=spf1 -all", "v=STSv1; id=1"]).as_deref(), Some("1"), "others are discarded");
        assert_eq!(records(&["v=STSv1; id=1", "v=STSv1; id=1"]), None, "two are none");
        assert_eq!(records(&[]), None);
    }

    /// The example of section 3.2.
    const EXAMPLE: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n\
                           mx: backupmx.example.com\r\nmax_age: 604800\r\n";

    #[test]
    fn the_policy() {
        let policy = parse_policy(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net", "backupmx.example.com"]);
        assert_eq!(policy.max_age, 604_800);
        assert_eq!(parse_policy(EXAMPLE.replace("\r\n", "\n").as_bytes()).unwrap(), policy);
        assert_eq!(parse_policy(EXAMPLE.trim_end().as_bytes()).unwrap(), policy, "the last line need not end");
        let lines = policy.lines().join("\r\n");
        assert_eq!(parse_policy(lines.as_bytes()).unwrap(), policy);
        let more = format!("{EXAMPLE}mode: none\r\nmax_age: 1\r\nversion: STSv2\r\nfuture-field: \u{e9} x\r\n");
        assert_eq!(parse_policy(more.as_bytes()).unwrap(), policy, "the first counts, unknown ones do not");
        let removed = parse_policy(b"version: STSv1\nmode: none\nmax_age: 86400\n").unwrap();
        assert_eq!((removed.mode, removed.mx.len()), (Mode::None, 0));
        let long = EXAMPLE.replace("604800", "9999999999");
        assert_eq!(parse_policy(long.as_bytes()).unwrap().max_age, STS_AGE_SECONDS_MAX);
    }

    #[test]
    fn policies_that_are_none() {
        for (was, is) in [
            ("version: STSv1\r\n", ""),
            ("STSv1", "STSv2"),
            ("mode: enforce\r\n", ""),
            ("enforce", "Enforce"),
            ("max_age: 604800\r\n", ""),
            ("604800", "-1"),
            ("604800", "1e5"),
            ("604800", ""),
            ("604800", "12345678901"),
            ("mail.example.com", "mail.*.com"),
            ("mail.example.com", "*"),
            ("mail.example.com", "*mail.example.com"),
            ("mail.example.com", "m\u{e4}il.example.com"),
            ("mail.example.com", "[192.0.2.1]"),
            ("mail.example.com", ""),
            ("mode:", "mode"),
            ("mode:", "<html>:"),
        ] {
            assert!(parse_policy(EXAMPLE.replace(was, is).as_bytes()).is_err(), "{was} -> {is}");
        }
        let no_mx: String = EXAMPLE.split_inclusive("\r\n").filter(|line| !line.starts_with("mx")).collect();
        assert!(parse_policy(no_mx.as_bytes()).is_err());
        let many = (0..=STS_PATTERNS_MAX).fold(EXAMPLE.to_owned(), |all, n| format!("{all}mx: h{n}.example\n"));
        assert!(parse_policy(many.as_bytes()).is_err());
        assert!(parse_policy(b"\xff\xfe").is_err());
        assert!(parse_policy(b"").is_err());
    }

    #[test]
    fn hosts() {
        let policy = parse_policy(EXAMPLE.as_bytes()).unwrap();
        for host in ["mail.example.com", "MAIL.example.COM", "a.example.net", "backupmx.example.com"] {
            assert!(policy.demand().unwrap().names(&Domain::new(host)), "{host}");
        }
        // Section 4.1: "*.example.com" matches neither "example.com" nor "foo.bar.example.com".
        for host in ["example.net", "a.b.example.net", "xmail.example.com", "example.com", ".example.net", ""] {
            assert!(!policy.demand().unwrap().names(&Domain::new(host)), "{host}");
        }
    }

    fn kept(id: &str, fetched: i64, max_age: u64) -> Kept {
        let policy = Policy { mode: Mode::Enforce, mx: vec!["mx.far.example".into()], max_age };
        Kept { id: id.into(), fetched: Timestamp(fetched * 1000), used: Timestamp(fetched * 1000), policy }
    }

    #[test]
    fn what_to_do() {
        let at = |seconds: i64| Timestamp(seconds * 1000);
        let kept = kept("a", 1000, 100_000);
        assert_eq!(decide(None, None, at(0)), Step::Apply);
        assert_eq!(decide(None, Some("a"), at(0)), Step::Fetch);
        assert_eq!(decide(Some(&kept), Some("a"), at(2000)), Step::Apply);
        assert_eq!(decide(Some(&kept), Some("a"), at(500)), Step::Apply, "a clock set back forgets nothing");
        assert_eq!(decide(Some(&kept), Some("b"), at(2000)), Step::Fetch);
        assert_eq!(decide(Some(&kept), Some("a"), at(51_000)), Step::Refresh);
        assert_eq!(decide(Some(&kept), None, at(51_000)), Step::Apply, "no record, no fetch, and it still holds");
        assert!(kept.holds(at(100_999)) && !kept.holds(at(101_000)));
        assert_eq!(decide(Some(&kept), Some("a"), at(101_000)), Step::Fetch);
        assert_eq!(decide(Some(&kept), None, at(101_000)), Step::Apply);
        assert_eq!(super::tests::kept("a", 0, STS_AGE_SECONDS_MAX).refresh(), at(STS_REFRESH_SECONDS as i64));
    }

    #[test]
    fn kept_and_read_back() {
        let kept = kept("20160831085700Z", 1_795_262_400, 604_800);
        assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        for bad in [&b""[..], b"a\n1\n", b"a\nx\n1\nversion: STSv1\n", b"a\n1\n1\nmode: none\n", b"\xff"] {
            assert_eq!(Kept::decode(bad), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_parsers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_policy(&bytes);
            let _ = parse_records(std::slice::from_ref(&bytes));
            let _ = Kept::decode(&bytes);
        }

        #[test]
        fn policies_survive_being_written(
            mode in prop::sample::select(vec![Mode::Enforce, Mode::Testing, Mode::None]),
            mx in prop::collection::vec("(\\*\\.)?[a-z]{1,8}(\\.[a-z0-9]{1,8}){1,3}", 1..6),
            max_age in 0..=STS_AGE_SECONDS_MAX,
        ) {
            let mut mx = mx;
            mx.dedup();
            let policy = Policy { mode, mx, max_age };
            prop_assert_eq!(parse_policy(policy.lines().join("\n").as_bytes()), Ok(policy.clone()));
            let kept = Kept { id: "x1".into(), fetched: Timestamp(5), used: Timestamp(-5), policy };
            prop_assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        }

        #[test]
        fn a_wildcard_is_one_label(label in "[a-z]{1,8}", more in "[a-z]{1,8}", parent in "[a-z]{1,8}\\.[a-z]{2,4}") {
            let policy = Policy { mode: Mode::Enforce, mx: vec![format!("*.{parent}")], max_age: 1 };
            let allows = |host: String| policy.demand().unwrap().names(&Domain::new(&host));
            let child = format!("{label}.{parent}");
            prop_assert!(allows(child));
            let others = [format!("{label}.{more}.{parent}"), parent.clone(), format!("{label}{parent}")];
            prop_assert!(!others.into_iter().any(allows));
        }
    }
}
