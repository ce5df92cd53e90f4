//! The node's own certificates over years, on a virtual clock: made once, renewed in time, followed by others, never surprising a device.

use hauspost::mail::setup::apple::{Language, Profile};
use hauspost::mail::setup::{Account, Security, Server, Servers};
use hauspost::net::tls::{self, Identity, SelfSigned, ServerTls};
use hauspost::net::twin::Twin;
use hauspost::net::{Net, Stream, VIRTUAL_START};
use hauspost::node::certificates::Certificates;
use hauspost::node::folder::Folder;
use hauspost::node::{configuration, site, supervise};
use hauspost::serve::Context;
use hauspost::serve::certificates::authority_to_trust;
use hauspost::store::{MemoryDisk, Options, Store};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use smol::block_on;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const WAIT: Duration = Duration::from_secs(10);
const OWNER: &str = "me@home.test";

struct Node {
    twin: Arc<Twin>,
    net: Net,
    disk: Arc<MemoryDisk>,
    folder: tempfile::TempDir,
    context: Context,
    certificates: Certificates,
}

impl Node {
    fn new() -> Node {
        Node::start(Twin::new(7), Arc::new(MemoryDisk::new()), tempfile::tempdir().unwrap(), "mail.home.test")
    }

    fn start(twin: Arc<Twin>, disk: Arc<MemoryDisk>, folder: tempfile::TempDir, hostname: &str) -> Node {
        let net = twin.net();
        let store = Store::open_on(disk.clone(), Options { reopen_after: Duration::ZERO, ..Options::new("") }).unwrap();
        let certificates = Certificates::new(&Folder(folder.path().to_owned()), Vec::new());
        let text = format!("hostname = \"{hostname}\"\naddresses = [\"{OWNER}\"]\ndomains = [\"home.test\"]\n");
        let settings = configuration::parse("test", &text).unwrap();
        let bare = site::make_site(&settings, folder.path(), &net).unwrap();
        let site = block_on(certificates.complete(&store, &net, bare)).unwrap();
        let context = supervise::make_context(store, net.clone(), site);
        Node { twin, net, disk, folder, context, certificates }
    }

    /// Ends, and starts again under this name.
    fn restart(self, hostname: &str) -> Node {
        let Node { twin, disk, folder, context, .. } = self;
        context.store.close().unwrap();
        Node::start(twin, disk, folder, hostname)
    }

    fn tls(&self) -> Arc<ServerTls> {
        self.context.site().tls.clone().unwrap()
    }

    /// Goes on by a day at a time, and looks after the certificates each day.
    fn pass(&self, days: u32) {
        for _ in 0..days {
            self.twin.hand().advance(DAY);
            block_on(self.certificates.look(&self.context));
        }
    }

    /// What devices can trust now.
    fn authority(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.pem")).unwrap()
    }

    /// A session of a device that trusts this.
    fn connect(&self, trusted: &[u8], host: &str) -> std::io::Result<(Stream, Stream)> {
        let client = tls::client_verified(Some(trusted), self.net.clock()).unwrap();
        let ends = [SocketAddr::from(([127, 0, 0, 1], 50000)), SocketAddr::from(([127, 0, 0, 1], 993))];
        let (near, far) = self.twin.pair(ends[0], ends[1]);
        let shaken = smol::future::zip(near.start_tls(client, host, WAIT), far.accept_tls(self.tls(), WAIT));
        let (near, far) = block_on(shaken);
        Ok((near?, far?))
    }

    fn is_trusted(&self, trusted: &[u8], host: &str) -> bool {
        self.connect(trusted, host).is_ok()
    }

    /// The owner brings a certificate for a name.
    fn bring(&self, name: &str) -> SelfSigned {
        let own = tls::self_signed(&[name.to_owned()], self.net.clock()).unwrap();
        let identity = Identity::from_pem(own.certificate_pem.as_bytes(), own.key_pem.as_bytes()).unwrap();
        block_on(hauspost::serve::certificates::bring(&self.context.store, identity)).unwrap();
        block_on(self.certificates.look(&self.context));
        own
    }

    /// The certificate that stands first in `tls.pem`.
    fn shown(&self) -> Vec<u8> {
        first_of(&std::fs::read(self.folder.path().join("tls.pem")).unwrap())
    }

