//! `hauspost update`: writes another system into the slot of a board that does not run, and lets the next start try it.
//!
//! Receives an update as a file or a stream; leaves the other slot filled and marked, or everything as it was. How a system is tried,
//! and how the board comes back from one that does not work, is done by `image/system/update`. What always holds:
//!
//! - Nothing is done with an update that is not signed with the key that lies in this system.
//! - Whether the board, the size and the form of the store suit is known before anything is written.
//! - The system that runs is never written to, and the mark that lets the other one be tried comes last.
//!
//! | file | what it knows |
//! | --- | --- |
//! | [`container`] | the file: its beginning, its signature |
//! | [`manifest`] | what an update says of itself, and whether it suits |
//! | [`selection`] | which system is started |
//! | [`slot`] | writing |

pub mod container;
pub mod manifest;
pub mod selection;
pub mod slot;

#[cfg(test)]
mod made_for_tests;

use crate::limits::BOARD_FILE_BYTES_MAX;
use crate::node::command::{Update, print};
use crate::node::failure::{Exit, Failure};
use crate::node::privilege::is_root;
use crate::store::FORMAT;
use container::{Opening, UpdateKey};
use manifest::Current;
use selection::Selection;
use slot::BootPartition;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The kind of board that an image was made for.
const BOARD: &str = "etc/hauspost-board";
/// When it was made, in seconds since 1970.
const BUILT: &str = "etc/build-time";
/// Who makes updates for it.
const KEY: &str = "etc/hauspost-update.pub";

/// What became of the last update of this board, as `image/system/update` wrote it down. `None`: there was none, or this is no board.
pub fn last_update() -> Option<String> {
    let (board, told) = (Path::new("/").join(BOARD), Path::new("/boot/update.txt"));
    let mut text = String::new();
    board.exists().then_some(())?;
    File::open(told).ok()?.take(BOARD_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.lines().next().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty())
}

/// Takes an update.
pub fn run(arguments: &Update) -> Result<(), Failure> {
    let root = arguments.root.as_deref();
    let (current, key) = read_system(root.unwrap_or(Path::new("/")))?;
    if root.is_none() && !is_root() {
        return Err(Failure::new(Exit::System, "only root can write another system: run this command as root"));
    }
    let boot = BootPartition::at(root.unwrap_or(Path::new("/")).join("boot"), root.is_none());
    let opened = match (&arguments.file, arguments.stdin) {
        (None, true) => take(&boot, (&current, &key), &mut std::io::stdin().lock(), None, arguments.older),
        (Some(path), false) => {
            let cannot = |e: std::io::Error| Failure::new(Exit::Usage, format!("cannot open {}: {e}", path.display()));
            let mut file = File::open(path).map_err(cannot)?;
            let metadata = file.metadata().map_err(cannot)?;
            let length = metadata.is_file().then_some(metadata.len());
            take(&boot, (&current, &key), &mut file, length, arguments.older)
        }
        _ => return Err(Failure::new(Exit::Usage, "say where the update is: its file, or --stdin")),
    };
    let opening = opened
        .map_err(|why| Failure::new(Exit::Findings, format!("the update is refused, nothing is changed: {why}")))?;
    print(&format!(
        "version {} lies beside the system that runs, which is as it was: the next start tries the new one (`reboot -f`), and \
         comes back if it does not work\n",
        opening.manifest.version
    ))
}

