//! What a mail program has to know to use this server, in the words of each kind of program.
//!
//! Receives an account: an address, a login and the services there are; hands on documents for mail programs. Serves none of them.
//!
//! | file | whom it is for |
//! | --- | --- |
//! | [`autoconfig`] | Thunderbird, on Android too (K-9), FairEmail, Evolution, KMail: `config-v1.1.xml` |
//! | [`autodiscover`] | Outlook: what it posts, and what it is answered |
//! | [`apple`] | iPhones, iPads and Macs: a configuration profile, not yet signed |
//! | [`document`] | writes their XML |
//!
//! Only services with TLS are told: no program shall offer the password to a line that anybody can listen on.

pub mod apple;
pub mod autoconfig;
pub mod autodiscover;
mod document;

use crate::wire::address::{Address, Domain};

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// With the first byte, as RFC 8314 section 3 wants it.
    Implicit,
    /// By a command.
    StartTls,
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name; certificates are for it.
    pub host: Domain,
    /// Its port, not 0.
    pub port: u16,
    /// How TLS begins.
    pub security: Security,
}

/// The services that programs can reach; `None`: it is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// IMAP.
    pub imap: Option<Server>,
    /// POP3.
    pub pop3: Option<Server>,
    /// Submission of mail by SMTP.
    pub submission: Option<Server>,
}

impl Servers {
    /// Mail can be fetched and sent: the least that mail programs take for an account.
    pub fn make_an_account(&self) -> bool {
        self.submission.is_some() && (self.imap.is_some() || self.pop3.is_some())
    }
}

/// One account on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Mail is sent from it.
    pub address: Address,
    /// For logging in: an address of the owner's, or the device's own login.
    pub login: String,
    /// The owner's name, for the From field; empty: not known.
    pub name: String,
    /// Where it is served.
    pub servers: Servers,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account for the tests of the documents.
    pub fn account() -> Account {
        let server = |port, security| Some(Server { host: Domain::new("mail.home.test"), port, security });
        Account {
            address: "me@home.test".parse().unwrap(),
            login: "me+phone@home.test".into(),
            name: "Ada <&> Löw\u{1}".into(),
            servers: Servers {
                imap: server(993, Security::Implicit),
                pop3: server(110, Security::StartTls),
                submission: server(465, Security::Implicit),
            },
        }
    }

    #[test]
    fn an_account_fetches_and_sends() {
        let all = account().servers;
        assert!(all.make_an_account());
        assert!(Servers { imap: None, ..all.clone() }.make_an_account());
        assert!(!Servers { imap: None, pop3: None, ..all.clone() }.make_an_account());
        assert!(!Servers { submission: None, ..all }.make_an_account());
    }
}
