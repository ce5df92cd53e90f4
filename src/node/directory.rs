//! The tables whose names the owner chooses: `[aliases]`, `[address."shop@example.org"]`, `[domain."example.org"]`.
//!
//! Receives their values as the file has them; hands on the [`AddressBook`], or what contradicts itself in them and where. From
//! [`ADDRESS_KEYS`] and [`DOMAIN_KEYS`] the file is read and the sample is printed, as from [`crate::node::settings::KEYS`].

use crate::limits::FORWARD_TARGETS_MAX;
use crate::mail::addressbook::{AddressBook, Entry, Gateway, GatewayTls, Others, Place, is_postmaster};
use crate::node::settings::{GatewayHost, Key, Settings, Slot, key};
use crate::wire::address::{Address, Domain};
use crate::wire::date::Timestamp;

/// Port of a gateway that names none.
const GATEWAY_PORT: u16 = 25;
/// The same with TLS from the first byte (RFC 8314 section 7.3).
const GATEWAY_TLS_PORT: u16 = 465;

/// The values of all these tables, in the order of the file's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// `[aliases]`
    pub aliases: Vec<Alias>,
    /// `[address."..."]`
    pub addresses: Vec<AddressTable>,
    /// `[domain."..."]`
    pub domains: Vec<DomainTable>,
}

/// One line of `[aliases]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its key as it is written.
    pub written: String,
    /// The other name.
    pub name: Address,
    /// What it stands for.
    pub own: Address,
}

/// One `[address."..."]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTable {
    /// Its name as it is written.
    pub written: String,
    /// Its name.
    pub address: Address,
    /// `mailbox`
    pub mailbox: Option<String>,
    /// `until`: the end of that day.
    pub until: Option<Timestamp>,
    /// `forward`
    pub forward: Vec<Address>,
    /// `keep`
    pub keep: bool,
    /// `gateway` and what belongs to it.
    pub gateway: GatewayKeys,
}

/// One `[domain."..."]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTable {
    /// Its name as it is written.
    pub written: String,
    /// Its name.
    pub domain: Domain,
    /// `catch_all`
    pub catch_all: Option<Address>,
    /// `refuse`
    pub refuse: Vec<Address>,
    /// `gateway` and what belongs to it.
    pub gateway: GatewayKeys,
}

/// `gateway`, `security` and `verify` of either table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayKeys {
    /// `gateway`
    pub host: Option<GatewayHost>,
    /// `security`
    pub tls: GatewayTls,
    /// `verify`
    pub verify: bool,
}

/// A key of such a table.
pub struct TableKey<S: 'static> {
    /// The table that it stands in as an example.
    pub table: &'static str,
    /// The key. Its default is an example too.
    pub key: Key<S>,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The names of the tables and the key.
    pub path: Vec<String>,
    /// A plain sentence.
    pub trouble: String,
}

pub(super) const fn row<S>(
    table: &'static str,
    name: &'static str,
    example: &'static str,
    doc: &'static str,
    slot: Slot<S>,
) -> TableKey<S> {
    TableKey { table, key: key(name, example, doc, slot) }
}

/// What stands above `[aliases]` in the sample.
pub const ALIASES_DOC: &str =
    "Other names for your addresses: mail to them goes the way of the address they stand for.";
/// A line of `[aliases]` for the sample.
pub const ALIASES_EXAMPLE: &str = r#""info@example.org" = "me@example.org""#;

const SHOP: &str = r#"address."shop@example.org""#;
const CLUB: &str = r#"address."club@example.org""#;
const KID: &str = r#"address."kid@example.org""#;
const HOME: &str = r#"domain."example.org""#;
const OLD: &str = r#"domain."old.example""#;

