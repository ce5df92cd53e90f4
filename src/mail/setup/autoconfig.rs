//! Mozilla's autoconfig: `config-v1.1.xml`.
//!
//! After Mozilla's definition of the file format (wiki.mozilla.org, Thunderbird:Autoconfiguration:ConfigFileFormat) and what its readers
//! want of it: Thunderbird's `readFromXML`, the parser of Thunderbird for Android, FairEmail. All of them take the first server of a kind
//! that they can use; the first two refuse a file without an `id` that is a host name, without a domain, and without a server for each way.

use super::document::Document;
use super::{Security, Server, Servers};
use crate::wire::address::Domain;

/// The media type: Thunderbird reads XML of any type, and the definition asks for this one.
pub const MEDIA_TYPE: &str = "text/xml; charset=utf-8";

/// Stands for the address that the reader has been given.
const THE_ADDRESS: &str = "%EMAILADDRESS%";

/// The file for a domain. `login`: for whoever asks for themselves; without one programs put in the address that they were given, so that
/// the file tells nobody anything that they do not know.
///
/// `None`: the services do not make an account.
pub fn encode(domain: &Domain, servers: &Servers, login: Option<&str>) -> Option<String> {
    if !servers.make_an_account() {
        return None;
    }
    let login = login.unwrap_or(THE_ADDRESS);
    let mut document = Document::new("");
    document.element("clientConfig", &[("version", "1.1")], |document| {
        document.element("emailProvider", &[("id", domain.as_str())], |document| {
            document.leaf("domain", domain.as_str());
            document.leaf("displayName", domain.as_str());
            document.leaf("displayShortName", domain.as_str());
            for (element, kind, server) in [
                ("incomingServer", "imap", &servers.imap),
                ("incomingServer", "pop3", &servers.pop3),
                ("outgoingServer", "smtp", &servers.submission),
            ] {
                if let Some(server) = server {
                    encode_server(document, (element, kind), server, login);
                }
            }
        });
    });
    Some(document.finish())
}

fn encode_server(document: &mut Document, (element, kind): (&str, &str), server: &Server, login: &str) {
    document.element(element, &[("type", kind)], |document| {
        document.leaf("hostname", server.host.as_str());
        document.leaf("port", &server.port.to_string());
        document.leaf(
            "socketType",
            match server.security {
                Security::Implicit => "SSL",
                Security::StartTls => "STARTTLS",
            },
        );
        // "Encrypted" means CRAM-MD5 or DIGEST-MD5 there: neither is spoken here, and TLS hides the password.
        document.leaf("authentication", "password-cleartext");
        document.leaf("username", login);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::setup::tests::account;

    #[test]
    fn the_file_has_what_its_readers_want() {
        let servers = account().servers;
        let domain = Domain::new("home.test");
        let text = encode(&domain, &servers, None).unwrap();
        let wanted = r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="home.test">
    <domain>home.test</domain>
    <displayName>home.test</displayName>
    <displayShortName>home.test</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.home.test</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>mail.home.test</hostname>
      <port>110</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.home.test</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"#;
        assert_eq!(text, wanted);
        let own = encode(&domain, &Servers { pop3: None, ..servers.clone() }, Some("me+phone@home.test")).unwrap();
        assert!(!own.contains("pop3") && !own.contains('%') && own.matches("me+phone@home.test").count() == 2);
        assert_eq!(encode(&domain, &Servers { submission: None, ..servers }, None), None);
    }
}
