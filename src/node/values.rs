//! The values of the configuration file: TOML to the types of [`Slot`].
//!
//! Receives one value; puts it in its place, or says what was expected there.

use crate::mail::addressbook::{GatewayTls, SenderPattern};
use crate::mail::scope::DomainPattern;
use crate::node::settings::{GatewayHost, Slot};
use crate::node::units::{encode_size, encode_wait, parse_size, parse_wait};
use crate::serve::{RoutePolicy, SmarthostSecurity};
use crate::store::{OUTBOX_NAME, mailbox_name};
use crate::wire::address::{Address, Domain};
use crate::wire::date::Timestamp;
use crate::wire::imap::mailbox::normalized;
use log::LevelFilter;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::de::DeValue;

impl<S> Slot<S> {
    /// Puts a value in its place, or says what was expected.
    pub(super) fn read(&self, value: &DeValue<'_>, settings: &mut S) -> Result<(), String> {
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
            Slot::Paths(place) => put(place(settings), list(value, parse_file_name), FILES_EXPECTED),
            Slot::Sockets(place) => put(place(settings), list(value, |text| text.parse().ok()), SOCKETS_EXPECTED),
            Slot::Ranges(place) => put(place(settings), list(value, |text| text.parse().ok()), RANGES_EXPECTED),
            Slot::Socket(place) => {
                let socket = text.and_then(parse_socket);
                put(place(settings), socket, "an address with port in quotes, like \"192.0.2.53:53\"")
            }
            Slot::Switch(place) => put(place(settings), value.as_bool(), "true or false"),
            Slot::Count(place, min, max) => {
                let number = integer(value).filter(|number| (min..=max).contains(number));
                put(place(settings), number, &format!("a number from {min} to {max}"))
            }
            Slot::Size(place, min, max) => {
                let bytes = text.and_then(parse_size).filter(|bytes| (min..=max).contains(bytes));
                put(place(settings), bytes, &size_expected(min, max))
            }
            Slot::Wait(place, min, max) => {
                let (min, max) = (Duration::from_secs(min), Duration::from_secs(max));
                let wait = text.and_then(parse_wait).filter(|wait| (min..=max).contains(wait));
                put(place(settings), wait, &wait_expected(min, max))
            }
            Slot::Waits(place) => {
                let waits = list(value, |text| parse_wait(text).filter(|wait| !wait.is_zero()));
                put(place(settings), waits.filter(|waits| !waits.is_empty()), WAITS_EXPECTED)
            }
            Slot::Level(place) => put(place(settings), text.and_then(parse_level), LEVELS_EXPECTED),
            Slot::Separators(place) => {
                let known = text.filter(|text| text.chars().all(|c| "+-_=.~#".contains(c)));
                put(place(settings), known.map(str::to_string), "some of the characters + - _ = . ~ # in quotes")
            }
            Slot::Senders(place) => put(place(settings), list(value, parse_sender), SENDERS_EXPECTED),
            Slot::Recipients(place) => put(place(settings), list(value, parse_tagged), RECIPIENTS_EXPECTED),
            Slot::Recipient(place) => put(place(settings), text.and_then(parse_tagged).map(Some), RECIPIENT_EXPECTED),
            Slot::Mailbox(place) => put(place(settings), text.and_then(parse_mailbox).map(Some), MAILBOX_EXPECTED),
            Slot::Day(place) => {
                let date = value.as_datetime().map(ToString::to_string);
                let end = text.or(date.as_deref()).and_then(parse_end_of_day).map(Some);
                put(place(settings), end, "a day in quotes, like \"2035-12-31\"")
            }
            _ => self.read_way(value, settings),
        }
    }

    /// The same for what says which way mail goes.
    fn read_way(&self, value: &DeValue<'_>, settings: &mut S) -> Result<(), String> {
        let text = value.as_str();
        match *self {
            Slot::Name(place) => {
                let name = text.filter(|text| text.is_ascii()).and_then(parse_name);
                put(place(settings), name, "a host name in quotes, like \"mail.example.org\"")
            }
            Slot::Patterns(place) => put(place(settings), list(value, parse_pattern), PATTERNS_EXPECTED),
            Slot::Ips(place) => put(place(settings), list(value, |text| text.parse().ok()), IPS_EXPECTED),
            Slot::Route(place) => {
                put(place(settings), text.and_then(parse_route), "\"direct\", \"smarthost\" or \"auto\"")
            }
            Slot::Security(place) => {
                put(place(settings), text.and_then(parse_security), "\"tls\", \"starttls\" or \"plain\"")
            }
            Slot::Host(place) => put(place(settings), text.and_then(parse_host).map(Some), HOST_EXPECTED),
            Slot::GatewayTls(place) => put(place(settings), text.and_then(parse_gateway_tls), GATEWAY_TLS_EXPECTED),
            _ => Err("nothing: this kind of value has no reader".to_owned()),
        }
    }
}

