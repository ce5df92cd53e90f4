//! SASLprep (RFC 4013): names and passwords in the one form in which they are compared and hashed.
//!
//! What people type as the same letters comes as different code points from different keyboards; SCRAM clients hash the
//! prepared form, so whoever keeps a verifier must have made it of the same. Not checked: bidirectional text (RFC 3454
//! section 6), whose rules protect eyes from look-alikes and no key, and unassigned code points, which grow with every
//! Unicode version while the list of RFC 3454 stands still at 3.2.

use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// The prepared form; `None` when the text has characters that RFC 4013 section 2.3 prohibits.
pub fn prepare(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Some(Cow::Borrowed(text));
    }
    let mapped: String = text.chars().filter(|c| !is_mapped_to_nothing(*c)).map(space_for).collect();
    let normalized = ComposingNormalizerBorrowed::new_nfkc().normalize(&mapped).into_owned();
    (!normalized.chars().any(is_prohibited)).then_some(Cow::Owned(normalized))
}

/// RFC 3454 table B.1.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// RFC 3454 table C.1.2: every space is the space. (U+200B stands in B.1, too; RFC 4013 section 2.1 names the spaces first.)
fn space_for(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}

/// RFC 3454 tables C.2.1 to C.9, as RFC 4013 section 2.3 lists them. (C.5, surrogates, cannot be in a `char`.)
#[rustfmt::skip]
fn is_prohibited(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        // C.2.2, C.6, C.7, C.8
        || matches!(c, '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{2ff0}'..='\u{2ffb}' | '\u{340}' | '\u{341}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}')
        // C.3: private use
        || matches!(code, 0xe000..=0xf8ff | 0xf0000..)
        // C.4: not characters
        || matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
        // C.9: tags
        || matches!(code, 0xe0001 | 0xe0020..=0xe007f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_rfc_4013_section_3() {
        for (given, wanted) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
        ] {
            assert_eq!(prepare(given).as_deref(), wanted, "{given:?}");
        }
    }

    #[test]
    fn the_same_letters_from_different_keyboards() {
        assert_eq!(prepare("pa\u{308}ss\u{a0}wort"), prepare("p\u{e4}ss wort"));
        assert_eq!(prepare("p\u{e4}ss wort").as_deref(), Some("p\u{e4}ss wort"));
        assert_eq!(prepare("\u{fb01}\u{200b}x").as_deref(), Some("fi x"));
        assert_eq!(prepare("\u{e000}"), None);
        assert_eq!(prepare("a\u{202e}b"), None);
    }

    proptest! {
        #[test]
        fn prepared_text_is_its_own_prepared_form(text in "\\PC{0,20}") {
            if let Some(once) = prepare(&text) {
                let twice = prepare(&once);
                prop_assert_eq!(twice.as_deref(), Some(&*once));
            }
        }
    }
}
