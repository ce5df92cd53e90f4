//! The manifest of an update: what it says, and whether this system may take it. Pure.
//!
//! Lines of two or more words with single spaces between them, in this order, each once but for the last, which ends it:
//!
//! ```text
//! board raspberry-pi-64
//! version 0.2.0
//! built 1795903200
//! store-format 2
//! store-format-min 1
//! file kernel8.img 13107200 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! Whoever changes this form gives it another number in the first bytes of the file ([`super::container`]).

use crate::limits::{UPDATE_BYTES_MAX, UPDATE_FILES_MAX, UPDATE_NAME_BYTES_MAX, UPDATE_VERSION_BYTES_MAX};

/// Bytes of a SHA-256.
pub const HASH_BYTES: usize = 32;
/// What every system consists of.
const NEEDED: [&str; 4] = ["kernel8.img", "initramfs8", "cmdline.txt", "attempt.txt"];

/// One system for one kind of board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The kind.
    pub board: String,
    /// Of the program.
    pub version: String,
    /// When the system was made, in seconds since 1970.
    pub built: u64,
    /// The form in which it keeps mail.
    pub store_format: u32,
    /// The oldest form that it reads.
    pub store_format_min: u32,
    /// What a slot consists of, in the order in which it lies in the file.
    pub files: Vec<Content>,
}

/// One file of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its name, without folders.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; HASH_BYTES],
}

/// The system that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its kind of board.
    pub board: String,
    /// When it was made, in seconds since 1970.
    pub built: u64,
    /// The form in which it keeps mail.
    pub store_format: u32,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let mut lines = text.strip_suffix('\n').ok_or("its manifest does not end")?.split('\n');
        let mut value = |key: &str| {
            let rest = lines.next().and_then(|line| line.strip_prefix(key)).and_then(|rest| rest.strip_prefix(' '));
            let wrong = || format!("its manifest does not say {key} where it should");
            rest.map(str::to_owned).ok_or_else(wrong)
        };
        let (board, version) = (value("board")?, value("version")?);
        if !is_word(&board) || !is_word(&version) {
            return Err("its manifest names no board or no version".into());
        }
        let built = number(&value("built")?)?;
        let store_format = small_number(&value("store-format")?)?;
        let store_format_min = small_number(&value("store-format-min")?)?;
        let files = lines.map(Content::parse).collect::<Result<Vec<_>, _>>()?;
        let manifest = Manifest { board, version, built, store_format, store_format_min, files };
        manifest.check_files().map(|()| manifest)
    }

    fn check_files(&self) -> Result<(), String> {
        if self.files.len() > UPDATE_FILES_MAX {
            return Err(format!("it has more than {UPDATE_FILES_MAX} files"));
        }
        if let Some(missing) = NEEDED.iter().find(|needed| !self.files.iter().any(|file| file.name == **needed)) {
            return Err(format!("it has no {missing}"));
        }
        for (at, file) in self.files.iter().enumerate() {
            // FAT knows no difference between small and large letters.
            if self.files.iter().take(at).any(|other| other.name.eq_ignore_ascii_case(&file.name)) {
                return Err(format!("it has two files {}", file.name));
            }
        }
        match self.bytes() <= UPDATE_BYTES_MAX {
            true => Ok(()),
            false => Err(format!("it is larger than {} MiB", UPDATE_BYTES_MAX >> 20)),
        }
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes))
    }

    /// Whether this system may take the update, and come back from it: mail has to stay readable for both. `may_be_older`: the
    /// owner wants it even if it is not newer.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn suits(&self, current: &Current, may_be_older: bool) -> Result<(), String> {
        let (theirs, ours) = (self.store_format, current.store_format);
        if self.board != current.board {
            return Err(format!("it is for the board {}, and this is a {}", self.board, current.board));
        }
        if self.store_format_min > ours {
            return Err(format!(
                "it reads mail from store format {} on, and the mail here has format {ours}: an update between the two is needed first",
                self.store_format_min
            ));
        }
        if theirs > ours {
            return Err(format!(
                "it would bring the mail from store format {ours} to {theirs}, and there would be no way back to this system"
            ));
        }
        if theirs < ours {
            return Err(format!(
                "it knows store format {theirs} and cannot read the mail here, which has format {ours}"
            ));
        }
        if may_be_older || self.built > current.built {
            return Ok(());
        }
        Err(match self.built == current.built {
            true => "it is the system that runs already".into(),
            false => "it is older than the system that runs; --older takes it all the same".into(),
        })
    }
}

impl Content {
    fn parse(line: &str) -> Result<Content, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["file", name, bytes, hash] = words.as_slice() else {
            return Err("its manifest has a line that names no file".into());
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !begins || name.len() > UPDATE_NAME_BYTES_MAX || !name.bytes().all(fits) || name.ends_with('.') {
            return Err("its manifest has a file with a name that cannot be".into());
        }
        let sha256 = hash_of_hex(hash).ok_or("its manifest has a file without SHA-256")?;
        Ok(Content { name: (*name).to_owned(), bytes: number(bytes)?, sha256 })
    }
}

fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    !text.is_empty() && text.len() <= UPDATE_VERSION_BYTES_MAX && text.bytes().all(fits)
}

/// Digits and nothing else.
fn number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if digits { text.parse().ok() } else { None };
    value.ok_or_else(|| "its manifest has a number that is none".into())
}

fn small_number(text: &str) -> Result<u32, String> {
    u32::try_from(number(text)?).map_err(|_| "its manifest has a number that is too large".into())
}

fn hash_of_hex(text: &str) -> Option<[u8; HASH_BYTES]> {
    let mut hash = [0; HASH_BYTES];
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * HASH_BYTES || !text.bytes().all(is_hex) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn text() -> String {
        let files: String = NEEDED.iter().map(|name| format!("file {name} 10 {HASH}\n")).collect();
        format!("board pi\nversion 0.2.0\nbuilt 200\nstore-format 2\nstore-format-min 1\n{files}")
    }

    fn current() -> Current {
        Current { board: "pi".into(), built: 100, store_format: 2 }
    }

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(&text()).unwrap();
        assert_eq!((manifest.board.as_str(), manifest.version.as_str(), manifest.built), ("pi", "0.2.0", 200));
        assert_eq!((manifest.store_format, manifest.store_format_min, manifest.bytes()), (2, 1, 40));
        assert_eq!(
            (manifest.files[0].name.as_str(), manifest.files[0].sha256[..2].to_vec()),
            ("kernel8.img", vec![0x9f, 0x86])
        );
        assert_eq!(manifest.suits(&current(), false), Ok(()));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let many: String = (0..UPDATE_FILES_MAX).map(|at| format!("file f{at} 1 {HASH}\n")).collect();
        for (from, to, why) in [
            ("board pi\n", "", "board"),
            ("board pi", "board", "board"),
            ("board pi", "board a b", "no board"),
            ("version 0.2.0", "version ", "no version"),
            ("version 0.2.0\nbuilt 200", "built 200\nversion 0.2.0", "version where"),
            ("built 200", "built -1", "number"),
            ("built 200", "built 18446744073709551616", "number"),
            ("store-format 2", "store-format 4294967296", "too large"),
            ("store-format-min 1\n", "", "store-format-min"),
            ("file initramfs8 ", "file other ", "no initramfs8"),
            ("file attempt.txt ", "file ATTEMPT.TXT ", "no attempt.txt"),
            ("file kernel8.img 10 ", "file kernel8.img ", "names no file"),
            ("file kernel8.img 10 ", "file kernel8.img +10 ", "number"),
            ("file kernel8.img 10 ", "file kernel8.img 41943040 ", "larger than"),
            ("file kernel8.img 10 ", "file kernel8.img 18446744073709551615 ", "larger than"),
            ("file kernel8.img 10 9f", "file kernel8.img 10 9F", "SHA-256"),
            ("file kernel8.img 10 9f", "file kernel8.img 10 ", "SHA-256"),
            ("file kernel8.img", "file ../kernel8.img", "name"),
            ("file kernel8.img", "file b/kernel8.img", "name"),
            ("file kernel8.img", "file .kernel8.img", "name"),
            ("file kernel8.img", "strange kernel8.img", "names no file"),
            ("file kernel8.img", &format!("file Initramfs8 1 {HASH}\nfile kernel8.img"), "two files"),
            ("file kernel8.img", &format!("{many}file kernel8.img"), "more than"),
            ("file kernel8.img", "\nfile kernel8.img", "names no file"),
        ] {
            let changed = text().replacen(from, to, 1);
            let refusal = Manifest::parse(&changed).unwrap_err();
            assert!(refusal.contains(why), "{from:?} -> {to:?}: {refusal}");
        }
        assert!(Manifest::parse(text().trim_end()).unwrap_err().contains("does not end"));
        assert!(Manifest::parse("").is_err() && Manifest::parse("\n").is_err());
    }

    #[test]
    fn what_does_not_suit_is_refused() {
        let manifest = Manifest::parse(&text()).unwrap();
        let refused = |change: &dyn Fn(&mut Current)| {
            let mut current = current();
            change(&mut current);
            manifest.suits(&current, false).unwrap_err()
        };
        assert!(refused(&|current| current.board = "other".into()).contains("for the board pi"));
        assert!(refused(&|current| current.store_format = 0).contains("from store format 1 on"));
        assert!(refused(&|current| current.store_format = 1).contains("no way back"));
        assert!(refused(&|current| current.store_format = 3).contains("cannot read"));
        assert!(refused(&|current| current.built = 200).contains("already"));
        assert!(refused(&|current| current.built = 201).contains("--older"));
        assert_eq!(manifest.suits(&Current { built: 201, ..current() }, true), Ok(()));
        assert!(manifest.suits(&Current { store_format: 3, ..current() }, true).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused(text in "(board pi\n|file |[a-z0-9 .\n]{0,40}){0,8}") {
            let _ = Manifest::parse(&text);
        }
    }
}
