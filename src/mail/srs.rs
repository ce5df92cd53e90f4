//! Return addresses of forwarded mail: the Sender Rewriting Scheme (SRS, the draft by Meng Weng Wong).
//!
//! Receives a sender, a secret key and the time; hands on the sender as it goes out again, in a domain of ours, and from such
//! an address the sender it stands for. The next server checks who may send for our domain (SPF), not for the sender's; a
//! bounce comes back here and is handed on.
//!
//! `SRS0=hash=day=domain=local@ours` stands for `local@domain`. `SRS1=hash=host==rest@ours` stands for `SRS0=rest@host`: mail
//! that was forwarded before keeps its first forwarder, and no address grows with every hop.
//!
//! What always holds: only an address that was made here with this key, on a day not too long ago, stands for anything, so
//! nobody can send through us to whom they like. Other servers may change the case of what we made: the hash does not see it.

use crate::limits::{LOCAL_PART_BYTES_MAX, PATH_BYTES_MAX, SRS_DAYS_MAX, SRS_HASH_CHARS};
use crate::wire::address::{Address, Domain};
use crate::wire::date::Timestamp;
use ring::hmac;
use subtle::ConstantTimeEq;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// RFC 4648 section 6, as the draft takes it for days.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Days are counted modulo this: two letters.
const DAYS: i64 = 1024;

/// Why an address stands for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrsTrouble {
    /// It was not made here, or not with this key.
    Forged,
    /// It was, too long ago.
    Expired,
}

/// The key of this node.
pub struct Srs(hmac::Key);

