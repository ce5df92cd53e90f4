//! `hauspost tls`: which certificates the node shows, and those that the owner brings.
//!
//! Receives the words of the command; hands on text. Who makes and keeps certificates is `serve::certificates`.

use crate::net::tls::{CertificateFacts, Identity, to_pem};
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{full, json, plain};
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::serve::certificates::{Origin, Reach, Standing, bring, fingerprint, forget, names_of, standing};
use crate::wire::address::Domain;
use std::fmt::Write;

/// Characters of a name in a certificate.
const NAME_CHARACTERS_SHOWN: usize = 253;

/// What the owner wants of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsOrder {
    /// All that are there.
    Show(Form),
    /// This one, as PEM texts: certificates and key.
    Import(String, String),
    /// What was brought under this name goes.
    Remove(String),
}

/// How they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// The authorities as PEM.
    Authorities,
}

impl TlsOrder {
    /// The words of the command, as they go over the control socket.
    pub fn to_words(&self) -> Vec<String> {
        let words = match self {
            TlsOrder::Show(Form::Text) => vec!["show"],
            TlsOrder::Show(Form::Json) => vec!["show", "json"],
            TlsOrder::Show(Form::Authorities) => vec!["show", "ca"],
            TlsOrder::Import(certificates, key) => vec!["import", certificates, key],
            TlsOrder::Remove(name) => vec!["remove", name],
        };
        std::iter::once("tls").chain(words).map(str::to_owned).collect()
    }

    /// Reads the words behind `tls`.
    pub fn from_words(words: &[&str]) -> Option<TlsOrder> {
        match words {
            ["show"] => Some(TlsOrder::Show(Form::Text)),
            ["show", "json"] => Some(TlsOrder::Show(Form::Json)),
            ["show", "ca"] => Some(TlsOrder::Show(Form::Authorities)),
            ["import", certificates, key] => Some(TlsOrder::Import((*certificates).to_owned(), (*key).to_owned())),
            ["remove", name] => Some(TlsOrder::Remove((*name).to_owned())),
            _ => None,
        }
    }
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    match TlsOrder::from_words(words) {
        Some(TlsOrder::Show(form)) => show(errand, form, answer).await,
        Some(TlsOrder::Import(certificates, key)) => import(errand, &certificates, &key, answer).await,
        Some(TlsOrder::Remove(name)) => remove(errand, &name, answer).await,
        None => Err(Failure::new(Exit::Usage, "the node that runs does not know this command: restart it")),
    }
}

async fn show(errand: &Errand, form: Form, answer: &mut Answer) -> Result<(), Failure> {
    let site = errand.context.site();
    let standing = standing(&errand.context.store, &site).await.map_err(|e| in_store(&e))?;
    match form {
        Form::Text if standing.is_empty() => {
            answer.say("There are no certificates yet: the server makes them when it starts.\n").await
        }
        Form::Text => {
            for one in &standing {
                answer.say(&describe(one, &site.hostname, errand.zone_minutes)).await?;
            }
            Ok(())
        }
        Form::Json => {
            let objects: Vec<String> = standing.iter().map(as_json).collect();
            answer.say(&format!("[{}]\n", objects.join(",\n "))).await
        }
        Form::Authorities => {
            for one in standing.iter().filter(|one| one.is_authority()) {
                answer.say(&to_pem(&one.certificate)).await?;
            }
            Ok(())
        }
    }
}

fn title(origin: &Origin) -> String {
    match origin {
        Origin::File => "Shown, from the files that the configuration names".to_owned(),
        Origin::Imported(name) => format!("Shown, brought in as {}", plain(name, NAME_CHARACTERS_SHOWN)),
        Origin::Own => "Shown, made by this server".to_owned(),
        Origin::OwnNext => "Shown for names that the authority in force may not vouch for".to_owned(),
        Origin::Authority => "Authority of this server: what devices trust (ca.pem)".to_owned(),
        Origin::AuthorityNext => "Authority that comes after it".to_owned(),
    }
}