/// The system that runs, if it is one that is made of slots, and whose updates it takes.
fn read_system(root: &Path) -> Result<(Current, UpdateKey), Failure> {
    let refuse = |sentence: String| Failure::new(Exit::Configuration, sentence);
    let read = |name: &str| {
        let file = File::open(root.join(name));
        let mut text = String::new();
        match file.and_then(|file| file.take(BOARD_FILE_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(refuse(format!("cannot read /{name}: {e}"))),
        }
    };
    let Some(board) = read(BOARD)? else {
        let sentence = "this system is not the image for boards: updates of hauspost come as a package here, by apt, opkg or whatever \
                        installed it";
        return Err(refuse(sentence.into()));
    };
    let built = read(BUILT)?.and_then(|text| text.trim().parse().ok());
    let built = built.ok_or_else(|| refuse(format!("/{BUILT} does not say when this system was made")))?;
    let Some(key) = read(KEY)? else {
        return Err(refuse(format!("this system takes no updates: it was made without a key for them (/{KEY})")));
    };
    let key = UpdateKey::parse(key.as_bytes()).ok_or_else(|| refuse(format!("/{KEY} is no Ed25519 key")))?;
    Ok((Current { board: board.trim().to_owned(), built, store_format: FORMAT }, key))
}

/// Looks at an update, and writes it if it is right. `length`: of the whole file, where that is known.
fn take(
    boot: &BootPartition,
    (current, key): (&Current, &UpdateKey),
    from: &mut impl Read,
    length: Option<u64>,
    may_be_older: bool,
) -> Result<Opening, String> {
    let selection = boot.selection().map_err(|e| format!("select.txt on the boot partition cannot be read: {e}"))?;
    let selection = selection.ok_or("select.txt on the boot partition was changed by hand")?;
    if selection.trial {
        return Err("another one is on trial: wait until that has ended".into());
    }
    let opening = container::open(from, key)?;
    opening.manifest.suits(current, may_be_older)?;
    match length {
        Some(length) if length < opening.total_bytes => return Err("it is cut off".into()),
        Some(length) if length > opening.total_bytes => return Err("there is something behind its end".into()),
        _ => {}
    }
    let on_card = |e: std::io::Error| format!("the boot partition: {e}");
    boot.while_writable(|| {
        if selection.attempt {
            // The slot that was to be tried is written to.
            boot.select(Selection { attempt: false, ..selection }).map_err(on_card)?;
        }
        boot.fill(selection.slot.other(), &opening.manifest, from)?;
        boot.select(Selection { attempt: true, ..selection }).map_err(on_card)
    })?;
    Ok(opening)
}

#[cfg(test)]
mod tests {
    use super::made_for_tests::{MANIFEST_FILES, manifest_of, pack, public_pem, signer};
    use super::*;
    use std::path::PathBuf;

    /// A board on which system a runs, and an update for it.
    struct Board {
        root: tempfile::TempDir,
        update: PathBuf,
    }

    impl Board {
        fn new() -> Board {
            let root = tempfile::tempdir().unwrap();
            let path = root.path();
            for folder in ["etc", "boot/a", "boot/b"] {
                std::fs::create_dir_all(path.join(folder)).unwrap();
            }
            std::fs::write(path.join(BOARD), "pi\n").unwrap();
            std::fs::write(path.join(BUILT), "100\n").unwrap();
            std::fs::write(path.join(KEY), public_pem(&signer(1))).unwrap();
            std::fs::write(path.join("boot/a/kernel8.img"), "the old one").unwrap();
            std::fs::write(path.join("boot/b/left.txt"), "of an earlier one").unwrap();
            std::fs::write(path.join("boot/select.txt"), "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n").unwrap();
            let update = path.join("update");
            std::fs::write(&update, Board::good()).unwrap();
            Board { root, update }
        }

        fn good() -> Vec<u8> {
            let contents: Vec<u8> = MANIFEST_FILES.iter().flat_map(|(_, text)| text.bytes()).collect();
            pack(&signer(1), &manifest_of("pi", 200, FORMAT), &contents)
        }

        fn run(&self) -> Result<(), Failure> {
            let root = Some(self.root.path().to_path_buf());
            run(&Update { file: Some(self.update.clone()), stdin: false, older: false, root })
        }

        fn refused_with(&self, update: &[u8]) -> String {
            std::fs::write(&self.update, update).unwrap();
            let failure = self.run().unwrap_err();
            assert_eq!(failure.exit, Exit::Findings);
            failure.sentence
        }

        fn boot(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.root.path().join("boot").join(name)).ok()
        }

        fn names_in_b(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.root.path().join("boot/b")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn is_untouched(&self) -> bool {
            self.boot("select.txt").unwrap() == "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n"
                && self.names_in_b() == ["left.txt"]
        }
    }

    #[test]
    fn an_update_fills_the_other_slot_and_is_tried() {
        let board = Board::new();
        board.run().unwrap();
        for (name, text) in MANIFEST_FILES {
            assert_eq!(board.boot(&format!("b/{name}")).as_deref(), Some(text));
        }
        assert_eq!(board.boot("b/left.txt"), None);
        assert_eq!(board.boot("a/kernel8.img").unwrap(), "the old one");
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=a/\ncmdline=attempt.txt\n#trial=none\n");
        // Another one before it was tried.
        board.run().unwrap();
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=a/\ncmdline=attempt.txt\n#trial=none\n");
    }

    #[test]
    fn from_b_the_other_slot_is_a() {
        let board = Board::new();
        let selection = "os_prefix=b/\ncmdline=cmdline.txt\n#trial=none\n";
        std::fs::write(board.root.path().join("boot/select.txt"), selection).unwrap();
        board.run().unwrap();
        assert_eq!(board.boot("a/kernel8.img").as_deref(), Some(MANIFEST_FILES[0].1));
        assert_eq!(board.names_in_b(), ["left.txt"]);
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=b/\ncmdline=attempt.txt\n#trial=none\n");
    }

    #[test]
    fn what_is_wrong_is_refused_before_anything_is_touched() {
        let board = Board::new();
        let good = Board::good();
        for length in [0, 10, 200, good.len() - 1] {
            assert!(board.refused_with(&good[..length]).contains("cut off"), "{length}");
        }
        assert!(board.refused_with(&[&good[..], b"x"].concat()).contains("behind its end"));
        let mut forged = good.clone();
        forged[container::HEAD_BYTES + 10] ^= 1;
        assert!(board.refused_with(&forged).contains("signature"));
        for (manifest, why) in [
            (manifest_of("toaster", 200, FORMAT), "for the board toaster"),
            (manifest_of("pi", 100, FORMAT), "runs already"),
            (manifest_of("pi", 99, FORMAT), "older"),
            (manifest_of("pi", 200, FORMAT + 1), "no way back"),
        ] {
            assert!(board.refused_with(&pack(&signer(1), &manifest, b"")).contains(why), "{why}");
        }
        assert!(board.is_untouched());
        let trial = "os_prefix=a/\ncmdline=cmdline.txt\n#trial=runs\n";
        for (selection, why) in [(trial, "on trial"), ("os_prefix=c/\n", "by hand")] {
            std::fs::write(board.root.path().join("boot/select.txt"), selection).unwrap();
            assert!(board.refused_with(&good).contains(why));
            assert_eq!(
                (board.boot("select.txt").unwrap(), board.names_in_b()),
                (selection.into(), vec!["left.txt".into()])
            );
        }
    }

    #[test]
    fn wrong_contents_are_refused_before_anything_points_at_them() {
        let board = Board::new();
        let mut update = Board::good();
        *update.last_mut().unwrap() ^= 1;
        assert!(board.refused_with(&update).contains("attempt.txt is not what its manifest says"));
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n");
        assert!(board.names_in_b().is_empty(), "half of it is left");
        // As it was to be tried, and is written to.
        std::fs::write(&board.update, Board::good()).unwrap();
        board.run().unwrap();
        assert!(board.refused_with(&update).contains("attempt.txt"));
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n");
    }

    #[test]
    fn a_stream_without_a_known_length_is_checked_too() {
        let board = Board::new();
        let (current, key) = read_system(board.root.path()).unwrap();
        let boot = || BootPartition::at(board.root.path().join("boot"), false);
        let streamed = |bytes: &[u8]| take(&boot(), (&current, &key), &mut &bytes[..], None, false).map(drop);
        let good = Board::good();
        assert_eq!(streamed(&good[..good.len() - 1]), Err("it is cut off".into()));
        assert_eq!(streamed(&[&good[..], b"x"].concat()), Err("there is something behind its end".into()));
        assert_eq!(board.boot("select.txt").unwrap(), "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n");
        assert_eq!(streamed(&good), Ok(()));
    }

    #[test]
    fn a_system_without_slots_or_key_says_so() {
        let board = Board::new();
        let etc = |name: &str| board.root.path().join(name);
        let sentence = || board.run().unwrap_err().sentence;
        std::fs::write(etc(KEY), "no key").unwrap();
        assert!(sentence().contains("no Ed25519 key"));
        std::fs::remove_file(etc(KEY)).unwrap();
        assert!(sentence().contains("without a key"));
        std::fs::remove_file(etc(BUILT)).unwrap();
        assert!(sentence().contains("when this system was made"));
        std::fs::remove_file(etc(BOARD)).unwrap();
        let failure = board.run().unwrap_err();
        assert!(failure.exit == Exit::Configuration && failure.sentence.contains("package"));
        assert!(board.is_untouched());
    }
}
