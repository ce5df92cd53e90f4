//! Listening sockets: bound by us, or passed by the service manager.
//!
//! Everything here happens before rights are given up and before the store is opened, so a port in use costs nothing.

use crate::limits::{ACCEPT_BACKLOG, DESCRIPTORS_MAX, DESCRIPTORS_RESERVED};
use crate::node::failure::{Exit, Failure};
use crate::node::settings::{Listen, PORTS, Port};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// A socket that listens, and what it is for.
pub struct Bound {
    /// What it is for.
    pub port: Port,
    /// Where it is.
    pub address: SocketAddr,
    /// The socket, non-blocking.
    pub socket: TcpListener,
}

/// What a node listens on, and what it does without.
#[derive(Default)]
pub struct Sockets {
    /// At least one.
    pub bound: Vec<Bound>,
    /// Services that it can do without and could not get a port for: their names, and why.
    pub missing: Vec<(&'static str, String)>,
}

impl Sockets {
    /// Takes a socket, or says that it is not there.
    ///
    /// # Errors
    /// The failure, of a service that a node does not do without.
    pub fn take(&mut self, port: Port, outcome: Result<Bound, Failure>) -> Result<(), Failure> {
        match outcome {
            Ok(bound) => self.bound.push(bound),
            Err(failure) if port.is_optional => {
                log::warn!("event=not-listening service={} reason={:?}", port.name, failure.sentence);
                self.missing.push((port.name, failure.sentence));
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

/// Binds one socket. `[::]` takes IPv4 too unless `only_v6`.
pub fn bind(port: Port, address: SocketAddr, only_v6: bool) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // Connections of an earlier run that are still dying must not keep a new one from starting.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(ACCEPT_BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from(socket);
    Ok(Bound { port, address: socket.local_addr()?, socket })
}

/// Binds everything a configuration wants, except what was passed: a service with passed sockets uses only those.
pub fn bind_all(listen: &Listen, bound: Vec<Bound>) -> Result<Sockets, Failure> {
    let passed: Vec<&str> = bound.iter().map(|bound| bound.port.name).collect();
    let mut sockets = Sockets { bound, missing: Vec::new() };
    for (port, addresses) in listen.services() {
        if passed.contains(&port.name) {
            continue;
        }
        for &address in addresses {
            let any_v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            let only_v6 = address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) || addresses.contains(&any_v4);
            match bind(port, address, only_v6) {
                Err(e) if !only_v6 && is_without_family(&e) => {
                    log::info!("event=no-ipv6 listen={} instead={any_v4}", port.name);
                    sockets.take(port, bind(port, any_v4, false).map_err(|e| cannot_listen(port, any_v4, &e)))?;
                }
                outcome => sockets.take(port, outcome.map_err(|e| cannot_listen(port, address, &e)))?,
            }
        }
    }
    if sockets.bound.is_empty() {
        return Err(Failure::new(Exit::Configuration, "all lists in [listen] are empty: there is nothing to serve"));
    }
    Ok(sockets)
}

/// Whether an error says that the machine has no such address family or no such loopback address.
pub fn is_without_family(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| code == nix::errno::Errno::EAFNOSUPPORT as i32)
}

/// The sentence for a port that cannot be had.
pub fn cannot_listen(port: Port, address: SocketAddr, error: &io::Error) -> Failure {
    let (number, ip) = (address.port(), address.ip());
    match error.kind() {
        ErrorKind::AddrInUse => {
            Failure::new(Exit::InUse, format!("port {number} on {ip} (for {}) is in use by another program", port.name))
        }
        ErrorKind::PermissionDenied => Failure::new(
            Exit::System,
            format!(
                "no right to open port {number} on {ip} (for {}): start as root with `user` set, or with \
                 CAP_NET_BIND_SERVICE, or by a systemd socket",
                port.name
            ),
        ),
        _ => Failure::new(Exit::System, format!("cannot listen on port {number} of {ip} (for {}): {error}", port.name)),
    }
}

/// Sockets passed by the service manager (sd_listen_fds(3)): known by FileDescriptorName, else by their port number.
/// Call it once, before any thread starts: it takes the variables out of the environment.
pub fn take_passed() -> Result<Vec<Bound>, Failure> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = listenfd::ListenFd::from_env();
    let mut bound = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or("");
        let strange = |why: &str| Failure::new(Exit::Configuration, format!("passed socket {index} ({name:?}): {why}"));
        let socket = passed.take_tcp_listener(index).map_err(|e| strange(&e.to_string()))?;
        let socket = socket.ok_or_else(|| strange("is missing"))?;
        let address = socket.local_addr().map_err(|e| strange(&e.to_string()))?;
        let port = name_port(name, address.port()).ok_or_else(|| {
            strange("name it mx, submission, submissions, imap, imaps, pop3, pop3s or https (FileDescriptorName=)")
        })?;
        socket.set_nonblocking(true).map_err(|e| strange(&e.to_string()))?;
        bound.push(Bound { port, address, socket });
    }
    Ok(bound)
}