/// Every key of `[address."..."]`, in the order of the sample.
pub const ADDRESS_KEYS: &[TableKey<AddressTable>] = &[
    row(
        SHOP,
        "mailbox",
        r#""Shop""#,
        "One more address of yours. Its mail is put into this mailbox instead of INBOX; the mailbox is made when it is\n\
         missing.",
        Slot::Mailbox(|t| &mut t.mailbox),
    ),
    row(
        SHOP,
        "until",
        r#""2035-12-31""#,
        "The address is for a time only: after this day (in UTC) mail to it is refused.",
        Slot::Day(|t| &mut t.until),
    ),
    row(
        CLUB,
        "forward",
        r#"["a@far.example", "b@far.example"]"#,
        "Mail to this address is sent on to these. Bounces find their way back to whoever wrote (SRS).",
        Slot::Recipients(|t| &mut t.forward),
    ),
    row(CLUB, "keep", "true", "And a copy is kept here.", Slot::Switch(|t| &mut t.keep)),
    row(
        KID,
        "gateway",
        r#""192.168.1.7:25""#,
        "Another mail server in the house has this address: its mail is handed on to it.",
        Slot::Host(|t| &mut t.gateway.host),
    ),
    row(KID, "security", r#""offered""#, SECURITY_DOC, Slot::GatewayTls(|t| &mut t.gateway.tls)),
    row(KID, "verify", "false", VERIFY_DOC, Slot::Switch(|t| &mut t.gateway.verify)),
];

/// Every key of `[domain."..."]`, in the order of the sample.
pub const DOMAIN_KEYS: &[TableKey<DomainTable>] = &[
    row(
        HOME,
        "catch_all",
        r#""me@example.org""#,
        "Mail to any other address of this domain goes the way of this one.",
        Slot::Recipient(|t| &mut t.catch_all),
    ),
    row(HOME, "refuse", r#"["sales@example.org"]"#, "Except to these.", Slot::Recipients(|t| &mut t.refuse)),
    row(
        OLD,
        "gateway",
        r#""192.168.1.5:25""#,
        "Another mail server in the house has this whole domain: its mail is handed on to it.",
        Slot::Host(|t| &mut t.gateway.host),
    ),
    row(OLD, "security", r#""offered""#, SECURITY_DOC, Slot::GatewayTls(|t| &mut t.gateway.tls)),
    row(OLD, "verify", "false", VERIFY_DOC, Slot::Switch(|t| &mut t.gateway.verify)),
];

const SECURITY_DOC: &str = "\"offered\": STARTTLS when that server offers it, whatever its certificate; \"plain\": no TLS;\n\
                            \"starttls\" or \"tls\" (from the start): its certificate must be good.";
const VERIFY_DOC: &str = "Ask that server about each recipient before taking the mail. Otherwise what it refuses later is bounced\n\
                          to senders, and those of spam are forged.";

impl AddressTable {
    /// A table without keys: an address of the owner like the others.
    pub fn new(written: &str, address: Address) -> AddressTable {
        AddressTable {
            written: written.to_owned(),
            address,
            mailbox: None,
            until: None,
            forward: Vec::new(),
            keep: false,
            gateway: GatewayKeys::default(),
        }
    }

    fn entry(&self) -> Entry {
        let gateway = self.gateway.gateway();
        let is_delivered = gateway.is_none() && (self.keep || self.forward.is_empty());
        let place = match self.mailbox.as_deref() {
            None | Some("INBOX") => Place::Inbox,
            Some(name) => Place::Named(name.to_owned()),
        };
        Entry { until: self.until, place: is_delivered.then_some(place), forward: self.forward.clone(), gateway }
    }
}

impl DomainTable {
    /// A table without keys: a domain of the owner.
    pub fn new(written: &str, domain: Domain) -> DomainTable {
        let (catch_all, refuse, gateway) = (None, Vec::new(), GatewayKeys::default());
        DomainTable { written: written.to_owned(), domain, catch_all, refuse, gateway }
    }
}

impl GatewayKeys {
    fn gateway(&self) -> Option<Gateway> {
        let (host, port) = self.host.clone()?;
        let usual = if self.tls == GatewayTls::Implicit { GATEWAY_TLS_PORT } else { GATEWAY_PORT };
        Some(Gateway { host, port: port.unwrap_or(usual), tls: self.tls, verify: self.verify })
    }

    /// What goes only with a gateway that is there.
    fn stray_key(&self) -> Option<&'static str> {
        match self {
            GatewayKeys { host: Some(_), .. } => None,
            GatewayKeys { verify: true, .. } => Some("verify"),
            GatewayKeys { tls, .. } => (*tls != GatewayTls::default()).then_some("security"),
        }
    }
}

impl Directory {
    /// The domains of addresses and aliases that have no gateway.
    pub fn address_domains(&self) -> impl Iterator<Item = &Domain> {
        let named = self.addresses.iter().map(|table| &table.address);
        let all = named.chain(self.aliases.iter().map(|alias| &alias.name)).map(|address| &address.domain);
        all.filter(|domain| !self.is_gateway_domain(domain))
    }

    /// The domains with a table and without a gateway.
    pub fn own_domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().filter(|table| table.gateway.host.is_none()).map(|table| &table.domain)
    }

    /// The domains that a gateway has whole.
    pub fn gateway_domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().filter(|table| table.gateway.host.is_some()).map(|table| &table.domain)
    }

    fn is_gateway_domain(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|table| table.domain == *domain && table.gateway.host.is_some())
    }
}

