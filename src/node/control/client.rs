//! The command's side of the control socket, and what is done where no node runs.
//!
//! Receives a command's words; prints what comes of it. Never both at once: where no node answers, the store is locked
//! before anything is done, and where it is locked nothing is done.

use crate::limits::{CONTROL_ANSWER_SECONDS_MAX, CONTROL_PIECE_BYTES_MAX};
use crate::net::Net;
use crate::node::command::print;
use crate::node::configuration::read_file;
use crate::node::control::answer::Answer;
use crate::node::control::frame::{PIECE_HEAD_BYTES, Piece, Request};
use crate::node::control::socket::{connect, path_of};
use crate::node::control::wording::{harmless, own_zone};
use crate::node::control::{Errand, carry_out};
use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use crate::node::owner;
use crate::node::production::{existing_folder, open_store};
use crate::node::settings::Settings;
use crate::node::site::make_site;
use crate::node::{privilege, supervise, trial};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Looks for a node that has the store but does not answer yet: it may just be starting or ending.
const LOOKS: u32 = 10;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where the node of a command is.
#[derive(Clone, Copy, Debug)]
pub struct Whereabouts<'a> {
    /// Its data folder.
    pub data: &'a Path,
    /// Its configuration file when it is another one than `hauspost.toml` there; asked for only where no node runs.
    pub config: Option<&'a Path>,
}

/// Has a command carried out by the running node of a data folder, or on the store where none runs, and prints what it says.
pub fn run(at: Whereabouts<'_>, words: Vec<String>) -> Result<(), Failure> {
    run_and_keep(at, words).map(drop)
}

