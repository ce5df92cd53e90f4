//! The keys that sign outgoing mail (DKIM): made, found and listed. `hauspost dkim`.
//!
//! A key lies in the data folder as `dkim-NAME.pem` (PKCS#8, for its owner's eyes only); NAME is its selector. Those that the
//! configuration names sign; others there are published and wait, for their turn or for the day they are deleted. Nothing here
//! signs: see [`crate::mail::dkim`].

use crate::mail::dkim::{Algorithm, Key};
use crate::net::Net;
use crate::net::tls::pem_block;
use crate::node::command::{Dkim, print};
use crate::node::configuration::read_file;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::{Folder, write_new_file};
use crate::node::settings::Settings;
use crate::node::site::read_signing_key;
use crate::order;
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// The keys that `init` makes.
pub const FIRST_KEYS: [(&str, Algorithm); 2] = [("rsa1", Algorithm::Rsa), ("ed1", Algorithm::Ed25519)];
/// RFC 8301 section 3.2: all verifiers take 2048 bits, and not all take more.
const RSA_BITS: usize = 2048;
/// The beginning of an Ed25519 key in PKCS#8 (RFC 8410 section 7), before its 32 bytes.
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// `hauspost dkim`: makes a key, or lists those that are there.
pub fn run(arguments: &Dkim) -> Result<(), Failure> {
    let folder = super::production::existing_folder(&arguments.data)?;
    let file = arguments.config.clone().unwrap_or_else(|| folder.configuration());
    let settings = read_file(&file)?;
    let base = file.parent().unwrap_or(Path::new("")).to_path_buf();
    match &arguments.new {
        None => print(&list(&settings, &base)?),
        Some(selector) => {
            let net = Net::system(None).map_err(|e| Failure::new(Exit::System, format!("the network: {e}")))?;
            let key = make_key(&folder, selector, arguments.kind.unwrap_or(Algorithm::Rsa), &net)?;
            print(&tell(&folder, &settings, &key))
        }
    }
}

/// Makes a key in the folder. Overwrites nothing.
pub fn make_key(folder: &Folder, selector: &str, algorithm: Algorithm, net: &Net) -> Result<Key, Failure> {
    let failed = |why: String| Failure::new(Exit::System, format!("cannot make a key: {why}"));
    let seed = net.random::<32>().map_err(|e| failed(e.to_string()))?;
    let der = match algorithm {
        Algorithm::Ed25519 => [&ED25519_PKCS8[..], &seed].concat(),
        Algorithm::Rsa => {
            let made = RsaPrivateKey::new(&mut Stretched::new(&seed), RSA_BITS).map_err(|e| failed(e.to_string()))?;
            made.to_pkcs8_der().map_err(|e| failed(e.to_string()))?.as_bytes().to_vec()
        }
    };
    let pem = pem_block("PRIVATE KEY", &der);
    let key = Key::from_pem(selector, pem.as_bytes()).map_err(|why| Failure::new(Exit::Usage, why))?;
    let path = folder.signing_key(selector);
    write_new_file(&path, pem.as_bytes(), 0o600)?;
    // Root may make it for the user who serves the folder.
    let cannot = |e: std::io::Error| failed(format!("{}: {e}", path.display()));
    let of_folder = std::fs::metadata(&folder.0).map_err(cannot)?;
    if of_folder.uid() != std::fs::metadata(&path).map_err(cannot)?.uid() {
        lchown(&path, Some(of_folder.uid()), Some(of_folder.gid())).map_err(cannot)?;
    }
    Ok(key)
}

/// The files of keys in a folder, by name.
pub fn find_keys(base: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |e: std::io::Error| Failure::new(Exit::Configuration, format!("cannot read {}: {e}", base.display()));
    let folder = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("dkim-") && name.ends_with(".pem")) {
            found.push(PathBuf::from(name));
        }
    }
    order::sort(&mut found);
    Ok(found)
}

/// The keys that are there and do not sign: the next, or the last.
pub fn read_waiting_keys(settings: &Settings, base: &Path) -> Result<Vec<Key>, Failure> {
    let signing: Vec<PathBuf> = settings.dkim_keys.iter().map(|name| base.join(name)).collect();
    let waiting = find_keys(base)?.into_iter().map(|name| base.join(name)).filter(|path| !signing.contains(path));
    waiting.map(|path| read_signing_key(&path)).collect()
}

/// Their names as the configuration has them.
pub fn as_setting<'a>(selectors: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = selectors.map(|selector| format!("\"dkim-{selector}.pem\"")).collect();
    format!("[{}]", names.join(", "))
}

