//! The kinds of listeners, and the ports by which the world knows them.

use crate::serve::Service;

/// One kind of listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its key in `listen`, and its name in socket activation.
    pub name: &'static str,
    /// What it speaks.
    pub service: Service,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// Its number in the world.
    pub number: u16,
    /// A node does its work without it, when another program has it or the system does not allow it.
    pub is_optional: bool,
}

/// All kinds of listeners.
pub const PORTS: [Port; 8] = [
    Port { name: "mx", service: Service::Mx, implicit_tls: false, number: 25, is_optional: false },
    Port { name: "submission", service: Service::Submission, implicit_tls: false, number: 587, is_optional: false },
    Port { name: "submissions", service: Service::Submission, implicit_tls: true, number: 465, is_optional: false },
    Port { name: "imap", service: Service::Imap, implicit_tls: false, number: 143, is_optional: false },
    Port { name: "imaps", service: Service::Imap, implicit_tls: true, number: 993, is_optional: false },
    Port { name: "pop3", service: Service::Pop3, implicit_tls: false, number: 110, is_optional: false },
    Port { name: "pop3s", service: Service::Pop3, implicit_tls: true, number: 995, is_optional: false },
    Port { name: "https", service: Service::Web, implicit_tls: true, number: 443, is_optional: true },
];
