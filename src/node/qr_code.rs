//! QR codes on a terminal.
//!
//! Receives a link; hands on lines of half blocks, two modules high each. They are black on white whatever the terminal's colours are, and a
//! margin of four modules is around them, as cameras want it (ISO/IEC 18004 section 6.3.8).

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules around the code.
const MARGIN: i32 = 4;
/// Black on white, of the 256 colours that no theme changes.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const AS_BEFORE: &str = "\x1b[0m";

/// Draws a text as a code. `None`: it is too long for one.
pub fn draw(text: &str) -> Option<String> {
    // The correction is as good as the size that the text needs anyway allows.
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let modules = -MARGIN..code.size() + MARGIN;
    let mut drawn = String::new();
    for y in modules.clone().step_by(2) {
        drawn.push_str(BLACK_ON_WHITE);
        for x in modules.clone() {
            // Outside of the code all is light.
            drawn.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push_str(AS_BEFORE);
        drawn.push('\n');
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_terminal_and_has_its_margin() {
        let drawn = draw("https://mail.example.org/d/AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let lines: Vec<String> =
            drawn.lines().map(|line| line.replace(BLACK_ON_WHITE, "").replace(AS_BEFORE, "")).collect();
        let width = lines[0].chars().count();
        assert!(width <= 45 && lines.len() == width.div_ceil(2), "{width}");
        let is_light = |line: &String| line.chars().all(|c| c == ' ');
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() == width && line.starts_with("    ") && line.ends_with("    "))
        );
        assert!(lines[..2].iter().all(is_light) && lines[lines.len() - 2..].iter().all(is_light));
        // The corner that every code has.
        assert!(lines[2].trim_start().starts_with("█▀▀▀▀▀█"), "{drawn}");
        assert_eq!(draw(&"x".repeat(3_000)), None);
    }
}
