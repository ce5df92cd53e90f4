//! The configuration file: TOML text to [`Settings`], and the sample that documents it.
//!
//! Everything wrong in a file is refused with file, line, key and what was expected; nothing is guessed or passed over.

use crate::limits::{CONFIGURATION_BYTES_MAX, IMAP_KEEPALIVE_SECONDS_MIN};
use crate::node::directory::{
    self, ADDRESS_KEYS, AddressTable, Alias, Contradiction, DOMAIN_KEYS, DomainTable, TableKey,
};
use crate::node::failure::{Exit, Failure};
use crate::node::settings::{KEYS, Key, Settings, Slot};
use crate::node::smarthosts::{self, SMARTHOST_KEYS, SmarthostTable};
use crate::node::values::{parse_domain, parse_tagged};
use std::io::Read;
use std::ops::Range;
use std::path::Path;
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
            DeValue::Table(table) if DIRECTORY.contains(&&**table_key.get_ref()) => {
                for (key, value) in table {
                    read_named(&source, table_key.get_ref(), key, value, &mut settings)?;
                }
            }
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
    check(&settings).map_err(|(key, trouble)| {
        let path: Vec<&str> = key.split('.').collect();
        source.wrong(source.find(&path), format!("{key}: {trouble}"))
    })?;
    directory::check(&settings).and_then(|()| smarthosts::check(&settings)).map_err(
        |Contradiction { path, trouble }| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            source.wrong(source.find(&path), format!("{}: {trouble}", encode_path(&path)))
        },
    )?;
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
    text.push_str(&sample_of_tables());
    text
}