    fn letters(&self) -> u32 {
        let inbox = hauspost::mail::message::INBOX;
        block_on(self.context.store.read(move |snapshot| snapshot.mailbox(inbox))).unwrap().unwrap().messages
    }
}

/// The first of the certificates in a file.
fn first_of(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    pem[..text.find(end).unwrap() + end.len()].to_vec()
}

#[test]
fn a_device_that_trusted_once_goes_on_for_years_and_sessions_stay_open() {
    let mut node = Node::new();
    let trusted = node.authority();
    let (mut near, mut far) = node.connect(&trusted, "mail.home.test").unwrap();
    let first = node.tls().facts();
    for _ in 0..8 {
        for _ in 0..6 {
            node.pass(60);
            assert!(node.is_trusted(&trusted, "mail.home.test"));
        }
        node = node.restart("mail.home.test");
    }
    assert!(node.is_trusted(&trusted, "localhost") && node.is_trusted(&trusted, "127.0.0.1"));
    assert_eq!(node.authority(), trusted);
    let last = node.tls().facts();
    assert!(last != first);
    // The record that vouches for the key in DNS stays true.
    assert_eq!(last[0].key_sha256, first[0].key_sha256);
    assert_eq!(node.letters(), 0);
    let mut got = [0; 4];
    block_on(async {
        far.write_all(b"late", WAIT).await.unwrap();
        near.read(&mut got, WAIT).await.unwrap();
    });
    assert_eq!(&got, b"late");
}

#[test]
fn the_authority_is_followed_by_another_that_old_devices_trust_too() {
    let node = Node::new();
    let old = node.authority();
    node.pass(2950);
    assert!(node.authority().len() > old.len() && node.authority().starts_with(&old), "it is not announced");
    assert_eq!(node.letters(), 1);
    let new = node.authority()[old.len()..].to_vec();
    // Those that know only the new one are served once it is in force.
    node.pass(90);
    assert_eq!(node.authority(), new);
    assert!(node.is_trusted(&new, "mail.home.test"));
    assert!(node.is_trusted(&old, "mail.home.test"), "an old device is turned away while its authority lives");
    node.pass(700);
    assert!(node.is_trusted(&new, "mail.home.test"));
    assert!(!node.is_trusted(&old, "mail.home.test"), "a dead authority is trusted");
    assert_eq!(node.letters(), 1);
}

#[test]
fn another_name_brings_another_authority() {
    let node = Node::new();
    let old = node.authority();
    // A name below its domains needs none.
    let node = node.restart("post.home.test");
    assert_eq!(node.authority(), old);
    assert!(node.is_trusted(&old, "post.home.test") && !node.is_trusted(&old, "mail.home.test"));
    // Another one does, and both are served meanwhile.
    let node = node.restart("mail.other.test");
    let both = node.authority();
    assert!(both.starts_with(&old) && both.len() > old.len());
    assert!(node.is_trusted(&both[old.len()..], "mail.other.test"));
    assert!(node.is_trusted(&old, "autoconfig.home.test"));
    node.pass(90);
    assert_eq!(node.authority(), &both[old.len()..]);
}

#[test]
fn a_board_whose_clock_was_never_set_serves_at_once_and_after_it_is() {
    let twin = Twin::new(7);
    twin.hand().set_wall(hauspost::wire::date::Timestamp(0));
    let node = Node::start(twin, Arc::new(MemoryDisk::new()), tempfile::tempdir().unwrap(), "mail.home.test");
    // A phone knows the time.
    node.twin.hand().set_wall(VIRTUAL_START.plus(DAY * 3));
    assert!(node.is_trusted(&node.authority(), "mail.home.test"));
    let years_later = VIRTUAL_START.plus(DAY * 1000);
    node.twin.hand().set_wall(years_later);
    assert!(!node.is_trusted(&node.authority(), "mail.home.test"));
    block_on(node.certificates.look(&node.context));
    assert!(node.is_trusted(&node.authority(), "mail.home.test"));
}

