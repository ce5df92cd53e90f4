//! What 10,000 messages as people get them take on the disk.

use crate::mail::deliver;
use crate::place::Place;
use crate::table::{Goal, figure, head};
use hauspost::store::{Options, Store};
use smol::future::block_on;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const MESSAGES: usize = 10_000;
const MIB: f64 = 1048576.0;

pub fn run(place: &Place) {
    head(&format!("{MESSAGES} messages as people get them (tests/bench/mkmail.py)"));
    let mail = place.folder("mail");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/mkmail.py");
    let made = Command::new("python3").arg(program).arg("maildir").arg(&mail).arg(MESSAGES.to_string()).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("not measured: python3 could not make the messages");
        return;
    }
    let folder = place.folder("space");
    let store = Store::open(Options::new(&folder)).expect("a store");
    let mut files: Vec<_> =
        std::fs::read_dir(mail.join("new")).expect("a maildir").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), MESSAGES);
    let mut raw = 0;
    for file in files {
        let message = with_crlf(&std::fs::read(file).expect("readable"));
        raw += message.len() as u64;
        block_on(deliver(&store, &message));
    }
    store.close().expect("closed");
    let taken = |name: &str| std::fs::metadata(folder.join(name)).expect("facts").blocks() * 512;
    let (database, journal) = (taken("hauspost.redb"), taken("journal"));
    figure("the messages themselves", raw as f64 / MIB, "MiB", Goal::None);
    figure("the store's file", database as f64 / MIB, "MiB", Goal::None);
    figure("the store's file, of the messages", database as f64 / raw as f64, "", Goal::AtMost(0.85));
    figure("with the journal", (database + journal) as f64 / raw as f64, "", Goal::None);
    std::fs::remove_dir_all(mail).expect("removed");
}

/// A maildir keeps lines without CR.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 40);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => out.extend([line, b"\r\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}
