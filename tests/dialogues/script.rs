//! The text of a dialogue as a list of steps.
//!
//! Receives a file; hands on [`Script`] or a sentence with the line that is wrong. Knows nothing of the node.

use std::time::Duration;

/// How the lines of a client reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One write per line.
    Whole,
    /// One write per byte.
    Bytes,
    /// As many lines per write as a client may send without having read the answers.
    Pipelined,
}

pub const MODES: [Mode; 3] = [Mode::Whole, Mode::Bytes, Mode::Pipelined];

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Whole => "whole",
            Mode::Bytes => "bytes",
            Mode::Pipelined => "pipelined",
        }
    }
}

pub struct Script {
    /// What the dialogue shows: its first comment line.
    pub title: String,
    pub modes: Vec<Mode>,
    pub steps: Vec<Step>,
}

pub struct Step {
    /// From 1.
    pub line: usize,
    pub text: String,
    pub what: What,
}

pub enum What {
    /// `mail inbox 01-plain.eml \Seen`, or inline text in lines that begin with `|`.
    Mail {
        mailbox: String,
        files: Vec<String>,
        flags: Vec<String>,
        inline: Option<Vec<u8>>,
    },
    Open {
        client: String,
        service: Service,
        login: bool,
        from: Option<String>,
    },
    Say {
        client: String,
        bytes: Vec<u8>,
    },
    Expect {
        client: String,
        pattern: String,
    },
    Silent(String),
    Closed(String),
    StartTls(String),
    Compress {
        client: String,
        on: bool,
    },
    /// `A takes nothing`: it reads no more; `A takes all`: it does again.
    Takes {
        client: String,
        all: bool,
    },
    Drop(String),
    Advance(Duration),
    /// The wall clock alone jumps: forward, or back.
    Jump {
        by: Duration,
        back: bool,
    },
    CutPower,
    /// What stands above happens again and again, and the power is cut at each write; what follows must hold then.
    CutAnywhere,
    Restart,
    /// `network back`: a link or a route comes up.
    NetworkBack,
    /// `disk full`, `disk fails`; the words after `disk`.
    Disk(Vec<String>),
    /// `dns far.example MX 10 mx.far.example`; the words after `dns`.
    Dns(Vec<String>),
    /// `mx mx.far.example replies RCPT "451 4.7.1 later"`; the words after `mx`.
    Mx(Vec<String>),
    /// `web mta-sts.far.example serves /path "text"`; the words after `web`.
    Web(Vec<String>),
    /// `set sent_copy off`; the words after `set`.
    Set(Vec<String>),
    /// `inbox has 2 messages`, `mailbox Sent holds "text"`.
    Mailbox {
        name: String,
        check: Vec<String>,
    },
    /// `device add phone read`; the words after `device`.
    Device(Vec<String>),
    /// `queue is empty`, `queue has 2`; the words after `queue`.
    Queue(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Smtp,
    Submission,
    Submissions,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Https,
}

impl Service {
    fn named(name: &str) -> Option<Service> {
        Some(match name {
            "smtp" => Service::Smtp,
            "submission" => Service::Submission,
            "submissions" => Service::Submissions,
            "imap" => Service::Imap,
            "imaps" => Service::Imaps,
            "pop3" => Service::Pop3,
            "pop3s" => Service::Pop3s,
            "https" => Service::Https,
            _ => return None,
        })
    }

    pub fn implicit_tls(self) -> bool {
        matches!(self, Service::Submissions | Service::Imaps | Service::Pop3s | Service::Https)
    }
}

/// Reads a dialogue.
///
/// # Errors
/// The number of the line that cannot be read, and why.
pub fn parse(text: &str) -> Result<Script, (usize, String)> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
    let mut script = Script { title: String::new(), modes: MODES.to_vec(), steps: Vec::new() };
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim();
        if let Some(comment) = trimmed.strip_prefix('#') {
            if let Some(modes) = comment.trim().strip_prefix("modes:") {
                script.modes = parse_modes(modes).map_err(|why| (number, why))?;
            } else if script.title.is_empty() {
                script.title = comment.trim().to_owned();
            }
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        if script.title.is_empty() {
            return Err((number, "a dialogue begins with a comment that says what it shows".to_owned()));
        }
        let mut what = parse_step(line).map_err(|why| (number, why))?;
        if let What::Mail { inline: Some(text), .. } = &mut what {
            while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with('|')) {
                let line = line.get(1..).unwrap_or_default();
                text.extend(unescape(line.strip_prefix(' ').unwrap_or(line)).map_err(|why| (number, why))?);
                text.extend(b"\r\n");
            }
        }
        script.steps.push(Step { line: number, text: line.to_owned(), what });
    }
    match script.steps.is_empty() {
        true => Err((1, "nothing happens".to_owned())),
        false => Ok(script),
    }
}