/// The tables that the owner names, as examples behind `# `: without that they are TOML.
fn sample_of_tables() -> String {
    let mut text = String::from(
        "\n# Aliases and more: tables that are named after an address, a domain or a server, as many as you need. These are examples;\n\
         # to use one, remove \"# \" from its lines.\n",
    );
    let doc = |text: &mut String, doc: &str| doc.lines().for_each(|line| text.push_str(&format!("# # {line}\n")));
    text.push_str("#\n# [aliases]\n");
    doc(&mut text, directory::ALIASES_DOC);
    text.push_str(&format!("# {}\n", directory::ALIASES_EXAMPLE));
    let addresses = ADDRESS_KEYS.iter().map(|row| (row.table, row.key.name, row.key.default, row.key.doc));
    let domains = DOMAIN_KEYS.iter().map(|row| (row.table, row.key.name, row.key.default, row.key.doc));
    let smarthosts = SMARTHOST_KEYS.iter().map(|row| (row.table, row.key.name, row.key.default, row.key.doc));
    let mut table = "";
    for (of, name, example, about) in addresses.chain(domains).chain(smarthosts) {
        if of != table {
            text.push_str(&format!("#\n# [{of}]\n"));
            table = of;
        }
        doc(&mut text, about);
        text.push_str(&format!("# {name} = {example}\n"));
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
        Slot::Paths(place) => place(before) != place(after),
        Slot::Sockets(place) => place(before) != place(after),
        Slot::Socket(place) => place(before) != place(after),
        Slot::Ranges(place) => place(before) != place(after),
        Slot::Switch(place) => place(before) != place(after),
        Slot::Count(place, ..) | Slot::Size(place, ..) => place(before) != place(after),
        Slot::Wait(place, ..) => place(before) != place(after),
        Slot::Waits(place) => place(before) != place(after),
        Slot::Name(place) => place(before) != place(after),
        Slot::Patterns(place) => place(before) != place(after),
        Slot::Ips(place) => place(before) != place(after),
        Slot::Route(place) => place(before) != place(after),
        Slot::Security(place) => place(before) != place(after),
        Slot::Level(place) => place(before) != place(after),
        Slot::Separators(place) => place(before) != place(after),
        Slot::Senders(place) => place(before) != place(after),
        Slot::Recipients(place) => place(before) != place(after),
        Slot::Recipient(place) => place(before) != place(after),
        Slot::Mailbox(place) => place(before) != place(after),
        Slot::Day(place) => place(before) != place(after),
        Slot::Host(place) => place(before) != place(after),
        Slot::GatewayTls(place) => place(before) != place(after),
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

    fn unexpected(&self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Failure {
        let found = self.text.get(value.span()).unwrap_or("something else");
        let found: String = found.chars().take(60).collect();
        self.wrong(value.span(), format!("{name}: expected {expected}, found {found}"))
    }

    /// Where a key is set; the start of the file when it has its default.
    fn find(&self, path: &[&str]) -> Range<usize> {
        let Ok(document) = DeTable::parse(self.text) else { return 0..0 };
        let mut found = 0..0;
        let mut entries = Some(document.get_ref());
        for name in path {
            let Some((key, value)) = entries.and_then(|entries| entries.get_key_value(*name)) else { break };
            found = key.span();
            entries = value.get_ref().as_table();
        }
        found
    }
}

/// Tables whose names are the owner's.
const DIRECTORY: [&str; 4] = ["aliases", "address", "domain", "smarthost"];

/// A path as TOML writes it.
fn encode_path(path: &[&str]) -> String {
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let names: Vec<String> =
        path.iter().map(|name| if plain(name) { (*name).to_owned() } else { format!("{name:?}") }).collect();
    names.join(".")
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
        return Err(unknown(source, name, at, KEYS.iter().map(|key| key.name)));
    };
    key.slot.read(value.get_ref(), settings).map_err(|expected| source.unexpected(name, value, &expected))
}

fn unknown(source: &Source<'_>, name: &str, at: Range<usize>, known: impl Iterator<Item = &'static str>) -> Failure {
    let near = known.min_by_key(|known| distance(known, name)).unwrap_or("");
    let hint = if distance(near, name) * 3 <= name.len() { format!("; do you mean {near}?") } else { String::new() };
    source.wrong(at, format!("unknown key {name}{hint}"))
}

/// One alias, or one table that is named after an address or a domain.
fn read_named(
    source: &Source<'_>,
    table: &str,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    settings: &mut Settings,
) -> Result<(), Failure> {
    let written = name.get_ref().as_ref();
    let full = encode_path(&[table, written]);
    let misnamed = |what: &str| source.wrong(name.span(), format!("{full}: expected {what}, found {written:?}"));
    let a_table = || source.unexpected(&full, value, &format!("a table with a name, like [{table}.\"...\"]"));
    let directory = &mut settings.directory;
    if table == "domain" {
        let domain = parse_domain(written).ok_or_else(|| misnamed("a domain, like \"example.org\""))?;
        let mut read = DomainTable::new(written, domain);
        let keys = value.get_ref().as_table().ok_or_else(a_table)?;
        read_table(source, &full, DOMAIN_KEYS, keys, &mut read)?;
        directory.domains.push(read);
        return Ok(());
    }
    if table == "smarthost" {
        let mut read = SmarthostTable::new(written);
        let keys = value.get_ref().as_table().ok_or_else(a_table)?;
        read_table(source, &full, SMARTHOST_KEYS, keys, &mut read)?;
        settings.smarthosts.push(read);
        return Ok(());
    }
    let address = parse_tagged(written).ok_or_else(|| misnamed("an address, like \"shop@example.org\""))?;
    if table == "aliases" {
        let own = value.get_ref().as_str().and_then(parse_tagged);
        let expected = || source.unexpected(&full, value, "an address of yours, like \"me@example.org\"");
        let own = own.ok_or_else(expected)?;
        directory.aliases.push(Alias { written: written.to_owned(), name: address, own });
        return Ok(());
    }
    let mut read = AddressTable::new(written, address);
    let keys = value.get_ref().as_table().ok_or_else(a_table)?;
    read_table(source, &full, ADDRESS_KEYS, keys, &mut read)?;
    directory.addresses.push(read);
    Ok(())
}

fn read_table<S>(
    source: &Source<'_>,
    table: &str,
    known: &'static [TableKey<S>],
    keys: &DeTable<'_>,
    read: &mut S,
) -> Result<(), Failure> {
    for (key, value) in keys {
        let name = key.get_ref();
        let Some(row) = known.iter().find(|row| row.key.name == *name) else {
            return Err(unknown(source, name, key.span(), known.iter().map(|row| row.key.name)));
        };
        let put = row.key.slot.read(value.get_ref(), read);
        put.map_err(|expected| source.unexpected(&format!("{table}.{name}"), value, &expected))?;
    }
    Ok(())
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
    if (1..IMAP_KEEPALIVE_SECONDS_MIN).contains(&settings.imap_keepalive.as_secs()) {
        return Err(("imap.keepalive", "at least a minute (\"1m\"), or \"0s\" for none".into()));
    }
    Ok(())
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
        let examples = sample_of_tables().matches(" = ").count() + sample(&[]).matches("\"#key = value\"").count();
        assert_eq!(uncommented.matches(" = ").count() - examples, KEYS.len());
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
        assert_eq!(settings.relay.server.port, 587);
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
    fn keep_alives_come_every_1_to_29_minutes_or_never() {
        let with = |wait: &str| format!("{START}[imap]\nkeepalive = \"{wait}\"\n");
        for (wait, seconds) in [("1m", 60), ("29m", 29 * 60), ("0s", 0)] {
            assert_eq!(parse("x", &with(wait)).unwrap().imap_keepalive.as_secs(), seconds);
        }
        assert_eq!(defaults().unwrap().imap_keepalive.as_secs(), 24 * 60);
        assert_eq!(refused(&with("59s")), "h.toml:4: imap.keepalive: at least a minute (\"1m\"), or \"0s\" for none");
        assert!(refused(&with("30m")).starts_with("h.toml:4: imap.keepalive: expected a duration"));
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
}
