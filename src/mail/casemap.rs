//! i;unicode-casemap (RFC 5051): the order and the sameness of strings for SORT and THREAD, and what SEARCH folds by.
//!
//! Receives decoded text; hands on text whose bytes compare as the collation wants. Reads no tables of its own: simple
//! titlecase is made from the standard library's upper case, decomposition is that of Normalization Form KD. Each character
//! is mapped by itself, so that the result does not depend on how text was cut.

use icu_normalizer::DecomposingNormalizerBorrowed;
use std::iter::once;

const DECOMPOSE: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();

/// The "titlecased canonicalized" form of a character (RFC 5051 section 2, step 2).
pub fn casemap_char(c: char) -> impl Iterator<Item = char> {
    DECOMPOSE.normalize_iter(once(titlecase(c)))
}

/// Appends the form of `text` that compares byte by byte. NUL is left out: it parts the keys of SORT.
pub fn casemap_into(text: &str, mapped: &mut String) {
    for c in text.chars() {
        match c {
            '\0' => {}
            _ if c.is_ascii() => mapped.push(c.to_ascii_uppercase()),
            _ => mapped.extend(casemap_char(c)),
        }
    }
}

/// See [`casemap_into`].
pub fn casemap(text: &str) -> String {
    let mut mapped = String::with_capacity(text.len());
    casemap_into(text, &mut mapped);
    mapped
}

/// The simple titlecase mapping of UnicodeData.txt, where the standard library only knows upper case in full.
fn titlecase(c: char) -> char {
    let moved = |by: u32| char::from_u32(u32::from(c) + by).unwrap_or(c);
    match c {
        // Digraphs are the only letters with a titlecase beside their capital.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian capitals are for whole texts: these letters are their own titlecase.
        '\u{10d0}'..='\u{10ff}' => c,
        // Greek with iota subscript: one character in titlecase, two in capitals.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => moved(8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => moved(9),
        _ => {
            let mut upper = c.to_uppercase();
            // Several characters come from SpecialCasing.txt, which the collation does not know.
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 5051 section 2: U+01C4 becomes U+0044, U+007A, U+030C.
        for c in ['\u{1c4}', '\u{1c5}', '\u{1c6}'] {
            assert_eq!(casemap_char(c).collect::<String>(), "Dz\u{30c}");
        }
    }

    #[test]
    fn cases_are_united_and_marks_come_apart() {
        for (text, mapped) in [
            ("Grüße", "GRU\u{308}ßE"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "ΣΙ\u{301}ΣΥΦΟΣ ΣΙ\u{301}ΣΥΦΟΣ"),
            ("привет", "ПРИВЕТ"),
            ("\u{fb01}n", "fiN"),
            ("\u{1f80}\u{1f88}", "Α\u{313}\u{345}Α\u{313}\u{345}"),
            ("\u{1fb3}\u{1fbc}", "Α\u{345}Α\u{345}"),
            ("\u{10d0}\u{1c90}", "\u{10d0}\u{1c90}"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("ａb①", "Ab1".replace('b', "B").as_str()),
            ("a\0b", "AB"),
        ] {
            // Wide letters are titlecased before they are decomposed.
            assert_eq!(casemap(text), mapped, "{text}");
        }
        assert_eq!(casemap("e\u{301}"), casemap("É"));
    }
}