/// `whole bytes, because ...`: the modes left, and the reason why not all.
fn parse_modes(text: &str) -> Result<Vec<Mode>, String> {
    let mut modes = Vec::new();
    let mut words = text.split_whitespace().map(|word| word.trim_matches(|c| ",:;".contains(c)));
    let mut reason = 0;
    for word in words.by_ref() {
        match MODES.into_iter().find(|mode| mode.name() == word) {
            Some(mode) if reason == 0 => modes.push(mode),
            _ => reason += 1,
        }
    }
    match (modes.is_empty(), reason) {
        (true, _) => Err("modes: names none of whole, bytes, pipelined".to_owned()),
        (false, 0..3) => Err("modes: needs a reason on the same line".to_owned()),
        (false, _) => Ok(modes),
    }
}

fn parse_step(line: &str) -> Result<What, String> {
    if let Some(talk) = parse_talk(line)? {
        return Ok(talk);
    }
    let words = words(line)?;
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = |from: usize| words.get(from..).unwrap_or_default().to_vec();
    Ok(match texts.as_slice() {
        ["mail", mailbox, "inline", flags @ ..] => What::Mail {
            mailbox: mailbox_name(mailbox),
            files: Vec::new(),
            flags: flags.iter().map(|flag| flag.to_string()).collect(),
            inline: Some(Vec::new()),
        },
        ["mail", mailbox, more @ ..] if !more.is_empty() => {
            let (flags, files) =
                more.iter().map(|word| word.to_string()).partition(|word| word.starts_with(['\\', '$']));
            What::Mail { mailbox: mailbox_name(mailbox), files, flags, inline: None }
        }
        ["open", client, service, more @ ..] => {
            let service = Service::named(service).ok_or("no such service")?;
            let (login, from) = match more {
                [] => (false, None),
                ["login"] => (true, None),
                ["from", address] => (false, Some(address.to_string())),
                ["login", "from", address] | ["from", address, "login"] => (true, Some(address.to_string())),
                _ => return Err("open CLIENT SERVICE [login] [from ADDRESS]".to_owned()),
            };
            What::Open { client: client.to_string(), service, login, from }
        }
        ["drop", client] => What::Drop(client.to_string()),
        ["at", wait] => What::Advance(parse_duration(wait.strip_prefix('+').unwrap_or(wait)).ok_or("at +5d, +90s")?),
        ["wall", jump] => {
            let back = jump.starts_with('-');
            let by = parse_duration(jump.trim_start_matches(['+', '-'])).ok_or("wall +400d, wall -20000d")?;
            What::Jump { by, back }
        }
        ["disk", ..] => What::Disk(rest(1)),
        ["cut", "power"] => What::CutPower,
        ["cut", "anywhere"] => What::CutAnywhere,
        ["network", "back"] => What::NetworkBack,
        ["restart"] => What::Restart,
        ["dns", ..] => What::Dns(rest(1)),
        ["mx", ..] => What::Mx(rest(1)),
        ["web", ..] => What::Web(rest(1)),
        ["set", ..] => What::Set(rest(1)),
        ["device", ..] => What::Device(rest(1)),
        ["queue", ..] => What::Queue(rest(1)),
        ["inbox", ..] => What::Mailbox { name: "INBOX".to_owned(), check: rest(1) },
        ["mailbox", name, ..] => What::Mailbox { name: name.to_string(), check: rest(2) },
        [client, "silent"] => What::Silent(client.to_string()),
        [client, "closed"] => What::Closed(client.to_string()),
        [client, "takes", "nothing"] => What::Takes { client: client.to_string(), all: false },
        [client, "takes", "all"] => What::Takes { client: client.to_string(), all: true },
        [client, "starttls"] => What::StartTls(client.to_string()),
        [client, "compress"] => What::Compress { client: client.to_string(), on: true },
        [client, "compress", "ends"] => What::Compress { client: client.to_string(), on: false },
        _ => return Err("no such step".to_owned()),
    })
}

