//! The walks of `tests/fuzz` without a fuzzer: what the dialogues say, mutated a few thousand times. Keeps the walks
//! compiling and true in every run; for hours of searching there is `tests/fuzz/run`.

mod imap_session;
#[path = "fuzz/session.rs"]
mod session;
#[path = "fuzz/walks.rs"]
mod walks;

use std::fs;
use std::path::Path;

/// Mutations of each walk; `HAUSPOST_FUZZ_RUNS` says otherwise.
const RUNS: u64 = 4_000;

/// The same of a whole session with its store, which takes as long as some conversations.
const SESSION_RUNS: u64 = 500;

/// Names a folder that gets the dialogues as the first corpus of a fuzzer; nothing is mutated then.
const CORPUS: &str = "HAUSPOST_FUZZ_CORPUS";

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 13) as usize % bound.max(1)
    }
}

/// What clients (or, for mail, senders) say in the dialogues of these folders, one text per file.
fn seeds(folders: &[&str]) -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut paths = Vec::new();
    for folder in folders {
        paths.extend(fs::read_dir(top.join(folder)).expect("dialogues").map(|entry| entry.expect("readable").path()));
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes = fs::read(path).expect("readable");
            match path.extension().is_some_and(|extension| extension == "eml") {
                true => bytes,
                false => String::from_utf8_lossy(&bytes).lines().filter_map(said).collect::<String>().into_bytes(),
            }
        })
        .filter(|seed| !seed.is_empty())
        .collect()
}

/// The line that a client sends in a step `A> line`.
fn said(step: &str) -> Option<String> {
    let (_, line) = step.split_once("> ").filter(|(who, _)| who.chars().all(|c| c.is_ascii_alphanumeric()))?;
    let line = line.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0").replace("\\\\", "\\");
    Some(format!("{line}\r\n"))
}

fn mutate(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..chance.below(6) {
        let at = chance.below(bytes.len());
        let end = at + chance.below((bytes.len() - at).min(60));
        match chance.below(6) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => {
                let odd: [&[u8]; 8] = [b"\r\n", b"\n", b"\r", b"\0", b".", b"\r\n.\r\n", b"{5}\r\n", b"\xff"];
                bytes.splice(at..at, odd[chance.below(8)].iter().copied());
            }
            4 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len());
                bytes.splice(at..end, other[from..].iter().take(200).copied());
            }
            _ => bytes.truncate(at + 1),
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    bytes
}

/// Shows what a walk was given when it fails.
struct Given<'a>(&'a [u8]);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("given: {}", self.0.escape_ascii());
        }
    }
}

/// How many are asked for.
fn asked(runs: u64) -> u64 {
    std::env::var("HAUSPOST_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(runs)
}

fn search(name: &str, folders: &[&str], runs: u64, walk: fn(&[u8])) {
    let seeds = seeds(folders);
    if let Some(corpus) = std::env::var_os(CORPUS) {
        for (number, seed) in seeds.iter().enumerate() {
            let folder = Path::new(&corpus).join(name);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(format!("dialogue-{number}")), [b"dice", &seed[..]].concat()).expect("written");
        }
        return;
    }
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for seed in &seeds {
        let given = [b"dice", &seed[..]].concat();
        let shown = Given(&given);
        walk(shown.0);
    }
    for _ in 0..asked(runs) {
        let dice = (chance.below(1 << 32) as u32).to_le_bytes();
        let given = [&dice[..], &mutate(&seeds, &mut chance)].concat();
        let shown = Given(&given);
        walk(shown.0);
    }
}

#[test]
fn smtp_holds_whatever_a_client_says() {
    search("smtp", &["smtp", "submission"], RUNS, walks::smtp);
}

#[test]
fn pop3_holds_whatever_a_client_says() {
    search("pop3", &["pop3"], RUNS, walks::pop3);
}

#[test]
fn imap_holds_whatever_a_client_says() {
    search("imap", &["imap"], RUNS, walks::imap);
}

#[test]
fn an_imap_session_holds_whatever_a_client_says() {
    search("imap_session", &["imap"], SESSION_RUNS, session::imap_session);
}

#[test]
fn the_relay_holds_whatever_a_server_says() {
    let answers = "220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-STARTTLS\r\n250-8BITMIME\r\n\
                   250 AUTH PLAIN LOGIN\r\n235 2.7.0 welcome\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n550-5.1.1 no\r\n\
                   550 5.1.1 such user\r\n354 go\r\n250 2.0.0 taken\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n451 later\r\n221 bye\r\n";
    let seeds = [answers.as_bytes().to_vec()];
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for _ in 0..asked(RUNS) {
        let dice = (chance.below(1 << 32) as u32).to_le_bytes();
        walks::relay(&[&dice[..], &mutate(&seeds, &mut chance)].concat());
    }
}

#[test]
fn a_policy_is_read_whatever_a_web_server_says() {
    let policy = "version: STSv1\r\nmode: enforce\r\nmx: *.far.example\r\nmax_age: 604800\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let chunks = format!("{:x}\r\n{policy}\r\n3;a=b\r\nx: \r\n0\r\nT: u\r\n\r\n", policy.len());
    let seeds = [
        format!("{head}Content-Length: {}\r\n\r\n{policy}", policy.len()).into_bytes(),
        format!("HTTP/1.1 103 Hints\r\n\r\n{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes(),
        format!("{head}\r\n{policy}").into_bytes(),
    ];
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for _ in 0..asked(RUNS) {
        let dice = (chance.below(1 << 32) as u32).to_le_bytes();
        walks::web(&[&dice[..], &mutate(&seeds, &mut chance)].concat());
    }
}

#[test]
fn requests_are_read_whatever_a_browser_says() {
    let fields = "Host: home.test:443\r\nAccept-Language: de;q=0.5, en\r\nConnection: keep-alive\r\n";
    let seeds = [
        format!("GET /d/x?lang=de HTTP/1.1\r\n{fields}\r\nHEAD / HTTP/1.0\r\n\r\n").into_bytes(),
        format!("POST /a HTTP/1.1\r\n{fields}Content-Length: 12\r\n\r\nGET / HTTP/1GET /b HTTP/1.1\r\n{fields}\r\n")
            .into_bytes(),
        format!("POST /a HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").into_bytes(),
    ];
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for _ in 0..asked(RUNS) {
        let dice = (chance.below(1 << 32) as u32).to_le_bytes();
        walks::request(&[&dice[..], &mutate(&seeds, &mut chance)].concat());
    }
}

#[test]
fn the_facts_of_a_message_do_not_depend_on_how_it_arrives() {
    search("message", &["mail"], RUNS, walks::message);
}
