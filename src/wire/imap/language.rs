//! The languages in which texts for people are said (RFC 5255 section 3).
//!
//! Every text is written in English where it is said; here stands what it is in German. A text that is not here is said in
//! English; a test finds the ones that are missing.

mod german;

use std::borrow::Cow;

/// A language a client can choose. Its texts are UTF-8 from then on, those of the default are US-ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Language {
    /// `i-default` (RFC 2277 section 4.5): what is said until a client asks for something else.
    #[default]
    Default,
    /// English.
    English,
    /// German.
    German,
}

impl Language {
    /// Each language with its tag (RFC 5646).
    pub const ALL: [(Language, &'static str); 3] =
        [(Language::English, "EN"), (Language::German, "DE"), (Language::Default, "i-default")];

    /// Its tag.
    pub fn tag(self) -> &'static str {
        Language::ALL.iter().find(|(one, _)| *one == self).map_or("i-default", |(_, tag)| *tag)
    }

    /// The first of these ranges that means a language known here: by looking it up (RFC 4647 section 3.4), less and less of it.
    /// `default` and `*` mean English.
    pub fn first_of(ranges: &[String]) -> Option<Language> {
        ranges.iter().find_map(|range| Language::of(range))
    }

    fn of(range: &str) -> Option<Language> {
        if range.eq_ignore_ascii_case("default") || range == "*" {
            return Some(Language::English);
        }
        let mut range = range;
        loop {
            if let Some((language, _)) = Language::ALL.iter().find(|(_, tag)| tag.eq_ignore_ascii_case(range)) {
                return Some(*language);
            }
            range = range.rsplit_once('-')?.0;
        }
    }

    /// A text in this language.
    pub fn say(self, english: &str) -> Cow<'_, str> {
        match self {
            Language::Default | Language::English => english.into(),
            Language::German => german::of(english).unwrap_or(english.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_looked_up() {
        let first =
            |ranges: &[&str]| Language::first_of(&ranges.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(first(&["de"]), Some(Language::German));
        assert_eq!(first(&["FR-CA", "en-CA"]), Some(Language::English));
        assert_eq!(first(&["de-DE-1996"]), Some(Language::German));
        assert_eq!(first(&["I-Default"]), Some(Language::Default));
        assert_eq!(first(&["default"]), Some(Language::English));
        assert_eq!(first(&["MUL"]), None);
        assert_eq!(first(&["deutsch"]), None);
        assert_eq!(first(&["-"]), None);
    }

    #[test]
    fn german_is_german() {
        assert_eq!(Language::German.say("NOOP completed"), "NOOP ausgeführt");
        assert_eq!(Language::English.say("NOOP completed"), "NOOP completed");
        assert_eq!(Language::German.say("mail.home.test ready"), "mail.home.test ready");
    }
}