/// The address book of these settings.
pub fn make_book(settings: &Settings) -> AddressBook {
    let directory = &settings.directory;
    let senders = settings.block_senders.clone();
    let mut book = AddressBook::new(&settings.tag_separators, settings.tag_mailboxes, senders);
    for domain in settings.local_domains() {
        if let Some(main) = settings.addresses.first() {
            // RFC 5321 section 4.5.1: every domain has one.
            book.add(&Address { local: "postmaster".into(), domain: domain.clone() }, Entry::alias_of(main));
        }
        book.add_domain(domain, Others::Unknown);
    }
    for table in &directory.domains {
        let others = match (table.gateway.gateway(), &table.catch_all) {
            (Some(gateway), _) => Others::Gateway(gateway),
            (None, Some(own)) => Others::CatchAll(own.clone()),
            (None, None) => Others::Unknown,
        };
        book.add_domain(table.domain.clone(), others);
        table.refuse.iter().for_each(|address| book.add(address, Entry::refused()));
    }
    settings.addresses.iter().for_each(|address| book.add(address, Entry::inbox()));
    directory.aliases.iter().for_each(|alias| book.add(&alias.name, Entry::alias_of(&alias.own)));
    directory.addresses.iter().for_each(|table| book.add(&table.address, table.entry()));
    book
}

/// What contradicts itself in these tables.
pub fn check(settings: &Settings) -> Result<(), Contradiction> {
    let directory = &settings.directory;
    directory.domains.iter().enumerate().try_for_each(|(at, table)| check_domain(settings, at, table))?;
    directory.aliases.iter().enumerate().try_for_each(|(at, alias)| check_alias(settings, at, alias))?;
    directory.addresses.iter().enumerate().try_for_each(|(at, table)| check_address(settings, at, table))
}

pub(super) fn wrong(path: &[&str], trouble: impl Into<String>) -> Result<(), Contradiction> {
    Err(Contradiction { path: path.iter().map(|name| (*name).to_owned()).collect(), trouble: trouble.into() })
}

fn check_domain(settings: &Settings, at: usize, table: &DomainTable) -> Result<(), Contradiction> {
    let DomainTable { written, domain, catch_all, refuse, gateway } = table;
    let path = |key| ["domain", written.as_str(), key];
    let above = settings.directory.domains.get(..at).unwrap_or_default();
    if above.iter().any(|other| other.domain == *domain) {
        return wrong(&["domain", written], "this domain has a table already");
    }
    if let Some(key) = gateway.stray_key() {
        return wrong(&path(key), "there is no gateway that this could be about");
    }
    if gateway.host.is_some() {
        let is_own = settings.domains.contains(domain) || settings.addresses.iter().any(|own| own.domain == *domain);
        if is_own {
            return wrong(
                &path("gateway"),
                "the domain is one of your own; give single addresses to a gateway instead",
            );
        }
        if catch_all.is_some() {
            return wrong(&path("catch_all"), "the gateway has all addresses of this domain already");
        }
    }
    if !refuse.is_empty() && catch_all.is_none() {
        return wrong(&path("refuse"), "addresses are refused anyway where there is no catch_all");
    }
    for address in refuse {
        if address.domain != *domain {
            return wrong(&path("refuse"), format!("{address} is not at {domain}"));
        }
        if is_named(settings, address) {
            return wrong(&path("refuse"), format!("{address} is an address of yours"));
        }
        if is_postmaster(address) {
            return wrong(&path("refuse"), POSTMASTER);
        }
    }
    match catch_all {
        Some(own) if !is_named(settings, own) => {
            wrong(&path("catch_all"), format!("{own} is not an address of yours; {EXPECTED}"))
        }
        _ => Ok(()),
    }
}

