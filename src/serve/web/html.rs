//! HTML, so that nothing of it can be forgotten to be escaped: what is not written here, as a constant, is text.
//!
//! Receives pieces; hands on a document. Escaping is done by the `quick-xml` crate: HTML knows the same five entities.

/// More than a page has: room is not made anew while it grows, so that no copy of a password stays behind.
const CAPACITY_BYTES: usize = 24 << 10;

/// A document that grows.
pub struct Html(String);

impl Html {
    /// Nothing yet.
    pub fn new() -> Html {
        Html(String::with_capacity(CAPACITY_BYTES))
    }

    /// Mark-up of ours.
    pub fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// Text, for an element or for a value in double quotes.
    pub fn text(&mut self, text: &str) -> &mut Html {
        self.0.push_str(&quick_xml::escape::escape(text));
        self
    }

    /// An element without attributes, with text in it.
    pub fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Html {
        self.raw(open).text(text).raw(close)
    }

    /// The document.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::new();
        html.element("<p title=\"", "\"><script>alert('1')</script>&", "\">");
        let text = String::from_utf8(html.finish()).unwrap();
        assert_eq!(text.matches(['<', '>']).count(), 2, "{text}");
        assert_eq!(text.matches('"').count(), 2, "{text}");
        assert!(text.contains("&lt;script&gt;") && text.contains("&amp;") && !text.contains('\''));
    }
}
