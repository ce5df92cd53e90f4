//! `hauspost manual` and `hauspost completion`: what packages install, made from the definitions of the command line.
//!
//! Receives what argh knows of the arguments; hands on a page for man(1), or a script for a shell.

use crate::node::command::{Shell, described};
use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use argh_complete::{Generator, bash::Bash, fish::Fish, zsh::Zsh};
use std::fmt::Write;

const PROGRAM: &str = "hauspost";

/// The script that makes a shell complete the commands.
pub fn completion(shell: Shell) -> String {
    let info = described();
    match shell {
        Shell::Bash => Bash::generate(PROGRAM, &info),
        Shell::Zsh => Zsh::generate(PROGRAM, &info),
        Shell::Fish => Fish::generate(PROGRAM, &info),
    }
}

/// The page, as man-pages(7) wants it.
pub fn manual() -> String {
    let info = described();
    let mut page = format!(".TH HAUSPOST 1 \"\" \"hauspost {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(page, ".SH NAME\n{PROGRAM} \\- a mail server of one's own");
    let _ = writeln!(page, ".SH SYNOPSIS\n.B {PROGRAM}\n.I COMMAND\n[\\fIOPTION\\fR]...");
    let _ = writeln!(page, ".SH DESCRIPTION\n{}", text(info.description));
    notes(&mut page, &info, PROGRAM);
    page.push_str(".SH COMMANDS\n");
    for sub in &info.commands {
        command(&mut page, &sub.command, &format!("{PROGRAM} {}", sub.name));
    }
    page.push_str(".SH EXIT STATUS\n.TP\n.B 0\neverything was done\n");
    for code in info.error_codes {
        let _ = writeln!(page, ".TP\n.B {}\n{}", code.code, text(code.description));
    }
    page.push_str(FILES);
    page
}

/// What the options do not tell.
const FILES: &str = "\
.SH FILES
All in the data folder.
.TP
.I hauspost.toml
the configuration; \\fBhauspost config\\fR prints one with all keys
.TP
.I hauspost.redb\\fR, \\fIhauspost.journal
all mail, devices and settings
.TP
.I ca.pem
what devices may trust
.SH SEE ALSO
\\fBhauspost config\\fR documents every key of the configuration.
";

/// One command with those below it.
fn command(page: &mut String, info: &CommandInfoWithArgs, name: &str) {
    if !info.commands.is_empty() {
        let _ = writeln!(page, ".SS {}\n{}", text(name), text(info.description));
        notes(page, info, name);
        for sub in &info.commands {
            command(page, &sub.command, &format!("{name} {}", sub.name));
        }
        return;
    }
    let _ = writeln!(page, ".SS {}{}\n{}", text(name), synopsis(info), text(info.description));
    for argument in info.positionals.iter().filter(|argument| !argument.hidden && !argument.description.is_empty()) {
        let _ = writeln!(page, ".TP\n.I {}\n{}", text(argument.name), text(argument.description));
    }
    for flag in shown(info) {
        let _ = writeln!(page, ".TP\n{}\n{}", option(flag), text(flag.description));
    }
    notes(page, info, name);
}

fn shown<'a>(info: &'a CommandInfoWithArgs) -> impl Iterator<Item = &'a FlagInfo<'a>> {
    info.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help")
}

/// What must be given.
fn synopsis(info: &CommandInfoWithArgs) -> String {
    let mut out = String::new();
    for flag in shown(info).filter(|flag| flag.optionality == Optionality::Required) {
        if let FlagInfoKind::Option { arg_name } = flag.kind {
            let _ = write!(out, " {} {}", text(flag.long), text(&arg_name.to_uppercase()));
        }
    }
    for argument in info.positionals.iter().filter(|argument| !argument.hidden) {
        let name = text(argument.name);
        let _ = match argument.optionality {
            Optionality::Required => write!(out, " {name}"),
            Optionality::Optional => write!(out, " [{name}]"),
            Optionality::Repeating | Optionality::Greedy => write!(out, " {name}..."),
        };
    }
    out
}

fn option(flag: &FlagInfo<'_>) -> String {
    let mut out = String::from(".B ");
    if let Some(short) = flag.short {
        let _ = write!(out, "\\-{short}, ");
    }
    out.push_str(&text(flag.long));
    if let FlagInfoKind::Option { arg_name } = flag.kind {
        let _ = write!(out, " \\fI{}\\fR", text(arg_name));
    }
    out
}

fn notes(page: &mut String, info: &CommandInfoWithArgs, name: &str) {
    for note in info.notes {
        let _ = writeln!(page, ".PP\n{}", text(&note.replace("{command_name}", name)));
    }
    for example in info.examples {
        let _ = writeln!(page, ".PP\n.EX\n  {}\n.EE", text(&example.replace("{command_name}", name)));
    }
}

/// Text that troff(1) does not obey.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(info: &CommandInfoWithArgs, above: &str, all: &mut Vec<String>) {
        for sub in &info.commands {
            let name = format!("{above} {}", sub.name);
            names(&sub.command, &name, all);
            all.push(name);
        }
    }

    #[test]
    fn the_page_has_every_command_and_option() {
        let (page, info) = (manual(), described());
        let mut all = Vec::new();
        names(&info, PROGRAM, &mut all);
        assert!(all.len() > 25, "{all:?}");
        for name in all {
            assert!(page.contains(&format!(".SS {}", text(&name))), "{name}");
        }
        for words in ["\\-\\-port\\-base", "\\-\\-salvage", ".B 78", "{", "\\-\\-mx\\-port"] {
            // Options for tests only are hidden.
            assert_eq!(page.contains(words), !matches!(words, "{" | "\\-\\-mx\\-port"), "{words}");
        }
        assert!(page.lines().all(|line| !line.starts_with('\'') && line.len() < 600));
    }

    #[test]
    fn nothing_in_it_is_obeyed() {
        assert_eq!(text(".TH\n'x \\fB a-b"), "\\&.TH\n\\&'x \\efB a\\-b");
    }

    #[test]
    fn each_shell_has_its_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion(shell);
            assert!(
                script.contains("hauspost") && script.contains("salvage") && script.contains("import"),
                "{shell:?}"
            );
        }
    }
}
