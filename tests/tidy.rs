//! What a machine can check of the shape of the source: length, direction, words. A rule that has to be broken is broken
//! here, by name and with a reason, not in silence.

use std::fs;
use std::path::{Path, PathBuf};

/// A file fits a head.
const FILE_LINES_MAX: usize = 600;
/// A function fits a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with the number of lines they may have and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];
/// Functions that may be longer, as `file::function`, and why.
const LONG_FUNCTIONS: &[(&str, usize, &str)] = &[];

/// Each room and the rooms it may look down on.
const ROOMS: &[(&str, &[&str])] = &[
    ("wire", &["limits", "order"]),
    ("mail", &["limits", "order", "wire"]),
    ("store", &["limits", "order", "wire", "mail"]),
    ("net", &["limits", "order", "wire", "mail"]),
    ("serve", &["limits", "order", "wire", "mail", "store", "net"]),
    ("node", &["limits", "order", "wire", "mail", "store", "net", "serve"]),
];

/// Names that say nothing about what is in the box.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "misc"];

/// What `wire` and `mail` get as arguments and never fetch themselves.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "async fn",
    ".await",
    "smol::",
    "SystemRandom",
];

struct Source {
    /// Relative to the package.
    path: String,
    text: String,
}

impl Source {
    /// The part that ends up in the product: what stands before the tests at the bottom, nothing of a file of tests.
    fn product(&self) -> &str {
        if self.path.starts_with("src/") && (self.path.ends_with("tests.rs") || self.path.contains("/tests/")) {
            return "";
        }
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(&self.text)
    }

    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let name = inside.split('/').next()?;
        Some(name.strip_suffix(".rs").unwrap_or(name))
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root).unwrap().display().to_string(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn all_sources() -> Vec<Source> {
    let mut all = sources("src");
    all.extend(sources("tests"));
    all
}

fn report(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn files_fit_a_head() {
    let allowed =
        |path: &str| LONG_FILES.iter().find(|(file, ..)| *file == path).map_or(FILE_LINES_MAX, |(_, max, _)| *max);
    let broken = all_sources().into_iter().filter_map(|source| {
        let lines = source.product().lines().count();
        (lines > allowed(&source.path)).then(|| format!("{} has {lines} lines", source.path))
    });
    report(&format!("a file has at most {FILE_LINES_MAX} lines before its tests"), broken.collect());
}

#[test]
fn functions_fit_a_screen() {
    let mut broken = Vec::new();
    for source in sources("src") {
        let lines: Vec<&str> = source.product().lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let Some(name) = function_name(line) else { continue };
            // Formatted code: a function ends with the brace at its own indentation.
            let end = lines[start..].iter().position(|line| *line == format!("{}}}", " ".repeat(indent)));
            let length = end.map_or(0, |end| end + 1);
            let allowed = LONG_FUNCTIONS.iter().find(|(long, ..)| *long == format!("{}::{name}", source.path));
            if length > allowed.map_or(FUNCTION_LINES_MAX, |(_, max, _)| *max) {
                broken.push(format!("{}:{}: {name} has {length} lines", source.path, start + 1));
            }
        }
    }
    report(&format!("a function has at most {FUNCTION_LINES_MAX} lines"), broken);
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(super) ", "pub(crate) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    // A signature of one line that ends there has no body.
    (!line.trim_end().ends_with(';')).then(|| name.split(['(', '<']).next().unwrap_or(name))
}

#[test]
fn rooms_look_down_only() {
    let mut broken = Vec::new();
    for source in sources("src") {
        let Some((room, below)) = ROOMS.iter().find(|(room, _)| Some(*room) == source.room()) else { continue };
        for (number, line) in source.product().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (at, _) in code.match_indices("crate::") {
                let target = code[at + "crate::".len()..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let target = target.unwrap_or_default();
                let is_room = ROOMS.iter().any(|(name, _)| *name == target);
                if is_room && target != *room && !below.contains(&target) {
                    broken.push(format!("{}:{}: {room} looks at {target}", source.path, number + 1));
                }
            }
        }
    }
    report("imports go downwards: wire < mail < store, net < serve < node", broken);
}

#[test]
fn wire_and_mail_fetch_nothing_themselves() {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| matches!(source.room(), Some("wire" | "mail"))) {
        for (number, line) in source.product().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for worldly in WORLDLY.iter().filter(|worldly| code.contains(**worldly)) {
                broken.push(format!("{}:{}: {worldly}", source.path, number + 1));
            }
        }
    }
    report("no I/O, clock or randomness in wire and mail", broken);
}

