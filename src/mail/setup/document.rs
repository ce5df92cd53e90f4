//! Writes XML: elements within elements, indented, with all text escaped.
//!
//! What always holds: whatever the texts are, the document is well-formed (XML 1.0). Characters that XML cannot hold are left out.

use quick_xml::escape::escape;
use std::fmt::Write;

/// A document as it grows.
pub struct Document {
    text: String,
    depth: usize,
}

impl Document {
    /// With this document type declaration after the first line, or without one if it is empty.
    pub fn new(doctype: &str) -> Document {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        if !doctype.is_empty() {
            let _ = writeln!(text, "{doctype}");
        }
        Document { text, depth: 0 }
    }

    /// An element with elements in it.
    pub fn element(&mut self, name: &str, attributes: &[(&str, &str)], content: impl FnOnce(&mut Document)) {
        self.indent();
        let _ = write!(self.text, "<{name}");
        for (attribute, value) in attributes {
            let _ = write!(self.text, " {attribute}=\"{}\"", escape(legal(value)));
        }
        self.text.push_str(">\n");
        self.depth += 1;
        content(self);
        self.depth -= 1;
        self.indent();
        let _ = writeln!(self.text, "</{name}>");
    }

    /// An element with text in it.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.indent();
        let _ = match text {
            "" => writeln!(self.text, "<{name}/>"),
            text => writeln!(self.text, "<{name}>{}</{name}>", escape(legal(text))),
        };
    }

    fn indent(&mut self) {
        let spaces = self.depth * 2;
        let _ = write!(self.text, "{:spaces$}", "");
    }

    /// The whole of it.
    pub fn finish(self) -> String {
        self.text
    }
}

/// `Char` of XML 1.0 section 2.2, without the two control characters in it that no value here has.
fn legal(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    #[test]
    fn texts_stay_texts() {
        let mut document = Document::new("");
        document.element("a", &[("b", "\"<'&\u{0}\n")], |document| {
            document.leaf("c", "</a>&amp;\u{1b}[2J\u{ffff}ü");
            document.leaf("d", "");
        });
        let text = document.finish();
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a b=\"&quot;&lt;&apos;&amp;\">\n  \
                      <c>&lt;/a&gt;&amp;amp;[2Jü</c>\n  <d/>\n</a>\n";
        assert_eq!(text, wanted);
        let mut reader = Reader::from_str(&text);
        while reader.read_event().unwrap() != Event::Eof {}
    }
}
