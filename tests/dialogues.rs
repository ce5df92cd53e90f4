//! Runs every plain-text conversation under `tests/dialogues/`, each in three ways (see [`script::Mode`]).
//!
//! `cargo test --test dialogues` runs all, `cargo test --test dialogues -- imap/03` those with that in their names.
//! A name is `folder/file mode`. The format of the files is told in `tests/dialogues/README.md`.

#[path = "dialogues/mod.rs"]
mod talk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use talk::script::{self, Mode, Script};
use talk::{pattern, world};

struct Case {
    name: String,
    file: PathBuf,
    mode: Mode,
}

/// What the command line asks for, as far as the standard test runner's words have a meaning here.
struct Asked {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
    log: bool,
}

fn main() -> ExitCode {
    let asked = read_arguments();
    if asked.log {
        let _ = log::set_logger(&ToStderr);
        log::set_max_level(log::LevelFilter::Debug);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut broken = Vec::new();
    let all = find_cases(&root, &mut broken);
    let wanted = |name: &str| {
        asked.filters.is_empty()
            || asked.filters.iter().any(|filter| if asked.exact { name == filter } else { name.contains(filter) })
    };
    let (cases, left_out): (Vec<Case>, Vec<Case>) = all.into_iter().partition(|case| wanted(&case.name));
    if asked.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    pattern::check_patterns();
    script::check_words();
    println!("\nrunning {} tests", cases.len());
    let began = Instant::now();
    let failed = run_cases(&cases, asked.threads, &root);
    broken.iter().for_each(|sentence| println!("{sentence}"));
    let failures = failed.len() + broken.len();
    let passed = cases.len() - failed.len();
    if failures > 0 {
        println!("\nfailures:");
        failed.iter().for_each(|report| println!("\n{report}"));
    }
    println!(
        "\ntest result: {}. {passed} passed; {failures} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failures == 0 { "ok" } else { "FAILED" },
        left_out.len(),
        began.elapsed().as_secs_f64()
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn read_arguments() -> Asked {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut asked = Asked { filters: Vec::new(), exact: false, list: false, threads: cores, log: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => asked.list = true,
            "--exact" => asked.exact = true,
            "--nocapture" | "--no-capture" => asked.log = true,
            "--test-threads" => asked.threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(cores),
            "--format" | "--color" | "--logfile" | "-Z" | "--skip" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            filter => asked.filters.push(filter.to_owned()),
        }
    }
    asked
}

/// All dialogues in all their modes, by name. Files that cannot be read as dialogues are told in `broken`.
fn find_cases(root: &Path, broken: &mut Vec<String>) -> Vec<Case> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(root).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "txt") {
                files.push(file.path());
            }
        }
    }
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).with_extension("").display().to_string();
        match read_script(&file) {
            Ok(script) => cases.extend(script.modes.into_iter().map(|mode| Case {
                name: format!("{name} {}", mode.name()),
                file: file.clone(),
                mode,
            })),
            Err(sentence) => broken.push(sentence),
        }
    }
    cases
}

fn read_script(file: &Path) -> Result<Script, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    script::parse(&text).map_err(|(line, why)| format!("{}:{line}: {why}", file.display()))
}

/// Runs the cases side by side; returns the reports of those that failed.
fn run_cases(cases: &[Case], threads: usize, root: &Path) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 16) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run_case(case, root);
                    println!("test {} ... {}", case.name, if outcome.is_ok() { "ok" } else { "FAILED" });
                    if let (Err(report), Ok(mut failed)) = (outcome, failed.lock()) {
                        failed.push(report);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_default()
}

fn run_case(case: &Case, root: &Path) -> Result<(), String> {
    let script = read_script(&case.file)?;
    let file = case.file.strip_prefix(root.parent().unwrap_or(root)).unwrap_or(&case.file).display().to_string();
    let ran = std::panic::catch_unwind(|| world::run(&script, case.mode, &root.join("mail")));
    match ran {
        Ok(Ok(())) => Ok(()),
        Ok(Err(mishap)) => Err(format!(
            "---- {} ----\n# {}\ntests/{file}:{}: {}\n  {}\n\n{}",
            case.name, script.title, mishap.line, mishap.step, mishap.why, mishap.transcript
        )),
        Err(_) => Err(format!("---- {} ----\ntests/{file}: panicked, see above", case.name)),
    }
}

/// With `--nocapture` the node's log is shown.
struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("hauspost")
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("    {} {}", record.level(), record.args());
        }
    }
    fn flush(&self) {}
}