/// The certificate of another host was shown to clients that ask for no name, and published for TLSA records.
#[test]
fn what_the_owner_brings_for_another_name_is_shown_under_that_alone() {
    let node = Node::new();
    let (trusted, shown) = (node.authority(), node.shown());
    let other = node.bring("imap.home.test");
    assert!(node.is_trusted(other.certificate_pem.as_bytes(), "imap.home.test"));
    // A client that connects to an address asks for no name (RFC 6066 section 3).
    for host in ["mail.home.test", "127.0.0.1"] {
        assert!(node.is_trusted(&trusted, host), "{host}");
    }
    assert_eq!(node.shown(), shown);
    // The page that sets a device up gives it the authority, as long as the hostname's certificate needs it.
    let given = || block_on(authority_to_trust(&node.context.store, &node.context.site())).unwrap();
    assert!(given().is_some_and(|given| given.is_authority()));
    // Brought later, and last in order; the hostname's all the same.
    let own = node.bring("mail.home.test");
    assert!(given().is_none());
    assert_eq!(node.shown(), own.certificate_pem.replace("\r\n", "\n").into_bytes());
}

#[test]
fn what_the_owner_brings_is_shown_for_its_names_and_its_end_is_told() {
    let node = Node::new();
    let trusted = node.authority();
    let own = node.bring("mail.home.test");
    assert!(node.is_trusted(own.certificate_pem.as_bytes(), "mail.home.test"));
    assert!(node.is_trusted(&trusted, "autoconfig.home.test"));
    assert!(!node.is_trusted(&trusted, "mail.home.test"));
    assert_eq!(node.shown(), own.certificate_pem.replace("\r\n", "\n").into_bytes());
    node.pass(350);
    assert_eq!(node.letters(), 0);
    for (days, letters) in [(11, 1), (10, 1), (13, 2), (6, 3), (20, 3)] {
        node.pass(days);
        assert_eq!(node.letters(), letters, "after {days} more days");
    }
    assert!(!Path::new(&node.folder.path().join("cert.pem")).exists());
}

/// Says what a program prints; it has to succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_signed_profile_is_believed_by_whoever_trusts_the_authority() {
    let node = Node::new();
    let site = node.context.site();
    let path = |name: &str| node.folder.path().join(name).to_str().unwrap().to_owned();
    let ca = path("ca.pem");
    let server = |port| Some(Server { host: site.hostname.clone(), port, security: Security::Implicit });
    let account = Account {
        address: site.addresses[0].clone(),
        login: "me+phone@home.test".into(),
        name: "Jörg <& Söhne>".into(),
        servers: Servers { imap: server(993), pop3: None, submission: server(465) },
    };
    let authority = CertificateDer::from_pem_slice(&node.authority()).unwrap();
    let authorities = [authority.to_vec()];
    let profile = Profile {
        hostname: &site.hostname,
        device: "Phone",
        account: &account,
        password: Some("a]]>&\"b"),
        authorities: &authorities,
        language: Language::German,
    };
    let signed = node.tls().sign(profile.encode().unwrap().as_bytes(), &[authority]).unwrap();
    std::fs::write(path("signed"), &signed).unwrap();
    let verify = |file: &str, trusted: &str| {
        let out = path("plain");
        let arguments = ["cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", trusted, "-out", &out];
        // A server's certificate is for servers: openssl wants to be told that it may sign, Apple's devices do not ask.
        Command::new("openssl").args(arguments).args(["-purpose", "any"]).output().unwrap().status.success()
    };
    assert!(verify(&path("signed"), &ca));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profile.py");
    let password = run("python3", &[script, &path("plain"), OWNER, "me+phone@home.test", &ca]);
    assert_eq!(password, "a]]>&\"b\n");
    // Not by others, and not when somebody has changed it.
    let stranger = tls::self_signed(&["mail.home.test".to_owned()], node.net.clock()).unwrap();
    std::fs::write(path("other.pem"), stranger.certificate_pem).unwrap();
    assert!(!verify(&path("signed"), &path("other.pem")));
    let at = signed.windows(4).position(|four| four == b"S\xc3\xb6h").unwrap();
    let mut changed = signed;
    changed[at] = b'T';
    std::fs::write(path("changed"), &changed).unwrap();
    assert!(!verify(&path("changed"), &ca));
}