fn list(settings: &Settings, base: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for name in &settings.dkim_keys {
        let key = read_signing_key(&base.join(name))?;
        let _ = writeln!(text, "signs    {:<8} {:<16} {}", key.algorithm().name(), key.selector(), name.display());
    }
    for key in read_waiting_keys(settings, base)? {
        let (kind, selector) = (key.algorithm().name(), key.selector());
        let _ = writeln!(text, "waits    {kind:<8} {selector:<16} dkim-{selector}.pem");
    }
    if text.is_empty() {
        text.push_str("There are no keys: your mail is not signed. `hauspost dkim --new NAME` makes one.\n");
    }
    Ok(text)
}

fn tell(folder: &Folder, settings: &Settings, key: &Key) -> String {
    let selector = key.selector();
    let names = settings.dkim_keys.iter().map(|name| format!("\"{}\"", name.display()));
    let names: Vec<String> = names.chain([format!("\"dkim-{selector}.pem\"")]).collect();
    let mut text = format!("{} is made.\n\nWhat is left to do:\n", folder.signing_key(selector).display());
    text.push_str("  1. Put this into DNS (`hauspost dns` prints it for a zone file):\n");
    for domain in settings.local_domains() {
        let _ = writeln!(text, "     {selector}._domainkey.{domain}  TXT\n     {}", key.record());
    }
    let _ = write!(
        text,
        "  2. When `hauspost dns --check` says that it is there, sign with it: in the configuration, under [dkim],
     keys = [{}]
     and let the running node read it again (SIGHUP).
",
        names.join(", ")
    );
    if !settings.dkim_keys.is_empty() {
        let sentence =
            "If it follows another key, take that one out of keys. Its record and its file may go a week later.";
        let _ = writeln!(text, "  3. {sentence}");
    }
    text
}

/// Random bytes without an end from 32 of the system: the search for primes cannot be told that there are no more. SHA-256 of
/// the 32 and a counter is as hard to guess as they are.
struct Stretched {
    seed: ring::digest::Context,
    counter: u64,
}

impl Stretched {
    fn new(seed: &[u8; 32]) -> Stretched {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(seed);
        Stretched { seed: context, counter: 0 }
    }
}

impl RngCore for Stretched {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(ring::digest::SHA256_OUTPUT_LEN) {
            let mut next = self.seed.clone();
            next.update(&self.counter.to_le_bytes());
            self.counter += 1;
            piece.iter_mut().zip(next.finish().as_ref()).for_each(|(to, from)| *to = *from);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Stretched {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;
    use crate::node::configuration::parse;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_found_and_never_overwritten() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::take(&temporary.path().join("data")).unwrap();
        let net = Twin::new(7).net();
        for (selector, algorithm) in FIRST_KEYS {
            let key = make_key(&folder, selector, algorithm, &net).unwrap();
            assert_eq!((key.selector(), key.algorithm()), (selector, algorithm));
            let mode = std::fs::metadata(folder.signing_key(selector)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let read = read_signing_key(&folder.signing_key(selector)).unwrap();
            assert_eq!((read.selector(), read.record()), (selector, key.record()));
        }
        let again = make_key(&folder, "ed1", Algorithm::Ed25519, &net).unwrap_err();
        assert_eq!(again.exit, Exit::CannotCreate);
        let nameless = make_key(&folder, "../ed2", Algorithm::Ed25519, &net).unwrap_err();
        assert_eq!(nameless.exit, Exit::Usage);
        assert_eq!(find_keys(&folder.0).unwrap(), [PathBuf::from("dkim-ed1.pem"), PathBuf::from("dkim-rsa1.pem")]);
    }

    #[test]
    fn those_that_sign_and_those_that_wait() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::take(&temporary.path().join("data")).unwrap();
        let net = Twin::new(7).net();
        for selector in ["one", "two"] {
            make_key(&folder, selector, Algorithm::Ed25519, &net).unwrap();
        }
        let text = "hostname = \"mail.home.example\"\naddresses = [\"me@home.example\"]\n";
        let none = parse("file", text).unwrap();
        assert_eq!(read_waiting_keys(&none, &folder.0).unwrap().len(), 2);
        let keys = as_setting(["two"].into_iter());
        let settings = parse("file", &format!("{text}dkim.keys = {keys}\n")).unwrap();
        let listed = list(&settings, &folder.0).unwrap();
        assert!(listed.starts_with("signs    ed25519  two ") && listed.contains("waits    ed25519  one "), "{listed}");
        let text = format!("{text}dkim.keys = [\"dkim-three.pem\"]\n");
        let wrong = list(&parse("file", &text).unwrap(), &folder.0).unwrap_err();
        assert!(
            wrong.sentence.contains("dkim.keys") && wrong.sentence.contains("dkim-three.pem"),
            "{}",
            wrong.sentence
        );
    }
}