fn describe(one: &Standing, hostname: &Domain, zone_minutes: i16) -> String {
    let CertificateFacts { names, subject, issuer, from, until, sha256, key_sha256, .. } = &one.facts;
    let mut text = format!("{}\n", title(&one.origin));
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "    {what:<11} {}", plain(value, 20 * NAME_CHARACTERS_SHOWN));
    };
    match names.is_empty() {
        true => line("subject", subject),
        false => line("names", &names.join(" ")),
    }
    if !one.is_authority() {
        line("issuer", issuer);
    }
    let renewed = if matches!(one.origin, Origin::Own | Origin::OwnNext) { ", renewed in time" } else { "" };
    line("valid", &format!("{} to {}{renewed}", full(*from, zone_minutes), full(*until, zone_minutes)));
    line("SHA-256", &fingerprint(sha256));
    line("key SHA-256", &fingerprint(key_sha256));
    if !one.is_authority() {
        line("TLSA", &format!("_25._tcp.{hostname}. IN TLSA 3 1 1 {}", hex(key_sha256)));
    }
    text.push('\n');
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn as_json(one: &Standing) -> String {
    let CertificateFacts { names, subject, issuer, from, until, sha256, key_sha256, .. } = &one.facts;
    let origin = match &one.origin {
        Origin::File => "file",
        Origin::Imported(_) => "imported",
        Origin::Own | Origin::OwnNext => "own",
        Origin::Authority => "authority",
        Origin::AuthorityNext => "next-authority",
    };
    let names: Vec<String> = names.iter().map(|name| json(name)).collect();
    format!(
        "{{\"origin\":\"{origin}\",\"names\":[{}],\"subject\":{},\"issuer\":{},\"from\":{},\"until\":{},\"sha256\":\"{}\",\"key_sha256\":\"{}\"}}",
        names.join(","),
        json(subject),
        json(issuer),
        json(&full(*from, 0)),
        json(&full(*until, 0)),
        hex(sha256),
        hex(key_sha256)
    )
}

async fn import(errand: &Errand, certificates: &str, key: &str, answer: &mut Answer) -> Result<(), Failure> {
    let wrong = |sentence: String| Failure::new(Exit::Configuration, sentence);
    let context = &errand.context;
    let site = context.site();
    if site.tls.is_some() && !site.keeps_certificates {
        return Err(wrong(
            "the configuration names files with a certificate: replace those, or remove them first".to_owned(),
        ));
    }
    let identity = Identity::from_pem(certificates.as_bytes(), key.as_bytes()).map_err(wrong)?;
    let hosts = names_of(&site, &Reach::default()).hosts;
    let identity = identity.checked(&hosts, context.net.clock().now()).map_err(wrong)?;
    let name = bring(&context.store, identity).await.map_err(|e| in_store(&e))?;
    refresh(errand).await;
    let when = if errand.running.is_some() { "from now on" } else { "when the server starts" };
    answer.say(&format!("{name}: the certificate is shown {when}.\n")).await
}

async fn remove(errand: &Errand, name: &str, answer: &mut Answer) -> Result<(), Failure> {
    if !forget(&errand.context.store, name).await.map_err(|e| in_store(&e))? {
        let sentence = format!("no certificate was brought in as {name:?}: `hauspost tls show` lists them");
        return Err(Failure::new(Exit::Findings, sentence));
    }
    refresh(errand).await;
    answer.say(&format!("{}: removed\n", plain(name, NAME_CHARACTERS_SHOWN))).await
}

/// A running node shows what there is now.
async fn refresh(errand: &Errand) {
    if let Some(running) = &errand.running {
        running.certificates.look(&errand.context).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_return() {
        let orders = [
            TlsOrder::Show(Form::Text),
            TlsOrder::Show(Form::Json),
            TlsOrder::Show(Form::Authorities),
            TlsOrder::Import("a\nb".into(), "c".into()),
            TlsOrder::Remove("mail.home.test".into()),
        ];
        for order in orders {
            let words = order.to_words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!((words[0], TlsOrder::from_words(&words[1..])), ("tls", Some(order)));
        }
        for words in [&[][..], &["fly"], &["import"], &["import", "a"], &["remove"], &["show", "x"]] {
            assert_eq!(TlsOrder::from_words(words), None, "{words:?}");
        }
    }
}
