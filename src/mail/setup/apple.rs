//! A configuration profile for iPhones, iPads and Macs: an account, and the authority that vouches for the server.
//!
//! After Apple's reference (Device Management, "Configuring Multiple Devices Using Profiles": TopLevel, CertificateRoot, Mail). A profile
//! is an XML property list; [`crate::net::tls::ServerTls::sign`] signs it.
//!
//! What always holds: profiles of one node for one device have the same identifiers, so that a later one takes the place of an earlier.
//! A profile can be removed by whoever has installed it, and asks before it is installed. With a password in it, it is a secret.

use super::document::Document;
use super::{Account, Server};
use crate::wire::address::Domain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

/// The media type, which makes these devices offer to install it.
pub const MEDIA_TYPE: &str = "application/x-apple-aspen-config";

/// How the names of its files end.
pub const FILE_EXTENSION: &str = "mobileconfig";

const DOCTYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                       \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";

/// The language of names and descriptions. The text that is agreed to is there in all of them, and the device chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English
    #[default]
    English,
    /// German
    German,
}

/// What a profile is made from.
pub struct Profile<'a> {
    /// The node.
    pub hostname: &'a Domain,
    /// The device, as its owner calls it; without regard to case, as everywhere.
    pub device: &'a str,
    /// What it is to use.
    pub account: &'a Account,
    /// Put in, so that nobody is asked for it; Apple's devices ask when it is missing.
    pub password: Option<&'a str>,
    /// Certificates in DER that are to be trusted as authorities; none where the world's vouch for the server.
    pub authorities: &'a [Vec<u8>],
    /// Of names and descriptions.
    pub language: Language,
}

impl Profile<'_> {
    /// The property list. `None`: its services do not make an account.
    pub fn encode(&self) -> Option<String> {
        let servers = &self.account.servers;
        let incoming = servers.imap.as_ref().map(|server| ("EmailTypeIMAP", server));
        let incoming = incoming.or(servers.pop3.as_ref().map(|server| ("EmailTypePOP", server)))?;
        let outgoing = servers.submission.as_ref()?;
        let mut document = Document::new(DOCTYPE);
        document.element("plist", &[("version", "1.0")], |document| {
            document.element("dict", &[], |document| {
                self.encode_common(document, ("Configuration", ""), &self.account_name(), &self.description());
                text(document, "PayloadOrganization", self.hostname.as_str());
                document.leaf("key", "PayloadRemovalDisallowed");
                document.leaf("false", "");
                // Macs: for the person, not for the machine.
                text(document, "PayloadScope", "User");
                document.leaf("key", "ConsentText");
                document.element("dict", &[], |document| {
                    text(document, "default", &self.consent(Language::English));
                    text(document, "en", &self.consent(Language::English));
                    text(document, "de", &self.consent(Language::German));
                });
                document.leaf("key", "PayloadContent");
                document.element("array", &[], |document| {
                    for authority in self.authorities {
                        document.element("dict", &[], |document| self.encode_authority(document, authority));
                    }
                    document.element("dict", &[], |document| self.encode_mail(document, incoming, outgoing));
                });
            });
        });
        Some(document.finish())
    }

    /// What every payload has. `part`: its type, and which one of that type it is.
    fn encode_common(&self, document: &mut Document, part: (&str, &str), name: &str, description: &str) {
        let (kind, which) = part;
        let backwards: Vec<&str> = self.hostname.as_str().rsplit('.').collect();
        let mut identifier = format!("{}.hauspost.{}", backwards.join("."), self.device.to_lowercase());
        for more in [kind.rsplit('.').next().filter(|_| kind != "Configuration"), Some(which)].into_iter().flatten() {
            if !more.is_empty() {
                identifier.push('.');
                identifier.push_str(more);
            }
        }
        text(document, "PayloadType", kind);
        number(document, "PayloadVersion", 1);
        text(document, "PayloadUUID", &uuid(&identifier));
        text(document, "PayloadIdentifier", &identifier);
        text(document, "PayloadDisplayName", name);
        text(document, "PayloadDescription", description);
    }

    /// `com.apple.security.root`
    fn encode_authority(&self, document: &mut Document, authority: &[u8]) {
        let hash = digest::digest(&digest::SHA256, authority);
        let which: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let host = self.hostname;
        let (name, description) = match self.language {
            Language::English => {
                (format!("Certificate of {host}"), format!("Vouches for {host} and its domains alone."))
            }
            Language::German => {
                (format!("Zertifikat von {host}"), format!("Bürgt für {host} und dessen Domains, für niemanden sonst."))
            }
        };
        self.encode_common(document, ("com.apple.security.root", &which), &name, &description);
        text(document, "PayloadCertificateFileName", &format!("{host}.cer"));
        document.leaf("key", "PayloadContent");
        document.leaf("data", &STANDARD.encode(authority));
    }

    /// `com.apple.mail.managed`
    fn encode_mail(&self, document: &mut Document, (kind, incoming): (&str, &Server), outgoing: &Server) {
        let account = self.account;
        let address = account.address.to_string();
        self.encode_common(document, ("com.apple.mail.managed", ""), &self.account_name(), &self.description());
        text(document, "EmailAccountDescription", &address);
        if !account.name.is_empty() {
            text(document, "EmailAccountName", &account.name);
        }
        text(document, "EmailAccountType", kind);
        text(document, "EmailAddress", &address);
        for (way, server) in [("Incoming", incoming), ("Outgoing", outgoing)] {
            let key = |what: &str| format!("{way}MailServer{what}");
            text(document, &key("Authentication"), "EmailAuthPassword");
            text(document, &key("HostName"), server.host.as_str());
            number(document, &key("PortNumber"), server.port);
            text(document, &key("Username"), &account.login);
            // Whether TLS begins with the first byte or by a command these devices find out from the port.
            document.leaf("key", &key("UseSSL"));
            document.leaf("true", "");
        }
        if let Some(password) = self.password {
            text(document, "IncomingPassword", password);
        }
        document.leaf("key", "OutgoingPasswordSameAsIncomingPassword");
        document.leaf("true", "");
    }

    fn account_name(&self) -> String {
        match self.language {
            Language::English => format!("Mail for {}", self.account.address),
            Language::German => format!("E-Mail für {}", self.account.address),
        }
    }

    fn description(&self) -> String {
        let (address, host) = (&self.account.address, self.hostname);
        match self.language {
            Language::English => format!("Sets up {address} at {host} on this device."),
            Language::German => format!("Richtet {address} bei {host} auf diesem Gerät ein."),
        }
    }

    fn consent(&self, language: Language) -> String {
        let (address, host) = (&self.account.address, self.hostname);
        let trusts = !self.authorities.is_empty();
        match language {
            Language::English => {
                let trust = format!(" It also makes this device know the certificate of {host}.");
                format!(
                    "This profile sets up mail for {address} at your own server {host}.{} It changes nothing else, and can be \
                     removed at any time in Settings; the account goes with it. Install it only if you have made it yourself or \
                     have it from the owner of {host}.",
                    if trusts { trust.as_str() } else { "" }
                )
            }
            Language::German => {
                let trust = format!(" Es macht diesem Gerät außerdem das Zertifikat von {host} bekannt.");
                format!(
                    "Dieses Profil richtet E-Mail für {address} bei deinem eigenen Server {host} ein.{} Es ändert sonst nichts und \
                     kann jederzeit in den Einstellungen entfernt werden; das Konto geht dann mit. Installiere es nur, wenn du es \
                     selbst erzeugt oder vom Eigentümer von {host} bekommen hast.",
                    if trusts { trust.as_str() } else { "" }
                )
            }
        }
    }
}

