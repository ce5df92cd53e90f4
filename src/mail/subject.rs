//! The base subject (RFC 5256 section 2.1): what is left of a subject without what answering, forwarding and mailing lists
//! have put around it.
//!
//! Receives a subject as people read it; hands on a part of it and whether it was an answer or was forwarded. Time is linear
//! in the subject, whatever it is.

/// A subject without its artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BaseSubject {
    /// Tabs, line ends and runs of spaces are single spaces in it. Not mapped to one case.
    pub text: String,
    /// A `subj-refwd`, a `(fwd)` or a `[fwd: ]` was removed (RFC 5256 section 3, REFERENCES).
    pub is_reply: bool,
}

/// The base subject of a decoded subject.
pub fn base_subject(subject: &str) -> BaseSubject {
    let spaced = single_spaced(subject);
    let mut text = spaced.as_str();
    let mut is_reply = false;
    loop {
        // Step 2.
        loop {
            text = text.trim_end_matches(' ');
            let Some(before) = without_suffix(text, "(fwd)") else { break };
            (text, is_reply) = (before, true);
        }
        // Steps 3 to 5.
        text = without_leaders(text, &mut is_reply);
        // Step 6.
        match without_prefix(text, "[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => (text, is_reply) = (inside, true),
            None => return BaseSubject { text: text.to_owned(), is_reply },
        }
    }
}

/// Step 1. Encoded words may hold line ends and tabs.
fn single_spaced(subject: &str) -> String {
    let mut spaced = String::with_capacity(subject.len());
    for c in subject.chars() {
        let c = if matches!(c, '\t' | '\r' | '\n') { ' ' } else { c };
        if c != ' ' || !spaced.ends_with(' ') {
            spaced.push(c);
        }
    }
    spaced
}

/// Removes every `subj-leader`, and every `subj-blob` that is not all there is. A run of blobs is looked at once: where no
/// `subj-refwd` follows it, none follows a part of it.
fn without_leaders<'t>(mut text: &'t str, is_reply: &mut bool) -> &'t str {
    loop {
        text = text.trim_start_matches(' ');
        let (mut last_blob, mut behind) = (text, text);
        while let Some(rest) = without_blob(behind) {
            (last_blob, behind) = (behind, rest);
        }
        match without_refwd(behind) {
            Some(rest) => (text, *is_reply) = (rest, true),
            // The last blob is the subject if there is nothing else.
            None if behind.is_empty() => return last_blob,
            None => return behind,
        }
    }
}

/// What follows `subj-refwd`, if the text begins with one.
fn without_refwd(text: &str) -> Option<&str> {
    let rest = ["re", "fwd", "fw"].iter().find_map(|word| without_prefix(text, word))?;
    let rest = rest.trim_start_matches(' ');
    without_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// What follows `subj-blob`, if the text begins with one.
fn without_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    Some(inside.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

fn without_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn without_suffix<'t>(text: &'t str, suffix: &str) -> Option<&'t str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn artifacts_are_removed_as_the_grammar_says() {
        for (subject, base, is_reply) in [
            ("Grüße", "Grüße", false),
            ("  a \t b\r\n c ", "a b c", false),
            ("Re: a", "a", true),
            ("RE : fwd:Fw:  a (fwd) (FWD) ", "a", true),
            ("re[2]: a", "a", true),
            ("Re [list] : a", "a", true),
            ("[list] Re: [list] a", "a", true),
            ("[a][b] [c] d", "d", false),
            ("[a] [b]", "[b]", false),
            ("[a", "[a", false),
            ("[a[b]] c", "[a[b]] c", false),
            ("[Fwd: [list] Re: a (fwd)]", "a", true),
            ("[fwd: a] b", "b", false),
            ("[fwd: [fwd: a]]", "a", true),
            ("[fwd:]", "", true),
            ("(fwd)", "", true),
            ("Re:", "", true),
            ("Re: [list]", "[list]", true),
            ("Reply: a", "Reply: a", false),
            ("Re a: b", "Re a: b", false),
            ("Fwdd: a", "Fwdd: a", false),
            ("AW: a", "AW: a", false),
            ("", "", false),
            ("   ", "", false),
        ] {
            assert_eq!(base_subject(subject), BaseSubject { text: base.to_owned(), is_reply }, "{subject}");
        }
    }

    #[test]
    fn long_subjects_take_no_longer() {
        for piece in ["[a]", "[", "re:", "[fwd:", "(fwd)", "re[a]", "[a] re"] {
            base_subject(&piece.repeat(100_000));
        }
        let nested = format!("{}a{}", "[fwd: ".repeat(50_000), "] ".repeat(50_000));
        assert_eq!(base_subject(&nested).text, "a");
    }

    proptest! {
        #[test]
        fn a_base_subject_has_nothing_more_to_remove(subject in "(\\[|\\]|a|é|re|fwd|:|\\(fwd\\)| |\t){0,12}") {
            let base = base_subject(&subject);
            let again = base_subject(&base.text);
            prop_assert_eq!(&again.text, &base.text);
            prop_assert!(!again.is_reply);
        }
    }
}
