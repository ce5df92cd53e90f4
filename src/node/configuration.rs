//! The configuration file: TOML text to [`Settings`], and the sample that documents it.
//!
//! Everything wrong in a file is refused with file, line, key and what was expected; nothing is guessed or passed over.

use crate::limits::CONFIGURATION_BYTES_MAX;
use crate::node::failure::{Exit, Failure};
use crate::node::settings::{KEYS, Key, Settings, Slot};
use crate::node::units::{encode_size, encode_wait, parse_size, parse_wait};
use crate::serve::SmarthostSecurity;
use crate::wire::address::{Address, Domain};
use log::LevelFilter;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads and checks a configuration file.
pub fn read_file(path: &Path) -> Result<Settings, Failure> {
    let name = path.display().to_string();
    let cannot = |e: std::io::Error| Failure::new(Exit::Configuration, format!("cannot read {name}: {e}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(CONFIGURATION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > CONFIGURATION_BYTES_MAX {
        return Err(Failure::new(Exit::Configuration, format!("{name} is too large for a configuration")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::Configuration, format!("{name} is not text in UTF-8")))?;
    parse(&name, &text)
}

/// Reads and checks a configuration; `name` is the file's in messages.
pub fn parse(name: &str, text: &str) -> Result<Settings, Failure> {
    let source = Source { name, text };
    let document = DeTable::parse(text).map_err(|e| source.wrong(e.span().unwrap_or(0..0), e.message().to_string()))?;
    let mut settings = defaults()?;
    let mut given = Vec::new();
    for (table_key, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) if is_table(table_key.get_ref()) => {
                for (key, value) in table {
                    let full = format!("{}.{}", table_key.get_ref(), key.get_ref());
                    read_key(&source, &full, key.span(), value, &mut settings)?;
                    given.push(full);
                }
            }
            _ => {
                read_key(&source, table_key.get_ref(), table_key.span(), value, &mut settings)?;
                given.push(table_key.get_ref().to_string());
            }
        }
    }
    if let Some(missing) = KEYS.iter().find(|key| key.required && !given.iter().any(|name| name == key.name)) {
        let sentence =
            format!("{name}: {} is missing, for example {} = {}", missing.name, missing.name, missing.default);
        return Err(Failure::new(Exit::Configuration, sentence));
    }
    check(&settings).map_err(|(key, trouble)| source.wrong(source.find(key), format!("{key}: {trouble}")))?;
    Ok(settings)
}

/// The values of all keys when nothing is given; required keys have those of the sample.
pub fn defaults() -> Result<Settings, Failure> {
    let mut settings = Settings::blank();
    for key in KEYS {
        let impossible = |why: &str| {
            Failure::new(Exit::Configuration, format!("the built-in default of {} cannot be read: {why}", key.name))
        };
        let value = DeValue::parse(key.default).map_err(|e| impossible(e.message()))?;
        key.slot.read(value.get_ref(), &mut settings).map_err(|expected| impossible(&expected))?;
    }
    Ok(settings)
}

/// The documented sample. Keys in `given` are set to these TOML values; required ones to their examples; all others
/// stand there with their defaults, commented out.
pub fn sample(given: &[(&str, String)]) -> String {
    let mut text = String::from(
        "# Hauspost configuration. A line \"#key = value\" shows a default; remove the # to change it.\n\
         # `hauspost config --check FILE` checks a file; a running node reads it again on SIGHUP.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (of, short) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != table {
            text.push_str(&format!("\n[{of}]\n"));
            table = of;
        }
        text.push('\n');
        for line in key.doc.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        match given.iter().find(|(name, _)| *name == key.name) {
            Some((_, value)) => text.push_str(&format!("{short} = {value}\n")),
            None if key.required => text.push_str(&format!("{short} = {}\n", key.default)),
            None => text.push_str(&format!("#{short} = {}\n", key.default)),
        }
    }
    text
}

/// The names of keys that differ and that a running node cannot change.
pub fn needing_restart(before: &Settings, after: &Settings) -> Vec<&'static str> {
    KEYS.iter().filter(|key| key.needs_restart && differs(key, before, after)).map(|key| key.name).collect()
}

