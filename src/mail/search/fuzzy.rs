//! What FUZZY finds beside what a plain key finds (RFC 6203): words in any order, without their accents, with `ss` for `ß`, in
//! compatible forms of either case, and in header fields with a slip of the finger.
//!
//! Receives folded text ([`crate::mail::text`]); hands on bare text, words, and whether they are there. Must always hold:
//! what contains a string contains each of its words, so that FUZZY never finds less than the plain key; and a signature
//! never rules out a word that is in the text as it was written, or with few accents.

use crate::limits::{FUZZY_ACCENTS_MAX, FUZZY_FIELD_WORDS_MAX, FUZZY_WORD_CHARS_MAX};
use crate::mail::index::signature;

/// The accents of Europe, which folded text has behind their letters. With all that there are, some spelling of any word would
/// look possible in any message: see [`may_contain_bare`]. Others stay where they are.
const ACCENTS: &str = "\u{300}\u{301}\u{302}\u{303}\u{306}\u{307}\u{308}\u{30a}\u{30b}\u{30c}\u{326}\u{327}\u{328}";

/// Letters that are written with a stroke, which no decomposition takes off, behind the letter that they are without it.
const STROKED: [(char, char); 3] = [('d', 'đ'), ('l', 'ł'), ('o', 'ø')];

fn is_accent(c: char) -> bool {
    !c.is_ascii() && ACCENTS.contains(c)
}

fn without_stroke(c: char) -> Option<char> {
    STROKED.iter().find(|(_, stroked)| *stroked == c).map(|(letter, _)| *letter)
}

/// Appends folded text in lower case and without its accents, character by character, so that what i;unicode-casemap keeps
/// apart though it differs in case alone is the same: `ß` and `SS`, the letters of a ligature and those beside it.
pub(super) fn bare_into(folded: &str, bare: &mut String) {
    for c in folded.chars() {
        match c {
            _ if c.is_ascii() => bare.push(c.to_ascii_lowercase()),
            _ if is_accent(c) => {}
            'ß' | 'ẞ' => bare.push_str("ss"),
            _ => bare.extend(c.to_lowercase().map(|c| without_stroke(c).unwrap_or(c))),
        }
    }
}

pub(super) fn bare(folded: &str) -> String {
    let mut bare = String::with_capacity(folded.len());
    bare_into(folded, &mut bare);
    bare
}

/// A word to be found without its accents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub bare: String,
    /// How many it was written with, and letters that stayed small when it was folded.
    pub accents: usize,
}

impl Word {
    /// A word of folded text.
    pub fn new(folded: &str) -> Word {
        let bare = bare(folded);
        let mut accents = 0;
        for c in folded.chars() {
            let stroked = c.to_lowercase().any(|c| without_stroke(c).is_some());
            accents += usize::from(is_accent(c)) + usize::from(stroked) + usize::from(capital(c).is_some());
        }
        Word { bare, accents }
    }
}

/// The words of a text: letters, their accents and digits that stand together.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let parted = text.split(|c: char| !c.is_alphanumeric() && !is_accent(c));
    parted.filter(|word| word.contains(char::is_alphanumeric))
}

/// How well a word fits a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Not at all.
    Not,
    /// A word of the field is spelled nearly so.
    Nearly,
    /// It is in the field, as it is.
    Contained,
}

/// How well a bare word fits the bare text of a field.
pub(super) fn fit(field: &str, word: &str) -> Fit {
    if field.contains(word) {
        return Fit::Contained;
    }
    let slips = slips_forgiven(word.chars().count());
    match slips > 0 && words(field).take(FUZZY_FIELD_WORDS_MAX).any(|other| is_near(word, other, slips)) {
        true => Fit::Nearly,
        false => Fit::Not,
    }
}

/// How many slips a word of that many characters may have: short words would fit everything.
fn slips_forgiven(chars: usize) -> usize {
    match chars {
        4..=7 => 1,
        8..=FUZZY_WORD_CHARS_MAX => 2,
        _ => 0,
    }
}

/// Whether at most so many characters are missing, too many, others, or swapped with their neighbour.
fn is_near(one: &str, other: &str, slips: usize) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > slips {
        return false;
    }
    // The distance of every beginning of `one` to every beginning of `other`, row by row.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&row, j) + usize::from(a != b)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a) {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        if next.iter().min().is_some_and(|least| *least > slips) {
            return false;
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().is_some_and(|distance| *distance <= slips)
}

/// The last bytes of a text that is being spelled, two at most, and how many accents it has had.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tail {
    bytes: [u8; 2],
    known: u8,
    accents: usize,
}

impl Tail {
    /// Spells on; `None` when the signature says that no text does.
    fn spell(mut self, signature: &[u8], c: char) -> Option<Tail> {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let [one, two] = self.bytes;
            if self.known == 2 && !signature::may_contain(signature, &[one, two, byte]) {
                return None;
            }
            self = Tail { bytes: [two, byte], known: (self.known + 1).min(2), ..self };
        }
        Some(self)
    }
}

/// Whether a text with this signature may contain the word in some spelling: as it was written, or with up to
/// [`FUZZY_ACCENTS_MAX`] accents. With any number of them a signature would rule out next to nothing.
pub(super) fn may_contain_bare(signature: &[u8], word: &Word) -> bool {
    let accents_max = FUZZY_ACCENTS_MAX.max(word.accents);
    let mut tails = vec![Tail { bytes: [0; 2], known: 0, accents: 0 }];
    // What was spelled with `ß` up to here, while its second `s` is to come.
    let mut ahead: Vec<Tail> = Vec::new();
    let mut letters = word.bare.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut next = std::mem::take(&mut ahead);
        for spelling in spellings(letter) {
            spell_all(signature, &tails, spelling, accents_max, &mut next);
        }
        if letter == 's' && letters.peek() == Some(&'s') {
            ['ß', 'ẞ'].into_iter().for_each(|sharp| spell_all(signature, &tails, (sharp, 0), accents_max, &mut ahead));
        }
        // A letter may have several accents.
        let mut added = next.clone();
        while !added.is_empty() {
            let mut accented = Vec::new();
            for accent in ACCENTS.chars() {
                spell_all(signature, &added, (accent, 1), accents_max, &mut accented);
            }
            accented.retain(|tail| join(&mut next, *tail));
            added = accented;
        }
        if next.is_empty() && ahead.is_empty() {
            return false;
        }
        tails = next;
    }
    true
}