/// RFC 5321 section 4.5.1.
const POSTMASTER: &str = "everybody must always be able to write to the postmaster of a domain";

/// How an address becomes one of the owner's.
const EXPECTED: &str = "name it in addresses, or give it a table of its own";

fn check_alias(settings: &Settings, at: usize, alias: &Alias) -> Result<(), Contradiction> {
    let Alias { written, name, own } = alias;
    let path = ["aliases", written.as_str()];
    let aliases = &settings.directory.aliases;
    let is_alias = |address: &Address| aliases.iter().any(|other| other.name.same_as(address));
    check_place(settings, &path, name)?;
    if has_table(settings, name) || settings.addresses.iter().any(|own| own.same_as(name)) {
        return wrong(&path, "it is an address already");
    }
    if aliases.get(..at).unwrap_or_default().iter().any(|other| other.name.same_as(name)) {
        return wrong(&path, "it is an alias already");
    }
    if is_alias(own) {
        return wrong(&path, format!("{own} is an alias itself; name the address that it stands for"));
    }
    if !is_named(settings, own) {
        return wrong(&path, format!("{own} is not an address of yours; {EXPECTED}"));
    }
    Ok(())
}

fn check_address(settings: &Settings, at: usize, table: &AddressTable) -> Result<(), Contradiction> {
    let AddressTable { written, address, mailbox, until, forward, keep, gateway } = table;
    let path = |key| ["address", written.as_str(), key];
    let above = settings.directory.addresses.get(..at).unwrap_or_default();
    check_place(settings, &["address", written], address)?;
    if above.iter().any(|other| other.address.same_as(address)) {
        return wrong(&["address", written], "this address has a table already");
    }
    if let Some(key) = gateway.stray_key() {
        return wrong(&path(key), "there is no gateway that this could be about");
    }
    if until.is_some() && is_postmaster(address) {
        return wrong(&path("until"), POSTMASTER);
    }
    if until.is_some() && settings.addresses.first().is_some_and(|main| main.same_as(address)) {
        return wrong(&path("until"), "it is the first of your addresses, where mail to postmaster goes");
    }
    let is_forwarded = !forward.is_empty();
    let stray = match (gateway.host.is_some(), is_forwarded) {
        (true, _) if is_forwarded => Some(("forward", "the gateway gets all mail to this address")),
        (true, _) if mailbox.is_some() => Some(("mailbox", "the gateway gets all mail to this address")),
        (_, true) if mailbox.is_some() && !keep => Some(("mailbox", "nothing is put there without keep = true")),
        (_, false) if *keep => Some(("keep", "mail is kept anyway when it is not forwarded")),
        _ => None,
    };
    if let Some((key, trouble)) = stray {
        return wrong(&path(key), trouble);
    }
    if forward.len() > FORWARD_TARGETS_MAX {
        return wrong(&path("forward"), format!("more than {FORWARD_TARGETS_MAX} addresses"));
    }
    let book = make_book(settings);
    for target in forward {
        if target.same_as(address) {
            return wrong(&path("forward"), "it is forwarded to itself; keep = true keeps a copy here");
        }
        if book.has_domain(&target.domain) && !book.is_own(target) && book.gateway(target).is_none() {
            return wrong(&path("forward"), format!("{target} is not an address of yours; {EXPECTED}"));
        }
        if book.leads_to(target, address) {
            return wrong(&path("forward"), format!("mail to {target} comes back to {address}"));
        }
    }
    Ok(())
}