fn differs(key: &Key, before: &Settings, after: &Settings) -> bool {
    // Slots lend their place mutably; the copies are small and a reload is rare.
    let (before, after) = (&mut before.clone(), &mut after.clone());
    match key.slot {
        Slot::Domain(place) => place(before) != place(after),
        Slot::Domains(place) => place(before) != place(after),
        Slot::Addresses(place) => place(before) != place(after),
        Slot::Text(place) => place(before) != place(after),
        Slot::Path(place) => place(before) != place(after),
        Slot::Sockets(place) => place(before) != place(after),
        Slot::Socket(place) => place(before) != place(after),
        Slot::Ranges(place) => place(before) != place(after),
        Slot::Switch(place) => place(before) != place(after),
        Slot::Count(place, ..) | Slot::Size(place, ..) => place(before) != place(after),
        Slot::Wait(place, ..) => place(before) != place(after),
        Slot::Waits(place) => place(before) != place(after),
        Slot::Security(place) => place(before) != place(after),
        Slot::Level(place) => place(before) != place(after),
    }
}

/// The text of a file, to say where something is.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, at: Range<usize>, trouble: String) -> Failure {
        let before = self.text.get(..at.start.min(self.text.len())).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let trouble: String = trouble.split_whitespace().collect::<Vec<_>>().join(" ");
        Failure::new(Exit::Configuration, format!("{}:{line}: {trouble}", self.name))
    }

    /// Where a key is set; the start of the file when it has its default.
    fn find(&self, name: &str) -> Range<usize> {
        let Ok(document) = DeTable::parse(self.text) else { return 0..0 };
        let (table, short) = name.split_once('.').map_or((None, name), |(table, short)| (Some(table), short));
        let tables = document.get_ref();
        let entries = match table {
            None => Some(tables),
            Some(table) => tables.get(table).and_then(|value| value.get_ref().as_table()),
        };
        entries.and_then(|entries| entries.get_key_value(short)).map_or(0..0, |(key, _)| key.span())
    }
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == name))
}

fn read_key(
    source: &Source<'_>,
    name: &str,
    at: Range<usize>,
    value: &Spanned<DeValue<'_>>,
    settings: &mut Settings,
) -> Result<(), Failure> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        let near = KEYS.iter().map(|key| key.name).min_by_key(|known| distance(known, name)).unwrap_or("");
        let hint =
            if distance(near, name) * 3 <= name.len() { format!("; do you mean {near}?") } else { String::new() };
        return Err(source.wrong(at, format!("unknown key {name}{hint}")));
    };
    key.slot.read(value.get_ref(), settings).map_err(|expected| {
        let found = source.text.get(value.span()).unwrap_or("something else");
        let found: String = found.chars().take(60).collect();
        source.wrong(value.span(), format!("{name}: expected {expected}, found {found}"))
    })
}

/// What no single key can tell. The answer names the key to look at.
fn check(settings: &Settings) -> Result<(), (&'static str, String)> {
    if settings.addresses.is_empty() {
        return Err(("addresses", "at least one address is needed".into()));
    }
    let domains = settings.local_domains();
    if let Some(stray) = settings.addresses.iter().find(|address| !domains.contains(&address.domain)) {
        return Err(("domains", format!("the domain of {stray} is not among them")));
    }
    if settings.user.is_empty() && !settings.group.is_empty() {
        return Err(("group", "a group needs a user too".into()));
    }
    let relay = &settings.relay;
    let has_password = !relay.password_file.as_os_str().is_empty();
    if relay.login.is_empty() == has_password {
        return Err(("relay.login", "a login needs relay.password_file, and the other way round".into()));
    }
    if has_password && relay.security == SmarthostSecurity::Plain {
        return Err(("relay.security", "a password is not sent without TLS".into()));
    }
    Ok(())
}

