//! Text from elsewhere (devices, file names) on a terminal and in a log.

use std::borrow::Cow;

/// The text with everything escaped that would drive a terminal or hide what is written: control characters, and those that
/// turn the direction of writing.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminal_control_characters_are_escaped() {
        assert!(matches!(printable("Grüße 😀"), Cow::Borrowed("Grüße 😀")));
        assert_eq!(printable("a\n\u{1b}[2Jb"), r"a\n\u{1b}[2Jb");
        assert_eq!(printable("\u{9b}x\u{202e}"), r"\u{9b}x\u{202e}");
    }
}
