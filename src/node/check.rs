//! `hauspost check`: looks at a data folder that no server uses, and changes nothing in it.

use crate::node::command::print;
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::store::{Inspected, ReadOnlyDisk, Trouble, inspect};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Findings that are printed; more of them help nobody.
const FINDINGS_SHOWN_MAX: usize = 50;

/// Looks at everything, says what was looked at and what is wrong, and what to do next.
pub fn run(data: &Path) -> Result<(), Failure> {
    let disk = lock(data)?;
    let inspected = inspect(Arc::new(disk), show_progress("messages checked")).map_err(|e| in_store(&e))?;
    print(&describe(data, &inspected))?;
    match inspected.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Findings, "there is damage: 1 finding")),
        count => Err(Failure::new(Exit::Findings, format!("there is damage: {count} findings"))),
    }
}

/// The folder, for reading only, and for nobody else meanwhile.
pub fn lock(data: &Path) -> Result<ReadOnlyDisk, Failure> {
    if !data.is_dir() {
        return Err(Failure::new(Exit::Store, format!("there is no folder {}", data.display())));
    }
    ReadOnlyDisk::new(data).map_err(|sentence| in_store(&Trouble::Failed(sentence)))
}

/// On a terminal: how far it is, on one line that is written over and over.
pub fn show_progress(what: &'static str) -> impl FnMut(u64, u64) {
    let is_shown = std::io::stderr().is_terminal();
    move |done, all| {
        if is_shown {
            let end = if done < all { "" } else { "\n" };
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r{done} of {all} {what}{end}").and_then(|()| out.flush());
        }
    }
}

/// What was counted.
pub fn describe_counts(inspected: &Inspected) -> String {
    let Inspected { mailboxes, messages, bodies, bytes, queue, .. } = inspected;
    format!(
        "  mailboxes              {mailboxes}
  messages               {messages}
  bodies (copies share)  {bodies}, {bytes} bytes
  waiting to be sent     {queue}
"
    )
}

fn describe(data: &Path, inspected: &Inspected) -> String {
    let mut text = format!("{}\n", data.display());
    if !inspected.is_closed {
        text.push_str(&describe_counts(inspected));
    }
    if inspected.findings.is_empty() {
        text.push_str("\nEverything is as it was written.\n");
        return text;
    }
    let opened = if inspected.is_closed { "The store cannot be opened:\n" } else { "What is wrong:\n" };
    let _ = write!(text, "\n{opened}");
    for finding in inspected.findings.iter().take(FINDINGS_SHOWN_MAX) {
        let _ = writeln!(text, "  - {finding}");
    }
    if let Some(more @ 1..) = inspected.findings.len().checked_sub(FINDINGS_SHOWN_MAX) {
        let _ = writeln!(text, "  - and {more} more");
    }
    let _ = write!(
        text,
        "
What to do now:
  1. Leave the server stopped, and write nothing more to this card.
  2. Save what can be read onto another card or disk:
     hauspost check --data {} --salvage NEW-FOLDER
  3. Run the server with the new folder. A card that has failed once will fail again.
",
        data.display()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_with_what_to_do() {
        let sound = Inspected { messages: 7, ..Inspected::default() };
        let text = describe(Path::new("/data"), &sound);
        assert!(text.contains("messages               7\n") && text.contains("as it was written"), "{text}");
        let findings = (0..60).map(|number| format!("finding {number}")).collect();
        let text = describe(Path::new("/data"), &Inspected { findings, ..sound.clone() });
        assert!(text.contains("finding 49\n  - and 10 more\n") && text.contains("--salvage"), "{text}");
        let closed = Inspected { findings: vec!["why".into()], is_closed: true, ..sound };
        let text = describe(Path::new("/data"), &closed);
        assert!(text.contains("cannot be opened:\n  - why\n") && !text.contains("mailboxes"), "{text}");
    }
}