impl Slot {
    /// Puts a value in its place, or says what was expected.
    fn read(&self, value: &DeValue<'_>, settings: &mut Settings) -> Result<(), String> {
        let text = value.as_str();
        match *self {
            Slot::Domain(place) => {
                let name = text.filter(|text| text.is_ascii()).and_then(parse_domain);
                put(place(settings), name, "a host name in quotes, like \"mail.example.org\"")
            }
            Slot::Domains(place) => {
                put(place(settings), list(value, parse_domain), "a list of domains, like [\"example.org\"]")
            }
            Slot::Addresses(place) => {
                put(place(settings), list(value, parse_address), "a list of addresses, like [\"me@example.org\"]")
            }
            Slot::Text(place) => {
                let plain = text.filter(|text| !text.contains(char::is_control)).map(str::to_string);
                put(place(settings), plain, "text in quotes")
            }
            Slot::Path(place) => {
                let path = text.filter(|text| !text.contains('\0')).map(Into::into);
                put(place(settings), path, "a file name in quotes")
            }
            Slot::Sockets(place) => {
                let sockets = list(value, |text| text.parse().ok());
                put(place(settings), sockets, "a list of addresses with ports, like [\"[::]:25\", \"192.0.2.1:25\"]")
            }
            Slot::Ranges(place) => {
                let ranges = list(value, |text| text.parse().ok());
                put(place(settings), ranges, "a list of addresses and ranges, like [\"192.0.2.1\", \"10.0.0.0/8\"]")
            }
            Slot::Socket(place) => {
                let socket = match text {
                    Some("") => Some(None),
                    text => text.and_then(|text| text.parse().ok()).map(Some),
                };
                put(place(settings), socket, "an address with port in quotes, like \"192.0.2.53:53\"")
            }
            Slot::Switch(place) => put(place(settings), value.as_bool(), "true or false"),
            Slot::Count(place, min, max) => {
                let number = integer(value).filter(|number| (min..=max).contains(number));
                put(place(settings), number, &format!("a number from {min} to {max}"))
            }
            Slot::Size(place, min, max) => {
                let bytes = text.and_then(parse_size).filter(|bytes| (min..=max).contains(bytes));
                let (min, max) = (encode_size(min), encode_size(max));
                put(place(settings), bytes, &format!("a size like \"50MB\" or \"16MiB\", from {min} to {max}"))
            }
            Slot::Wait(place, min, max) => {
                let (min, max) = (Duration::from_secs(min), Duration::from_secs(max));
                let wait = text.and_then(parse_wait).filter(|wait| (min..=max).contains(wait));
                let (min, max) = (encode_wait(min), encode_wait(max));
                put(place(settings), wait, &format!("a duration like \"90s\" or \"5d\", from {min} to {max}"))
            }
            Slot::Waits(place) => {
                let waits = list(value, |text| parse_wait(text).filter(|wait| !wait.is_zero()));
                let waits = waits.filter(|waits| !waits.is_empty());
                put(place(settings), waits, "a list of durations above zero, like [\"5m\", \"1h\"], at least one")
            }
            Slot::Security(place) => {
                put(place(settings), text.and_then(parse_security), "\"tls\", \"starttls\" or \"plain\"")
            }
            Slot::Level(place) => put(place(settings), text.and_then(parse_level), LEVELS_EXPECTED),
        }
    }
}

fn put<T>(place: &mut T, value: Option<T>, expected: &str) -> Result<(), String> {
    *place = value.ok_or(expected)?;
    Ok(())
}

fn parse_security(text: &str) -> Option<SmarthostSecurity> {
    match text {
        "tls" => Some(SmarthostSecurity::Implicit),
        "starttls" => Some(SmarthostSecurity::StartTls),
        "plain" => Some(SmarthostSecurity::Plain),
        _ => None,
    }
}

/// What [`parse_level`] takes, for messages.
pub const LEVELS_EXPECTED: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"off\"";

/// Reads a log level.
pub fn parse_level(text: &str) -> Option<LevelFilter> {
    match text {
        "error" => Some(LevelFilter::Error),
        "warn" => Some(LevelFilter::Warn),
        "info" => Some(LevelFilter::Info),
        "debug" => Some(LevelFilter::Debug),
        "off" => Some(LevelFilter::Off),
        _ => None,
    }
}

/// Reads `local@domain` as the owner writes it: without quoting, comments or display name.
pub fn parse_address(text: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"\"\\()<>,;:@[]+".contains(c);
    let good = !local.is_empty() && local.len() <= 64 && local.split('.').all(|part| !part.is_empty());
    if !good || !local.chars().all(plain) {
        return None;
    }
    Some(Address { local: local.to_string(), domain: parse_domain(domain)? })
}

/// Reads a domain name: labels of letters, digits and inner hyphens, at most 63 octets each and 253 together.
pub fn parse_domain(text: &str) -> Option<Domain> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| Domain::new(text))
}