/// A command that asked the store itself would show a device mailboxes that are not there for it.
#[test]
fn imap_gets_its_mailboxes_in_one_place() {
    let asks = ["snapshot.mailboxes(", "snapshot.mailbox_named("];
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| source.path.starts_with("src/serve/imap/")) {
        for (number, line) in source.product().lines().enumerate() {
            if !source.path.ends_with("/access.rs") && asks.iter().any(|ask| line.contains(ask)) {
                broken.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("mailboxes come from serve::imap::access, which knows the rights", broken);
}

#[test]
fn files_say_what_they_are() {
    let broken = all_sources().into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path);
    report("a file begins with //! and what it is", broken.collect());
}

#[test]
fn names_say_something() {
    let empty = |name: &str| EMPTY_NAMES.contains(&name);
    let mut broken = Vec::new();
    for source in all_sources() {
        let parts = source.path.trim_end_matches(".rs").split(['/', '_']);
        if parts.into_iter().any(empty) {
            broken.push(source.path.clone());
        }
        for (number, line) in source.text.lines().enumerate() {
            let declared = ["mod ", "struct ", "enum ", "trait "].iter().find_map(|word| {
                let rest = line.trim_start().trim_start_matches("pub ").strip_prefix(word)?;
                rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
            });
            if declared.is_some_and(|name| name.to_lowercase().split('_').any(empty) || name.ends_with("Manager")) {
                broken.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("no module or type is called after nothing", broken);
}

#[test]
fn trouble_is_answered_not_thrown() {
    let thrown = [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut broken = Vec::new();
    for source in sources("src") {
        for (number, line) in source.product().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if thrown.iter().any(|word| code.contains(word)) {
                broken.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    report("nothing panics on purpose outside tests", broken);
}

#[test]
fn only_limits_are_bounds() {
    let mut broken = Vec::new();
    for limits in sources("src").into_iter().filter(|source| source.room() == Some("limits")) {
        let lines: Vec<&str> = limits.text.lines().collect();
        let bare = lines.iter().enumerate().filter(|(number, line)| {
            line.starts_with("pub const ")
                && !number.checked_sub(1).is_some_and(|above| lines[above].starts_with("///"))
        });
        broken.extend(bare.map(|(_, line)| line.to_string()));
    }
    report("every bound has its reason above it", broken);
}

/// Where each protocol keeps the table of its verbs, and the services of a dialogue that speak it.
const VERB_TABLES: &[(&str, &[&str])] = &[
    ("src/wire/smtp/command.rs", &["smtp", "submission", "submissions"]),
    ("src/wire/imap/grammar/mod.rs", &["imap", "imaps"]),
    ("src/wire/pop3/command.rs", &["pop3", "pop3s"]),
];

#[test]
fn every_verb_has_a_dialogue() {
    let said = verbs_said();
    let mut broken = Vec::new();
    for (file, services) in VERB_TABLES {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let table = source.split("const VERBS").nth(1).and_then(|rest| rest.split("\n];").next()).unwrap();
        let verbs: Vec<&str> = table.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert!(verbs.len() > 10, "{file}: the table of verbs is not where it was");
        for verb in verbs {
            if !said.iter().any(|(service, word)| services.contains(&service.as_str()) && word == verb) {
                broken.push(format!("{verb} of {file}"));
            }
        }
    }
    report("every verb stands in a dialogue", broken);
}

/// What the clients of all dialogues say: (service, word) of the first two words of each line.
fn verbs_said() -> Vec<(String, String)> {
    let mut said = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let folders = fs::read_dir(root).unwrap().map(|folder| folder.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")) {
        let text = fs::read_to_string(&file).unwrap();
        let mut services: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["open", client, service, ..] => services.push((format!("{client}>"), service.to_string())),
                [speaker, first, rest @ ..] => {
                    let Some((_, service)) = services.iter().rfind(|(client, _)| client == speaker) else { continue };
                    said.push((service.clone(), first.to_uppercase()));
                    said.extend(rest.first().map(|second| (service.clone(), second.to_uppercase())));
                }
                _ => {}
            }
        }
    }
    said
}