fn name_port(name: &str, number: u16) -> Option<Port> {
    PORTS.into_iter().find(|port| port.name == name).or_else(|| PORTS.into_iter().find(|port| port.number == number))
}

/// Raises the bound on file descriptors as far as is useful; answers how many sessions there may be at once.
pub fn sessions_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
    let wanted = hard.min(DESCRIPTORS_MAX).max(soft);
    let have = if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    // A system with very few leaves half of them to sessions.
    let sessions = have.min(DESCRIPTORS_MAX).saturating_sub(DESCRIPTORS_RESERVED.min(have / 2));
    usize::try_from(sessions).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(port: Port) -> Bound {
        bind(port, "127.0.0.1:0".parse().unwrap(), false).unwrap()
    }

    #[test]
    fn a_port_in_use_is_named() {
        let [mx, ..] = PORTS;
        let first = any(mx);
        let mut listen = Listen::default();
        listen.mx.push(first.address);
        let failure = bind_all(&listen, Vec::new()).err().unwrap();
        assert_eq!(failure.exit, Exit::InUse);
        let number = first.address.port();
        assert_eq!(failure.sentence, format!("port {number} on 127.0.0.1 (for mx) is in use by another program"));
    }

    #[test]
    fn a_node_does_without_the_pages() {
        let [mx, .., https] = PORTS;
        let taken = any(https);
        let mut listen = Listen::default();
        listen.https.push(taken.address);
        assert!(bind_all(&listen, Vec::new()).is_err(), "there is nothing else");
        listen.mx.push("127.0.0.1:0".parse().unwrap());
        let sockets = bind_all(&listen, Vec::new()).unwrap();
        assert_eq!(sockets.bound.iter().map(|bound| bound.port).collect::<Vec<_>>(), [mx]);
        assert!(matches!(sockets.missing.as_slice(), [("https", why)] if why.contains("in use by another program")));
    }

    #[test]
    fn passed_sockets_replace_the_list_of_their_service() {
        let [mx, submission, ..] = PORTS;
        let mut listen = Listen::default();
        listen.mx.push("192.0.2.1:1".parse().unwrap());
        let sockets = bind_all(&listen, vec![any(mx), any(submission)]).unwrap();
        assert_eq!(sockets.bound.iter().map(|bound| bound.port.name).collect::<Vec<_>>(), ["mx", "submission"]);
    }

    #[test]
    fn nothing_to_serve_is_refused() {
        assert_eq!(bind_all(&Listen::default(), Vec::new()).err().unwrap().exit, Exit::Configuration);
    }

    #[test]
    fn passed_sockets_are_known_by_name_or_number() {
        assert_eq!(name_port("imaps", 42).unwrap().name, "imaps");
        assert_eq!(name_port("hauspost.socket", 25).unwrap().name, "mx");
        assert_eq!(name_port("hauspost.socket", 42), None);
    }
}