/// The capital of a small letter.
fn capital(c: char) -> Option<char> {
    let mut upper = c.to_uppercase();
    upper.next().filter(|capital| upper.next().is_none() && *capital != c)
}

/// The characters that folded text may have for a bare letter, and their accents: its capital as a rule, and the letter itself
/// where there is none or where a compatible form was taken apart. The latter is rare and counts as an accent.
fn spellings(letter: char) -> impl Iterator<Item = (char, usize)> {
    let stroked = STROKED.iter().find(|(plain, _)| *plain == letter).map(|(_, stroked)| (*stroked, 1));
    [Some((letter, 0)), stroked].into_iter().flatten().flat_map(|(c, accents)| {
        let capital = capital(c);
        [capital.map(|capital| (capital, accents)), Some((c, accents + usize::from(capital.is_some())))]
            .into_iter()
            .flatten()
    })
}

/// Adds to `next` what becomes of each of these when a character follows that has so many accents.
fn spell_all(signature: &[u8], tails: &[Tail], (c, accents): (char, usize), accents_max: usize, next: &mut Vec<Tail>) {
    let tails = tails.iter().map(|tail| Tail { accents: tail.accents + accents, ..*tail });
    for tail in tails.filter(|tail| tail.accents <= accents_max).filter_map(|tail| tail.spell(signature, c)) {
        join(next, tail);
    }
}

/// Adds a tail, unless the same one is there with no more accents.
fn join(tails: &mut Vec<Tail>, tail: Tail) -> bool {
    match tails.iter_mut().find(|other| other.bytes == tail.bytes && other.known == tail.known) {
        Some(other) if other.accents <= tail.accents => return false,
        Some(other) => other.accents = tail.accents,
        None => tails.push(tail),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::Indexer;
    use crate::mail::text::fold;
    use proptest::prelude::*;

    fn signature_of(text: &str) -> Vec<u8> {
        let mut indexer = Indexer::new();
        indexer.push(format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n").as_bytes());
        indexer.finish().signature
    }

    #[test]
    fn accents_fall_away() {
        assert_eq!(bare(&fold("Crème BRÛLÉE für Jürgen Łukasz, Ørsted")), "creme brulee fur jurgen lukasz, orsted");
        assert_eq!(bare(&fold("Ёлка Ωδή")), "елка ωδη");
        assert_eq!(bare(&fold("Straße GROẞ ﬁn ªㅋ")), bare(&fold("STRASSE gross FIN Aㅋ")));
        assert_eq!(words("imap, is-broken 4x").collect::<Vec<_>>(), ["imap", "is", "broken", "4x"]);
        assert_eq!(words(&fold("für \u{308} nö")).map(bare).collect::<Vec<_>>(), ["fur", "no"]);
    }

    #[test]
    fn a_slip_is_forgiven_in_longer_words() {
        for (field, word, wanted) in [
            ("hello there", "helo", Fit::Nearly),
            ("help", "helo", Fit::Nearly),
            ("hlelo", "hello", Fit::Nearly),
            ("hello", "hell", Fit::Contained),
            ("broken imap", "break", Fit::Not),
            ("der zug", "zuk", Fit::Not),
            ("mueller", "muller", Fit::Nearly),
            ("rechnungsnummer", "rechnugnsnumer", Fit::Nearly),
            ("rechnung", "zeichnung", Fit::Nearly),
            ("rechnung", "bezeichnung", Fit::Not),
            ("", "hello", Fit::Not),
        ] {
            assert_eq!(fit(field, word), wanted, "{field} {word}");
        }
    }

    #[test]
    fn a_signature_rules_out_words_in_any_spelling() {
        let signature = signature_of("Grüße aus Köln, übermorgen");
        for there in ["grusse", "GRÜSSE", "grüße", "koln", "ubermorgen", "übermörgen", "k", "ol"] {
            assert!(may_contain_bare(&signature, &Word::new(&fold(there))), "{there}");
        }
        for not in ["zanzibarite", "quokkawarte", "rechnungsnummer"] {
            assert!(!may_contain_bare(&signature, &Word::new(&fold(not))), "{not}");
        }
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_ruled_out(text in "[a-esSßẞﬁªἀａüéñøłŁu\u{308}ạ ]{0,40}", start in 0usize..30, length in 1usize..8) {
            let folded = fold(&text);
            let word = Word::new(&folded.chars().skip(start).take(length).collect::<String>());
            prop_assert!(may_contain_bare(&signature_of(&text), &word));
            if word.accents <= FUZZY_ACCENTS_MAX {
                prop_assert!(may_contain_bare(&signature_of(&text), &Word::new(&fold(&word.bare))));
            }
        }

        #[test]
        fn a_word_is_near_itself_with_one_slip(word in "[a-z]{4,12}", at in 0usize..12, c in "[a-z]") {
            let mut other: Vec<char> = word.chars().collect();
            let at = at % other.len();
            other[at] = c.chars().next().unwrap();
            let other: String = other.into_iter().collect();
            prop_assert!(fit(&other, &word) != Fit::Not);
        }
    }
}