fn list<T>(value: &DeValue<'_>, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|item| item.get_ref().as_str().and_then(&parse)).collect()
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Levenshtein distance, to guess which key was meant.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut last = i;
        let mut left = i + 1;
        for (y, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (last + usize::from(x != y)).min(above + 1).min(left + 1);
            last = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "hostname = \"mail.example.org\"\naddresses = [\"me@example.org\"]\n";

    fn refused(text: &str) -> String {
        parse("h.toml", text).unwrap_err().sentence
    }

    #[test]
    fn the_sample_says_the_defaults() {
        assert_eq!(parse("sample", &sample(&[])).unwrap(), defaults().unwrap());
    }

    #[test]
    fn the_sample_with_every_default_uncommented_says_the_same() {
        let uncommented: String = sample(&[])
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(uncommented.matches(" = ").count() - sample(&[]).matches("\"#key = value\"").count(), KEYS.len());
        assert_eq!(parse("sample", &uncommented).unwrap(), defaults().unwrap());
    }

    #[test]
    fn every_key_is_documented_and_stands_with_its_table() {
        let mut tables: Vec<&str> = Vec::new();
        for key in KEYS {
            assert!(!key.doc.is_empty() && key.doc.lines().all(|line| line.len() <= 110), "{}", key.name);
            let table = key.name.split_once('.').map_or("", |(table, _)| table);
            if tables.last() != Some(&table) {
                assert!(!tables.contains(&table), "table {table} is torn");
                tables.push(table);
            }
        }
        assert_eq!(tables.first(), Some(&""));
    }

    #[test]
    fn given_values_are_read_back() {
        let text = sample(&[("hostname", "\"a.example\"".into()), ("relay.port", "587".into())]);
        let settings = parse("x", &text).unwrap();
        assert_eq!(settings.hostname.as_str(), "a.example");
        assert_eq!(settings.relay.port, 587);
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        assert_eq!(
            refused(&format!("{START}\n[relay]\nhots = \"x\"\n")),
            "h.toml:5: unknown key relay.hots; do you mean relay.host?"
        );
        assert_eq!(refused(&format!("{START}colour = 1\n")), "h.toml:3: unknown key colour");
        assert_eq!(refused(&format!("{START}[web]\nport = 1\n")), "h.toml:3: unknown key web");
    }

    #[test]
    fn wrong_values_are_refused_with_line_key_and_what_was_expected() {
        assert_eq!(
            refused(&format!("{START}[relay]\nport = \"smtp\"\n")),
            "h.toml:4: relay.port: expected a number from 1 to 65535, found \"smtp\""
        );
        assert_eq!(
            refused(&format!("{START}[relay]\n\ngive_up_after = \"5 days\"\n")),
            "h.toml:5: relay.give_up_after: expected a duration like \"90s\" or \"5d\", from 1m to 365d, found \"5 days\""
        );
        assert_eq!(
            refused(&format!("{START}[limits]\nmessage_bytes_max = 50\n")),
            "h.toml:4: limits.message_bytes_max: expected a size like \"50MB\" or \"16MiB\", from 64KiB to 2GiB, found 50"
        );
        assert!(
            refused(&format!("{START}[listen]\nmx = [\"25\"]\n")).starts_with("h.toml:4: listen.mx: expected a list")
        );
        assert!(refused(&format!("{START}relay = 5\n")).starts_with("h.toml:3: unknown key relay"));
    }

    #[test]
    fn broken_toml_is_refused_with_its_line() {
        assert!(refused(&format!("{START}user = \n")).starts_with("h.toml:3: "));
        assert!(refused(&format!("{START}hostname = \"again\"\n")).starts_with("h.toml:3: duplicate key"));
    }

    #[test]
    fn missing_keys_are_named() {
        assert_eq!(
            refused("hostname = \"mail.example.org\"\n"),
            "h.toml: addresses is missing, for example addresses = [\"me@example.org\"]"
        );
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        assert!(refused(&format!("{START}group = \"mail\"\n")).contains("a group needs a user"));
        assert!(
            refused(&format!("{START}domains = [\"example.com\"]\n")).starts_with("h.toml:3: domains: the domain of")
        );
        let plain = format!("{START}[relay]\nlogin = \"a\"\npassword_file = \"b\"\nsecurity = \"plain\"\n");
        assert_eq!(refused(&plain), "h.toml:6: relay.security: a password is not sent without TLS");
        assert!(refused(&format!("{START}[relay]\nlogin = \"a\"\n")).contains("needs relay.password_file"));
    }

    #[test]
    fn what_cannot_change_in_a_running_node_is_found() {
        let before = defaults().unwrap();
        let mut after = before.clone();
        after.sessions = 7;
        after.user = "hauspost".into();
        after.listen.imap.clear();
        assert_eq!(needing_restart(&before, &after), ["user", "listen.imap"]);
    }

    #[test]
    fn addresses_are_plain() {
        assert_eq!(parse_address("me@Example.org").unwrap().to_string(), "me@example.org");
        for text in ["me", "@a.b", "me@", "me you@a.b", "a..b@c.d", "me+tag@a.b", "me@-a.b", "Me <me@a.b>", "me@a..b"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }
}