impl Srs {
    /// Takes the key.
    pub fn new(key: &[u8]) -> Srs {
        Srs(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The sender as it goes out again from `ours`. `None`: the address would become longer than an address may be.
    pub fn rewrite(&self, sender: &Address, ours: &Domain, now: Timestamp) -> Option<Address> {
        let local = match parse(&sender.local) {
            None => {
                let day = encode_day(now);
                let hash = self.hash(&[&day, sender.domain.as_str(), &sender.local]);
                format!("SRS0={hash}={day}={}={}", sender.domain, sender.local)
            }
            Some(Parsed::Again { host, rest, .. }) => {
                format!("SRS1={}={host}={rest}", self.hash(&[host, rest]))
            }
            Some(Parsed::First { rest, .. }) => {
                let host = sender.domain.as_str();
                format!("SRS1={}={host}={rest}", self.hash(&[host, rest]))
            }
        };
        let address = Address { local, domain: ours.clone() };
        let fits =
            address.local.len() <= LOCAL_PART_BYTES_MAX && address.to_string().len() + "<>".len() <= PATH_BYTES_MAX;
        fits.then_some(address)
    }

    /// The address that a local part of ours stands for.
    pub fn restore(&self, local: &str, now: Timestamp) -> Result<Address, SrsTrouble> {
        match parse(local).ok_or(SrsTrouble::Forged)? {
            Parsed::First { rest, .. } => {
                let mut fields = rest.get(1..).unwrap_or_default().splitn(4, '=');
                let mut field = || fields.next().filter(|field| !field.is_empty()).ok_or(SrsTrouble::Forged);
                let (hash, day, domain, local) = (field()?, field()?, field()?, field()?);
                self.check(hash, &[day, domain, local])?;
                let age = decode_day(day).map(|day| (today(now) - day).rem_euclid(DAYS));
                if age.is_none_or(|age| age > SRS_DAYS_MAX) {
                    return Err(SrsTrouble::Expired);
                }
                Ok(Address { local: local.to_owned(), domain: Domain::new(domain) })
            }
            Parsed::Again { hash, host, rest } => {
                self.check(hash, &[host, rest])?;
                Ok(Address { local: format!("SRS0{rest}"), domain: Domain::new(host) })
            }
        }
    }

    fn check(&self, hash: &str, fields: &[&str]) -> Result<(), SrsTrouble> {
        let right = self.hash(fields);
        let same = bool::from(right.as_bytes().ct_eq(hash.to_ascii_uppercase().as_bytes()));
        if same { Ok(()) } else { Err(SrsTrouble::Forged) }
    }

    /// Letters of the keyed hash over the fields, without regard to their case.
    fn hash(&self, fields: &[&str]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        for field in fields {
            signing.update(field.to_lowercase().as_bytes());
            signing.update(b"\0");
        }
        let tag = signing.sign();
        tag.as_ref().iter().take(SRS_HASH_CHARS).map(|byte| letter(i64::from(*byte))).collect()
    }
}

/// Whether a local part has the form of a rewritten sender.
pub fn is_rewritten(local: &str) -> bool {
    parse(local).is_some()
}

enum Parsed<'a> {
    /// SRS0; `rest` begins with the separator.
    First { rest: &'a str },
    /// SRS1; `rest` is what stood behind `SRS0`.
    Again { hash: &'a str, host: &'a str, rest: &'a str },
}

fn parse(local: &str) -> Option<Parsed<'_>> {
    let (tag, rest) = local.split_at_checked("SRS0".len())?;
    // The draft lets forwarders choose among three.
    if !rest.starts_with(['=', '-', '+']) {
        return None;
    }
    if tag.eq_ignore_ascii_case("SRS0") {
        return Some(Parsed::First { rest });
    }
    if !tag.eq_ignore_ascii_case("SRS1") {
        return None;
    }
    let mut fields = rest.get(1..)?.splitn(3, '=');
    let (hash, host, rest) = (fields.next()?, fields.next()?, fields.next()?);
    (!host.is_empty() && rest.starts_with(['=', '-', '+'])).then_some(Parsed::Again { hash, host, rest })
}

fn today(now: Timestamp) -> i64 {
    now.seconds().div_euclid(86_400).rem_euclid(DAYS)
}

fn encode_day(now: Timestamp) -> String {
    let day = today(now);
    [letter(day / 32), letter(day)].iter().collect()
}

fn decode_day(text: &str) -> Option<i64> {
    let digit = |byte: u8| BASE32.iter().position(|&known| known == byte.to_ascii_uppercase());
    match text.as_bytes() {
        [high, low] => i64::try_from(digit(*high)? * 32 + digit(*low)?).ok(),
        _ => None,
    }
}

/// The letter of a number's lowest five bits.
fn letter(number: i64) -> char {
    let at = usize::try_from(number & 31).unwrap_or(0);
    BASE32.get(at).map_or('A', |&byte| char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MILLIS: i64 = 86_400_000;
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    fn srs() -> Srs {
        Srs::new(&[7; KEY_BYTES])
    }

    fn ours() -> Domain {
        Domain::new("home.example")
    }

    fn days_later(days: i64) -> Timestamp {
        Timestamp(NOW.0 + days * DAY_MILLIS)
    }

    #[test]
    fn a_sender_goes_out_and_comes_back() {
        let out = srs().rewrite(&address("Ada@far.example"), &ours(), NOW).expect("short enough");
        let text = out.to_string();
        assert!(text.starts_with("SRS0=") && text.ends_with("=far.example=Ada@home.example"), "{text}");
        assert_eq!(srs().restore(&out.local, NOW), Ok(address("Ada@far.example")));
        assert_eq!(srs().restore(&out.local, days_later(SRS_DAYS_MAX)), Ok(address("Ada@far.example")));
        assert_eq!(srs().restore(&out.local, days_later(SRS_DAYS_MAX + 1)), Err(SrsTrouble::Expired));
        assert_eq!(srs().restore(&out.local, days_later(-1)), Err(SrsTrouble::Expired));
    }

    #[test]
    fn the_second_hop_shortens_to_the_first() {
        let first = Srs::new(b"first").rewrite(&address("ada@far.example"), &Domain::new("one.example"), NOW).unwrap();
        let second = Srs::new(b"second").rewrite(&first, &Domain::new("two.example"), NOW).unwrap();
        let third = srs().rewrite(&second, &ours(), NOW).unwrap();
        assert!(third.local.starts_with("SRS1="), "{third}");
        assert!(third.local.contains("=one.example==") && !third.local.contains("two.example"), "{third}");
        assert_eq!(srs().restore(&third.local, NOW), Ok(first.clone()));
        assert_eq!(srs().restore(&second.local, NOW), Err(SrsTrouble::Forged));
        assert_eq!(Srs::new(b"first").restore(&first.local, NOW), Ok(address("ada@far.example")));
        // Another forwarder's separator is kept.
        let plus = srs().rewrite(&address("SRS0+abcd=ef=far.example=ada@one.example"), &ours(), NOW).unwrap();
        assert_eq!(srs().restore(&plus.local, NOW), Ok(address("SRS0+abcd=ef=far.example=ada@one.example")));
    }

    #[test]
    fn what_was_not_made_here_stands_for_nobody() {
        let made = srs().rewrite(&address("ada@far.example"), &ours(), NOW).unwrap().local;
        for forged in [
            "SRS0=AAAAAA=AA=far.example=ada".to_owned(),
            "SRS0".to_owned(),
            "SRS0=".to_owned(),
            "SRS0====".to_owned(),
            "SRS1=x=y".to_owned(),
            "SRS1=AAAAAA=one.example==AAAA=AA=far.example=ada".to_owned(),
            made.replace("ada", "eve"),
            made.replace("far", "fat"),
            made.get(..made.len() - 1).unwrap_or_default().to_owned(),
        ] {
            assert_eq!(srs().restore(&forged, NOW), Err(SrsTrouble::Forged), "{forged}");
        }
        assert_eq!(Srs::new(b"another key").restore(&made, NOW), Err(SrsTrouble::Forged));
        assert!(!is_rewritten("srs") && !is_rewritten("srs0x=y") && !is_rewritten("SRS2=a") && is_rewritten("srs0=x"));
    }

    #[test]
    fn what_would_be_too_long_is_not_made() {
        let long = Address { local: "l".repeat(LOCAL_PART_BYTES_MAX - 10), domain: Domain::new("far.example") };
        assert_eq!(srs().rewrite(&long, &ours(), NOW), None);
    }

    proptest! {
        #[test]
        fn every_sender_comes_back_in_any_case(local in "[!-~]{1,40}", domain in "[a-z0-9]{1,9}(\\.[a-z]{1,9}){0,3}", day in 0..9000i64) {
            prop_assume!(!is_rewritten(&local));
            let sender = Address { local, domain: Domain::new(&domain) };
            let made = srs().rewrite(&sender, &ours(), days_later(day)).expect("short enough");
            let back = |local: &str| srs().restore(local, days_later(day + 3));
            prop_assert_eq!(back(&made.local), Ok(sender.clone()));
            for folded in [made.local.to_ascii_lowercase(), made.local.to_ascii_uppercase()] {
                prop_assert!(back(&folded).is_ok_and(|restored| restored.same_as(&sender)), "{}", folded);
            }
        }

        #[test]
        fn no_changed_letter_is_passed_over(at in 0..200usize, letter in "[!-~]") {
            let made = srs().rewrite(&address("ada.lovelace@mail.far.example"), &ours(), NOW).expect("short enough").local;
            let mut changed: Vec<char> = made.chars().collect();
            let at = at % changed.len();
            changed[at] = letter.chars().next().expect("one");
            let changed: String = changed.into_iter().collect();
            // The separator behind the tag is free (=, - or +), all else counts.
            prop_assume!(!changed.eq_ignore_ascii_case(&made) && at != 4);
            prop_assert!(srs().restore(&changed, NOW).is_err(), "{}", changed);
        }

        #[test]
        fn any_text_is_survived(local in "\\PC{0,60}") {
            let _ = srs().restore(&format!("SRS0={local}"), NOW);
            let _ = srs().restore(&format!("SRS1={local}"), NOW);
            let sender = Address { local: format!("SRS1={local}"), domain: Domain::new("far.example") };
            let _ = srs().rewrite(&sender, &ours(), NOW);
        }
    }
}