/// `A> line`, `A>> bytes without CRLF`, `A< pattern`.
fn parse_talk(line: &str) -> Result<Option<What>, String> {
    let name_end = line.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(line.len());
    let (client, rest) = line.split_at(name_end);
    if client.is_empty() {
        return Ok(None);
    }
    let content = |sign: &str| -> Option<String> {
        let content = rest.strip_prefix(sign)?;
        Some(content.strip_prefix(' ').unwrap_or(content).to_owned())
    };
    if let Some(text) = content(">>") {
        return Ok(Some(What::Say { client: client.to_owned(), bytes: unescape(&text)? }));
    }
    if let Some(text) = content(">") {
        let mut bytes = unescape(&text)?;
        bytes.extend(b"\r\n");
        return Ok(Some(What::Say { client: client.to_owned(), bytes }));
    }
    Ok(content("<").map(|pattern| What::Expect { client: client.to_owned(), pattern }))
}

/// `\r \n \t \0 \\ \xNN` and `\{1000*text}` for repetition. Every other backslash stands for itself, so that IMAP's
/// `\Seen` and `\"` are written as they are.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.as_bytes());
        let next = after.chars().next();
        rest = match next {
            Some('r' | 'n' | 't' | '0' | '\\') => {
                out.push(match next {
                    Some('r') => b'\r',
                    Some('n') => b'\n',
                    Some('t') => b'\t',
                    Some('0') => 0,
                    _ => b'\\',
                });
                &after[1..]
            }
            Some('x') => {
                let digits = after.get(1..3).ok_or("\\x needs two digits")?;
                out.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?);
                &after[3..]
            }
            Some('{') => {
                let (inside, later) = after[1..].split_once('}').ok_or("\\{ without }")?;
                let (count, what) = inside.split_once('*').ok_or("\\{COUNT*TEXT}")?;
                let count: usize = count.parse().map_err(|_| "\\{COUNT*TEXT}")?;
                out.extend(unescape(what)?.repeat(count));
                later
            }
            _ => {
                out.push(b'\\');
                after
            }
        };
    }
    out.extend(rest.as_bytes());
    Ok(out)
}

/// Words of a directive; double quotes keep spaces together, and stay as a mark at the front for the reader.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, later) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = later.trim_start();
    }
    Ok(words)
}

fn mailbox_name(name: &str) -> String {
    match name.eq_ignore_ascii_case("inbox") {
        true => "INBOX".to_owned(),
        false => name.to_owned(),
    }
}

/// `5d`, `90s`, `500ms`, `2h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit_on) = rest.split_at(digits);
        let unit_end = unit_on.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_on.len());
        let (unit, later) = unit_on.split_at(unit_end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total += Duration::from_millis(count.parse::<u64>().ok()?.checked_mul(millis)?);
        rest = later;
    }
    (!text.is_empty()).then_some(total)
}

/// What the runner believes about its own words; run with the dialogues.
pub fn check_words() {
    assert_eq!(unescape("a\\r\\n\\0\\x41\\\\ \\Seen \\\"").unwrap(), b"a\r\n\0A\\ \\Seen \\\"");
    assert_eq!(unescape("<\\{3*ab}>").unwrap(), b"<ababab>");
    assert!(unescape("\\xZZ").is_err());
    assert_eq!(parse_duration("2h30m").map(|wait| wait.as_secs()), Some(9000));
    assert_eq!(parse_duration("5"), None);
    assert_eq!(words("mx HOST replies RCPT \"451 4.7.1 later\"").unwrap().last().unwrap(), "451 4.7.1 later");
    let parsed = parse("# Shows it\n# modes: whole bytes, because of the reason\nA>> x\nA silent\n")
        .unwrap_or_else(|_| panic!());
    assert_eq!(parsed.modes, [Mode::Whole, Mode::Bytes]);
    assert!(matches!(&parsed.steps[0].what, What::Say { bytes, .. } if bytes == b"x"));
    assert!(parse("# Shows it\n# modes: whole\nA silent\n").is_err());
    assert!(parse("A silent\n").is_err());
    assert_eq!(parse("# Shows it\nA sings\n").err().map(|(line, _)| line), Some(2));
}