/// Addresses stand at domains that are ours.
fn check_place(settings: &Settings, path: &[&str], address: &Address) -> Result<(), Contradiction> {
    let domain = &address.domain;
    if settings.local_domains().contains(domain) || settings.directory.is_gateway_domain(domain) {
        return Ok(());
    }
    wrong(path, format!("{domain} is not among your domains; add it there"))
}

fn has_table(settings: &Settings, address: &Address) -> bool {
    settings.directory.addresses.iter().any(|table| table.address.same_as(address))
}

/// Whether an address is in `addresses`, has a table or is an alias.
fn is_named(settings: &Settings, address: &Address) -> bool {
    settings.addresses.iter().any(|own| own.same_as(address))
        || has_table(settings, address)
        || settings.directory.aliases.iter().any(|alias| alias.name.same_as(address))
}

#[cfg(test)]
mod tests {
    use crate::node::configuration::{parse, sample};
    use crate::wire::date::Timestamp;

    const START: &str = "hostname = \"mail.example.org\"\naddresses = [\"me@example.org\"]\n";

    fn refused(text: &str) -> String {
        parse("h.toml", &format!("{START}{text}")).unwrap_err().sentence
    }

    #[test]
    fn the_examples_of_the_sample_are_read_without_their_marks() {
        let text = sample(&[]);
        let (above, tables) = text.split_once("# to use one, remove \"# \" from its lines.\n").expect("the tables");
        let used: String =
            tables.lines().map(|line| line.strip_prefix("# ").unwrap_or("")).collect::<Vec<_>>().join("\n");
        let settings = parse("sample", &format!("{above}{used}")).expect("readable");
        let directory = &settings.directory;
        assert_eq!((directory.aliases.len(), directory.addresses.len(), directory.domains.len()), (1, 3, 2));
        assert!(directory.addresses.iter().any(|table| table.keep && table.forward.len() == 2));
        assert!(
            directory.domains.iter().any(|table| table.gateway.gateway().is_some_and(|gateway| gateway.port == 25))
        );
        assert!(tables.lines().all(|line| line.is_empty() || line.starts_with('#')), "all of it is commented out");
        assert!(tables.lines().all(|line| line.len() <= 114), "lines fit");
    }