/// As [`run`]; returns what a running node has said too.
pub fn run_and_keep(at: Whereabouts<'_>, words: Vec<String>) -> Result<Zeroizing<String>, Failure> {
    let request = Request { zone_minutes: own_zone(), words };
    for look in 1..=LOOKS {
        if let Some(node) = find(at.data)? {
            return ask(node, &request);
        }
        if !is_locked(at.data) {
            return act_alone(at, &request).map(|()| Zeroizing::default());
        }
        if look < LOOKS {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    let socket = path_of(at.data);
    Err(Failure::new(
        Exit::Store,
        format!("another process uses {} and does not answer at {}", at.data.display(), socket.display()),
    ))
}

/// Has a command carried out by the running node of a data folder, and prints what it says. Where none runs, that is what is found.
pub fn ask_running(data: &Path, words: Vec<String>) -> Result<(), Failure> {
    let node = find(data)?;
    let node = node.ok_or_else(|| Failure::new(Exit::Findings, format!("no server runs in {}", data.display())))?;
    ask(node, &Request { zone_minutes: own_zone(), words }).map(drop)
}

/// A connection to the node of a folder; `None`: none runs there.
fn find(data: &Path) -> Result<Option<UnixStream>, Failure> {
    match connect(data) {
        Ok(node) => Ok(Some(node)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let sentence = format!(
                "{} is for the user that the node runs as, and for root: run this command as one of them",
                data.display()
            );
            Err(Failure::new(Exit::System, sentence))
        }
        Err(e) => Err(Failure::new(Exit::System, format!("cannot reach the node at {}: {e}", path_of(data).display()))),
    }
}

/// Whether somebody has the store open.
fn is_locked(data: &Path) -> bool {
    let lock = File::open(data.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn ask(mut node: UnixStream, request: &Request) -> Result<Zeroizing<String>, Failure> {
    let frame = request.encode().ok_or_else(|| Failure::new(Exit::Usage, "too many arguments for one command"))?;
    let wait = Some(Duration::from_secs(CONTROL_ANSWER_SECONDS_MAX));
    let sent =
        node.set_read_timeout(wait).and_then(|()| node.set_write_timeout(wait)).and_then(|()| node.write_all(&frame));
    // A node that had no place for us has said so without reading.
    let unsent = sent.err();
    let mut said = Zeroizing::new(String::new());
    loop {
        match read_piece(&mut node) {
            Ok(Piece::Text(text)) => {
                let text = harmless(&text);
                print(&text)?;
                // The end of a long list is enough for whoever keeps it.
                if said.len() > CONTROL_PIECE_BYTES_MAX {
                    said.clear();
                }
                said.push_str(&text);
            }
            Ok(Piece::Done) => return Ok(said),
            Ok(Piece::Failed(code, sentence)) => return Err(Failure::new(Exit::of(code), harmless(&sentence))),
            Err(e) => return Err(broken(&unsent.unwrap_or(e))),
        }
    }
}

fn read_piece(node: &mut impl Read) -> io::Result<Piece> {
    let strange = |why: &'static str| io::Error::new(ErrorKind::InvalidData, why);
    let mut head = [0; PIECE_HEAD_BYTES];
    node.read_exact(&mut head)?;
    let (letter, length) = Piece::length(head).map_err(strange)?;
    let mut bytes = vec![0; length.min(CONTROL_PIECE_BYTES_MAX)];
    node.read_exact(&mut bytes)?;
    Piece::decode(letter, &bytes).map_err(strange)
}

fn broken(error: &io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            "the node broke off before it had done everything: it may be ending".to_owned()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("the node has not answered for {CONTROL_ANSWER_SECONDS_MAX} seconds")
        }
        _ => format!("the node does not answer as it should: {error}"),
    };
    Failure::new(Exit::Store, why)
}

/// Carries out the command on the store, without a node.
fn act_alone(at: Whereabouts<'_>, request: &Request) -> Result<(), Failure> {
    let folder = existing_folder(at.data)?;
    if !folder.has_store() {
        let sentence = format!("there is no mail in {}: is it the data folder?", folder.0.display());
        return Err(Failure::new(Exit::Configuration, sentence));
    }
    let (settings, base, is_trial) = read_settings(&folder, at.config)?;
    // What is written must stay the node's, and a folder that others may write to is none for root's rights.
    privilege::become_owner_of(&folder)?;
    let net = Net::system(settings.dns_server).map_err(|e| Failure::new(Exit::System, format!("the network: {e}")))?;
    let site = make_site(&settings, &base, &net)?;
    let store = open_store(&settings, &folder)?;
    let errand = Errand {
        context: supervise::make_context(store.clone(), net, site),
        running: None,
        zone_minutes: request.zone_minutes,
    };
    let outcome = smol::block_on(async {
        if is_trial {
            check_trial(&errand, &folder).await?;
        }
        let mut answer = Answer::to_stdout();
        let outcome = carry_out(&errand, request, &mut answer).await;
        answer.end(outcome).await
    });
    drop(errand);
    outcome.and(store.close().map_err(|e| owner::in_store(&e)))
}

/// The configuration, the folder that its file names start at, and whether they are those of `try`.
fn read_settings(folder: &Folder, config: Option<&Path>) -> Result<(Settings, PathBuf, bool), Failure> {
    let file = match config {
        Some(path) => std::path::absolute(path)
            .map_err(|e| Failure::new(Exit::Configuration, format!("{}: {e}", path.display())))?,
        None if folder.configuration().exists() => folder.configuration(),
        None => return Ok((trial::settings()?, folder.0.clone(), true)),
    };
    let base = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    Ok((read_file(&file)?, base, false))
}

/// A folder without a configuration is one of `try`, unless its configuration is elsewhere: then it must be said where.
async fn check_trial(errand: &Errand, folder: &Folder) -> Result<(), Failure> {
    let login = errand.context.site().login.clone();
    let known = errand.context.store.read(move |snapshot| snapshot.credential(&login)).await;
    if known.map_err(|e| owner::in_store(&e))?.is_some() {
        return Ok(());
    }
    let sentence = format!("{} has no hauspost.toml: say with --config where it is", folder.0.display());
    Err(Failure::new(Exit::Configuration, sentence))
}
