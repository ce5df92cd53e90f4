//! Settings before a file is read: nothing is in them yet.

use crate::node::directory::Directory;
use crate::node::settings::{Listen, Relay, Settings};
use crate::node::smarthosts::SmarthostTable;
use crate::wire::address::Domain;
use log::LevelFilter;
use std::path::PathBuf;
use std::time::Duration;

impl Settings {
    /// Nothing yet: the start of reading a file. Not a valid configuration.
    pub(super) fn blank() -> Settings {
        Settings {
            hostname: Domain::new(""),
            addresses: Vec::new(),
            domains: Vec::new(),
            tag_separators: String::new(),
            tag_mailboxes: false,
            block_senders: Vec::new(),
            user: String::new(),
            group: String::new(),
            sent_copy: false,
            undo_send: Duration::ZERO,
            submission_shows_client: false,
            plaintext_login_on_loopback: false,
            mdns_name: None,
            watchdog: PathBuf::new(),
            channel_binding: false,
            owner_login: false,
            log_level: LevelFilter::Info,
            dns_server: None,
            dnssec: false,
            trust_anchor_file: PathBuf::new(),
            listen: Listen::default(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            dkim_keys: Vec::new(),
            message_bytes_max: 0,
            sessions: 0,
            sessions_per_peer: 0,
            imap_keepalive: Duration::ZERO,
            relay: Relay {
                server: SmarthostTable::new("").server,
                route: None,
                hello: None,
                source_address: Vec::new(),
                private_targets: false,
                tls_reports: false,
                retry_after: Vec::new(),
                give_up_after: Duration::ZERO,
                delay_notice_after: Duration::ZERO,
            },
            checkpoint_after: Duration::ZERO,
            cache_bytes: 0,
            journal_bytes: 0,
            smarthosts: Vec::new(),
            directory: Directory::default(),
        }
    }
}
