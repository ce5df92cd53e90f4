//! How well a message fits what FUZZY keys look for (RFC 6203 section 4): 1 to 100.
//!
//! Receives the facts of one message that matched; hands on its score, or what is missing to give one. A string that stands
//! where people look for it, as they wrote it, counts most; its words somewhere in a text count least.

use super::envelope::{EnvelopeField, envelope_text};
use super::fuzzy::{Fit, bare, fit};
use super::{Answer, Facts, header_text};

/// The fields in which people look for what they remember.
pub(super) const REMEMBERED: [EnvelopeField; 4] =
    [EnvelopeField::Subject, EnvelopeField::From, EnvelopeField::To, EnvelopeField::Cc];

/// One FUZZY string.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub place: Place,
    /// Folded.
    pub string: String,
    pub words: Vec<String>,
}

/// Where it is looked for.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Field(EnvelopeField),
    /// The name in lower case.
    Header(String),
    /// In texts, and with `header` in what people remember too. The needles are those of the string and of its words.
    Text {
        header: bool,
        string: Option<usize>,
        words: Vec<usize>,
    },
}

/// The score of a message that matched: the mean of what it fulfils. `Err` says what is missing.
pub(super) fn score(wishes: &[Wish], facts: &Facts) -> Result<u8, Answer> {
    let mut fulfilled = Vec::with_capacity(wishes.len());
    for wish in wishes {
        match points(wish, facts)? {
            0 => {}
            points => fulfilled.push(points),
        }
    }
    // It matched, though maybe by something else than a string.
    Ok(if wishes.is_empty() { 100 } else { mean(fulfilled.into_iter()).clamp(1, 100) as u8 })
}

fn points(wish: &Wish, facts: &Facts) -> Result<u32, Answer> {
    match &wish.place {
        Place::Field(field) => {
            let index = facts.index.ok_or(Answer::NeedIndex)?;
            let text = envelope_text(&index.envelope, *field).unwrap_or_default();
            Ok(in_field(&text, &wish.string, &wish.words))
        }
        Place::Header(name) => {
            let header = facts.header.ok_or(Answer::NeedHeader)?;
            Ok(in_field(&header_text(header, name), &wish.string, &wish.words))
        }
        Place::Text { header, string, words } => {
            let hits = facts.hits.ok_or(Answer::NeedHits)?;
            let bits = if *header { hits.header | hits.body } else { hits.body };
            let has = |needle: usize| bits >> needle & 1 == 1;
            let mut fields = Vec::new();
            if *header {
                let index = facts.index.ok_or(Answer::NeedIndex)?;
                fields.extend(REMEMBERED.iter().filter_map(|field| envelope_text(&index.envelope, *field)));
            }
            let whole = string.map_or(0, |needle| if has(needle) { 70 } else { 0 });
            let words = wish.words.iter().zip(words).map(|(word, needle)| {
                let best = fields.iter().map(|field| of_fit(fit(&bare(field), word))).max();
                best.unwrap_or(0).max(if has(*needle) { 40 } else { 0 })
            });
            let words = mean(words);
            let fields = fields.iter().map(|field| in_field(field, &wish.string, &wish.words)).max();
            Ok(whole.max(words).max(fields.unwrap_or(0)))
        }
    }
}

/// How well a string fits the folded text of a field.
fn in_field(text: &str, string: &str, words: &[String]) -> u32 {
    if text == string {
        return 100;
    }
    if text.contains(string) {
        return 90;
    }
    let bare = bare(text);
    mean(words.iter().map(|word| of_fit(fit(&bare, word))))
}

fn of_fit(fit: Fit) -> u32 {
    match fit {
        Fit::Contained => 75,
        Fit::Nearly => 50,
        Fit::Not => 0,
    }
}

fn mean(points: impl Iterator<Item = u32>) -> u32 {
    let (sum, count) = points.fold((0, 0), |(sum, count), points| (sum + points, count + 1));
    sum / count.max(1)
}