const PATTERNS_EXPECTED: &str = "a list of domains, like [\"y.example\", \"*.z.example\"]";
const IPS_EXPECTED: &str = "a list of addresses, like [\"192.0.2.5\", \"2001:db8::5\"]";
const RECIPIENTS_EXPECTED: &str = "a list of addresses, like [\"me@example.org\"]";
const RECIPIENT_EXPECTED: &str = "an address in quotes, like \"me@example.org\"";
const MAILBOX_EXPECTED: &str = "the name of a mailbox in quotes, like \"Shop\" or \"Lists/Club\", but not Outbox";
const HOST_EXPECTED: &str = "a server, like \"192.168.1.5:25\" or \"mail.home\"";
const GATEWAY_TLS_EXPECTED: &str = "\"offered\", \"plain\", \"starttls\" or \"tls\"";
const RANGES_EXPECTED: &str = "a list of addresses and ranges, like [\"192.0.2.1\", \"10.0.0.0/8\"]";
const FILES_EXPECTED: &str = "a list of file names, like [\"dkim-rsa1.pem\"]";
const SOCKETS_EXPECTED: &str = "a list of addresses with ports, like [\"[::]:25\", \"192.0.2.1:25\"]";
const WAITS_EXPECTED: &str = "a list of durations above zero, like [\"5m\", \"1h\"], at least one";

fn size_expected(min: u64, max: u64) -> String {
    format!("a size like \"50MB\" or \"16MiB\", from {} to {}", encode_size(min), encode_size(max))
}

fn wait_expected(min: Duration, max: Duration) -> String {
    format!("a duration like \"90s\" or \"5d\", from {} to {}", encode_wait(min), encode_wait(max))
}

/// A mailbox into which mail can come.
fn parse_mailbox(text: &str) -> Option<String> {
    mailbox_name(&normalized(text)).ok().filter(|name| name.split('/').next() != Some(OUTBOX_NAME))
}

fn parse_socket(text: &str) -> Option<Option<SocketAddr>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn put<T>(place: &mut T, value: Option<T>, expected: &str) -> Result<(), String> {
    *place = value.ok_or(expected)?;
    Ok(())
}

fn parse_file_name(text: &str) -> Option<std::path::PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.into())
}

fn parse_name(text: &str) -> Option<Option<Domain>> {
    if text.is_empty() { Some(None) } else { parse_domain(text).map(Some) }
}

fn parse_pattern(text: &str) -> Option<DomainPattern> {
    match text.strip_prefix("*.") {
        Some(name) => parse_domain(name).map(DomainPattern::Below),
        None => parse_domain(text).map(DomainPattern::Exactly),
    }
}

fn parse_route(text: &str) -> Option<Option<RoutePolicy>> {
    match text {
        "" => Some(None),
        "direct" => Some(Some(RoutePolicy::Direct)),
        "smarthost" => Some(Some(RoutePolicy::Smarthost)),
        "auto" => Some(Some(RoutePolicy::Auto)),
        _ => None,
    }
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

fn parse_gateway_tls(text: &str) -> Option<GatewayTls> {
    match text {
        "offered" => Some(GatewayTls::IfOffered),
        "plain" => Some(GatewayTls::Plain),
        "starttls" => Some(GatewayTls::StartTls),
        "tls" => Some(GatewayTls::Implicit),
        _ => None,
    }
}

const SENDERS_EXPECTED: &str =
    "a list of senders, like [\"x@y.example\", \"y.example\", \"*.z.example\"], or \"<>\" for bounces";

fn parse_sender(text: &str) -> Option<SenderPattern> {
    match (text, text.strip_prefix("*."), text.contains('@')) {
        ("<>", ..) => Some(SenderPattern::Null),
        (_, Some(domain), _) => parse_domain(domain).map(SenderPattern::Below),
        (_, None, true) => parse_tagged(text).map(SenderPattern::Address),
        (_, None, false) => parse_domain(text).map(SenderPattern::Domain),
    }
}

/// Reads a day, `2035-12-31`; hands on the moment it ends, in UTC.
fn parse_end_of_day(text: &str) -> Option<Timestamp> {
    let mut numbers = text.split('-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if [year.len(), month.len(), day.len()] != [4, 2, 2] || numbers.next().is_some() {
        return None;
    }
    let month = time::Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let end = date.next_day()?.midnight().assume_utc();
    Some(Timestamp(end.unix_timestamp().checked_mul(1000)?))
}

/// Reads `host`, `host:port`, `192.0.2.1:25`, `[2001:db8::1]:25` or an address alone.
pub(super) fn parse_host(text: &str) -> Option<GatewayHost> {
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Some((address.to_string(), None));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip().to_string(), Some(socket.port()))).filter(|_| socket.port() > 0);
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (text, None),
    };
    let named = parse_domain(host).filter(|_| host.is_ascii())?;
    Some((named.to_string(), port))
}

/// Reads `local@domain` as the owner writes it: without quoting, comments, display name or tag.
pub fn parse_address(text: &str) -> Option<Address> {
    parse_tagged(text).filter(|address| !address.local.contains('+'))
}

/// The same, perhaps with a tag.
pub(super) fn parse_tagged(text: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"\"\\()<>,;:@[]".contains(c);
    let good = !local.is_empty() && local.len() <= 64 && local.split('.').all(|part| !part.is_empty());
    if !good || !local.chars().all(plain) {
        return None;
    }
    Some(Address { local: local.to_string(), domain: parse_domain(domain)? })
}

/// Reads a domain name, in letters of any script.
pub fn parse_domain(text: &str) -> Option<Domain> {
    Domain::parse(text).ok()
}

fn list<T>(value: &DeValue<'_>, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|item| item.get_ref().as_str().and_then(&parse)).collect()
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        assert_eq!(parse_address("me@Example.org").unwrap().to_string(), "me@example.org");
        for text in ["me", "@a.b", "me@", "me you@a.b", "a..b@c.d", "me+tag@a.b", "me@-a.b", "Me <me@a.b>", "me@a..b"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }
}