fn text(document: &mut Document, key: &str, value: &str) {
    document.leaf("key", key);
    document.leaf("string", value);
}

fn number(document: &mut Document, key: &str, value: u16) {
    document.leaf("key", key);
    document.leaf("integer", &value.to_string());
}

/// Always the same for the same name (RFC 9562 section 5.8, version 8: made from a hash).
fn uuid(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("hauspost profile {name}").as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(hash.as_ref().split_at(16).0);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let parts = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    parts.map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::setup::Servers;
    use crate::mail::setup::tests::account;

    fn encode(device: &str, password: Option<&str>, account: &Account, language: Language) -> Option<String> {
        let hostname = Domain::new("mail.home.test");
        let authorities = [b"authority".to_vec()];
        Profile { hostname: &hostname, device, account, password, authorities: &authorities, language }.encode()
    }

    /// The values that stand under a key, with their elements.
    fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
        let key = format!("<key>{key}</key>");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.windows(2).filter(|pair| pair[0] == key).map(|pair| pair[1]).collect()
    }

    #[test]
    fn a_later_profile_takes_the_place_of_an_earlier() {
        let one = encode("Phone", Some("secret & <co>"), &account(), Language::English).unwrap();
        let two = encode("phone", None, &account(), Language::German).unwrap();
        let other = encode("tablet", None, &account(), Language::English).unwrap();
        for key in ["PayloadUUID", "PayloadIdentifier"] {
            let found = values(&one, key);
            assert_eq!((found.len(), &found), (3, &values(&two, key)));
            assert!(found.iter().zip(values(&other, key)).all(|(one, other)| *one != other));
        }
        let identifiers = values(&one, "PayloadIdentifier");
        assert_eq!(identifiers[0], "<string>test.home.mail.hauspost.phone</string>");
        assert!(identifiers[1].starts_with("<string>test.home.mail.hauspost.phone.root."), "{identifiers:?}");
        assert_eq!(identifiers[2], "<string>test.home.mail.hauspost.phone.managed</string>");
        assert_eq!(values(&one, "IncomingPassword"), ["<string>secret &amp; &lt;co&gt;</string>"]);
        assert!(values(&two, "IncomingPassword").is_empty());
        assert_eq!(values(&two, "PayloadDisplayName")[0], "<string>E-Mail für me@home.test</string>");
    }

    #[test]
    fn it_needs_both_ways() {
        let with = |servers| encode("phone", None, &Account { servers, ..account() }, Language::English);
        let all = account().servers;
        let collects = with(Servers { imap: None, ..all.clone() }).unwrap();
        assert_eq!(values(&collects, "EmailAccountType"), ["<string>EmailTypePOP</string>"]);
        assert_eq!(values(&collects, "IncomingMailServerPortNumber"), ["<integer>110</integer>"]);
        assert!(with(Servers { submission: None, ..all }).is_none());
    }

    #[test]
    fn ids_look_like_ids() {
        let id = uuid("a");
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'8'));
        assert!(b"89AB".contains(&id.as_bytes()[19]), "{id}");
    }
}
