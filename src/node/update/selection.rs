//! `select.txt` on the boot partition: which system the firmware starts. Pure.
//!
//! Three lines that always have the same length, so that a change of state is one write to one sector and nothing of the file
//! system moves. The firmware reads the first two, the third is a comment to it:
//!
//! ```text
//! os_prefix=a/
//! cmdline=cmdline.txt
//! #trial=none
//! ```
//!
//! | `os_prefix` | `cmdline` | `#trial` | what the next start does |
//! | --- | --- | --- | --- |
//! | a | cmdline | none | starts a |
//! | a | attempt | none | starts a, which first of all writes the line below and then starts b by kexec |
//! | a | cmdline | runs | starts a, which says that the update was taken back, and writes the first line |
//! | b | cmdline | none | b has read a message of its own: starts b |
//!
//! The state in between is written by `image/system/update`, the first one by `image/build`.

/// One of the two systems on the boot partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The folder `a`.
    A,
    /// The folder `b`.
    B,
}

impl Slot {
    /// The name of its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The one that is not this one.
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The system that the firmware starts.
    pub slot: Slot,
    /// It is to try the other one at its next start.
    pub attempt: bool,
    /// The other one has been started on trial, and nobody has said how that ended.
    pub trial: bool,
}

impl Selection {
    /// Reads the file. `None`: it is not as we write it.
    pub fn parse(text: &str) -> Option<Selection> {
        let slots = [Slot::A, Slot::B].into_iter();
        let all = slots.flat_map(|slot| {
            [(false, false), (true, false), (false, true)].map(|(attempt, trial)| Selection { slot, attempt, trial })
        });
        all.into_iter().find(|selection| selection.encode() == text)
    }

    /// The file, always of the same length.
    pub fn encode(self) -> String {
        let cmdline = if self.attempt { "attempt" } else { "cmdline" };
        let trial = if self.trial { "runs" } else { "none" };
        format!("os_prefix={}/\ncmdline={cmdline}.txt\n#trial={trial}\n", self.slot.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_returns_and_has_one_length() {
        for slot in [Slot::A, Slot::B] {
            for (attempt, trial) in [(false, false), (true, false), (false, true)] {
                let selection = Selection { slot, attempt, trial };
                assert_eq!(Selection::parse(&selection.encode()), Some(selection));
                assert_eq!(selection.encode().len(), 45);
            }
            assert_eq!(slot.other().other(), slot);
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_not_understood() {
        let good = Selection { slot: Slot::A, attempt: false, trial: false }.encode();
        for bad in ["", "os_prefix=a/\ncmdline=cmdline.txt\n", &good.replace('\n', "\r\n"), &good.replace("a/", "c/")] {
            assert_eq!(Selection::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Selection::parse(&format!("{good}#")), None);
    }
}