    #[test]
    fn values_are_read() {
        let text = format!(
            "{START}[address.\"Tmp@example.org\"]\nuntil = 2026-12-31\n[address.\"kid@example.org\"]\n\
             gateway = \"in.home\"\nsecurity = \"tls\"\n[domain.\"old.example\"]\ngateway = \"[::1]:2525\"\n"
        );
        let settings = parse("x", &text).expect("readable");
        let [tmp, kid] = &settings.directory.addresses[..] else { panic!("two") };
        assert_eq!(tmp.until, Some(Timestamp(1_798_761_600_000)), "the first moment of 2027");
        assert_eq!(kid.gateway.gateway().map(|gateway| gateway.port), Some(465));
        let old = settings.directory.domains[0].gateway.gateway().expect("a gateway");
        assert_eq!((old.host.as_str(), old.port), ("::1", 2525));
        assert_eq!(settings.local_domains().len(), 1, "a gateway's domain is not the owner's");
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        for (text, wanted) in [
            (
                "[address.\"a@example.org\"]\nuntil = \"2026-02-30\"\n",
                "h.toml:4: address.\"a@example.org\".until: expected a day",
            ),
            (
                "[address.\"a@example.org\"]\nmailbox = \"a//b\"\n",
                "h.toml:4: address.\"a@example.org\".mailbox: expected the name",
            ),
            ("[address.\"a@example.org\"]\nmail_box = \"a\"\n", "h.toml:4: unknown key mail_box; do you mean mailbox?"),
            ("[address.\"a b@example.org\"]\n", "h.toml:3: address.\"a b@example.org\": expected an address"),
            ("[address]\nmailbox = \"Shop\"\n", "h.toml:4: address.mailbox: expected an address"),
            ("[domain.\"-a\"]\n", "h.toml:3: domain.\"-a\": expected a domain"),
            (
                "[domain.\"a.example\"]\ngateway = \"h:0\"\n",
                "h.toml:4: domain.\"a.example\".gateway: expected a server",
            ),
            ("[aliases]\n\"b@example.org\" = 5\n", "h.toml:4: aliases.\"b@example.org\": expected an address of yours"),
            ("block_senders = [\"a b\"]\n", "h.toml:3: block_senders: expected a list of senders"),
            ("tag_separators = \"a\"\n", "h.toml:3: tag_separators: expected some of"),
        ] {
            assert!(refused(text).starts_with(wanted), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn contradictions_are_found_with_their_line() {
        let own = "[address.\"a@example.org\"]\n";
        let old = "[domain.\"old.example\"]\n";
        for (text, line, wanted) in [
            (format!("{own}forward = [\"A@example.org\"]\n"), 4, "it is forwarded to itself"),
            (format!("{own}forward = [\"b@example.org\"]\n"), 4, "b@example.org is not an address of yours"),
            (
                format!("{own}forward = [\"a+x@example.org\"]\n"),
                4,
                "mail to a+x@example.org comes back to a@example.org",
            ),
            (
                format!("{own}forward = [\"b@example.org\"]\n[aliases]\n\"b@example.org\" = \"a@example.org\"\n"),
                4,
                "comes back",
            ),
            (format!("{own}forward = [\"x@far.example\"]\nmailbox = \"B\"\n"), 5, "nothing is put there"),
            (format!("{own}keep = true\n"), 4, "mail is kept anyway"),
            (format!("{own}verify = true\n"), 4, "there is no gateway"),
            (format!("{own}security = \"plain\"\n"), 4, "there is no gateway"),
            (format!("{own}gateway = \"h\"\nmailbox = \"B\"\n"), 5, "the gateway gets all mail"),
            (format!("{own}[address.\"A@example.org\"]\n"), 3, "this address has a table already"),
            (
                "domains = [\"example.org\"]\n[address.\"a@b.example\"]\n".into(),
                4,
                "b.example is not among your domains",
            ),
            (
                "[aliases]\n\"b@example.org\" = \"c@example.org\"\n".into(),
                4,
                "c@example.org is not an address of yours",
            ),
            ("[aliases]\n\"ME@example.org\" = \"me@example.org\"\n".into(), 4, "it is an address already"),
            (
                "[aliases]\n\"b@example.org\" = \"c@example.org\"\n\"c@example.org\" = \"me@example.org\"\n".into(),
                4,
                "an alias itself",
            ),
            (format!("{old}catch_all = \"x@old.example\"\n"), 4, "x@old.example is not an address of yours"),
            (format!("{old}refuse = [\"x@old.example\"]\n"), 4, "refused anyway"),
            (
                format!("{old}catch_all = \"me@example.org\"\nrefuse = [\"x@example.org\"]\n"),
                5,
                "is not at old.example",
            ),
            (format!("{old}gateway = \"h\"\ncatch_all = \"me@example.org\"\n"), 5, "the gateway has all"),
            ("[domain.\"example.org\"]\ngateway = \"h\"\n".into(), 4, "the domain is one of your own"),
            (
                "[domain.\"example.org\"]\ncatch_all = \"me@example.org\"\nrefuse = [\"me@example.org\"]\n".into(),
                5,
                "is an address of yours",
            ),
            (
                "[domain.\"example.org\"]\ncatch_all = \"me@example.org\"\nrefuse = [\"Postmaster@example.org\"]\n"
                    .into(),
                5,
                "write to the postmaster",
            ),
            ("[address.\"postmaster@example.org\"]\nuntil = \"2035-12-31\"\n".into(), 4, "write to the postmaster"),
            ("[address.\"me@example.org\"]\nuntil = \"2035-12-31\"\n".into(), 4, "where mail to postmaster goes"),
        ] {
            let sentence = refused(&text);
            assert!(
                sentence.contains(wanted) && sentence.starts_with(&format!("h.toml:{line}: ")),
                "{text}: {sentence}"
            );
        }
    }
}
