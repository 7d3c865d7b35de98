//! Text from outside, as pages show it: whatever it is made of, it is read as text and stays where it stands.
//!
//! A receiver's answer, a payload, a name or a header may hold anything. Templates escape markup; here is the rest: what
//! would turn a line around, hide in it or move the reader's eye (control characters, marks of direction, characters
//! without width) is written as its number, and what is too long is cut and says so. There is no other way from a
//! [`String`] of outside into a page.

use std::fmt;

/// Longest line that is shown whole, in characters: longer than any name or header that we accept needs to be.
const LINE_MAX: usize = 300;
/// Longest text that is shown, in bytes: the first sixteen of a thousand bytes, what is kept of an answer.
const BLOCK_MAX: usize = 16 * 1024;

/// Text that is fit for a page; markup in it is left to the template, which escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Text(String);

impl Text {
    /// One line: breaks are shown as their numbers, and what is longer than a line is cut.
    pub(super) fn line(raw: &str) -> Self {
        let mut shown = String::with_capacity(raw.len().min(LINE_MAX * 2));
        for (count, character) in raw.chars().enumerate() {
            if count == LINE_MAX {
                shown.push('…');
                break;
            }
            push(&mut shown, character, false);
        }
        Self(shown)
    }

    /// A text of several lines: breaks and tabs stay, and what is longer than [`BLOCK_MAX`] is cut.
    pub(super) fn block(raw: &str) -> Self {
        let cut = &raw[..raw.floor_char_boundary(BLOCK_MAX)];
        let mut shown = String::with_capacity(cut.len());
        cut.chars().for_each(|character| push(&mut shown, character, true));
        if cut.len() < raw.len() {
            shown.push_str(&format!("\n… and {} bytes more", raw.len() - cut.len()));
        }
        Self(shown)
    }

    /// The value of a form's field, whole and as it was typed: it stands in a box of its own, and comes back with the form.
    pub(super) fn typed(raw: &str) -> Self {
        Self(raw.to_owned())
    }

    /// Bytes that may be text: as [`block`](Self::block), what is no UTF-8 as its number.
    pub(super) fn bytes(raw: &[u8]) -> Self {
        let mut shown = String::new();
        for chunk in raw[..raw.len().min(BLOCK_MAX)].utf8_chunks() {
            chunk.valid().chars().for_each(|character| push(&mut shown, character, true));
            chunk.invalid().iter().for_each(|byte| shown.push_str(&format!("\\x{byte:02x}")));
        }
        if raw.len() > BLOCK_MAX {
            shown.push_str(&format!("\n… and {} bytes more", raw.len() - BLOCK_MAX));
        }
        Self(shown)
    }

    /// Whether it is exactly these bytes, so that what is copied from a page is what there is: nothing of it is cut or written as
    /// its number. (A line's end right behind the tag is what readers of HTML leave out.)
    pub(super) fn is(&self, raw: &[u8]) -> bool {
        self.0.as_bytes() == raw && !self.0.starts_with('\n')
    }

    /// As a plain text, for an attribute that a template escapes.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push(shown: &mut String, character: char, breaks: bool) {
    let plain = match character {
        '\n' | '\t' => breaks,
        _ => !is_unseen(character),
    };
    if plain {
        shown.push(character);
    } else {
        shown.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
    }
}

/// Whether a character is not seen, or moves others: controls, marks of direction, what has no width, tags, and what no
/// font has.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}' | '\u{e000}'..='\u{f8ff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_as_its_number() {
        for (raw, shown) in [
            ("plain — ünï 日本 🙂", "plain — ünï 日本 🙂"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("two\nlines", "two\\u{a}lines"),
            ("<script>", "<script>"), // the template escapes it
        ] {
            assert_eq!(Text::line(raw).to_string(), shown);
        }
        assert_eq!(Text::block("two\n\tlines\r").to_string(), "two\n\tlines\\u{d}");
        assert_eq!(Text::bytes(b"ok \xff\xfe ok").to_string(), "ok \\xff\\xfe ok");
    }

    #[test]
    fn what_is_shown_otherwise_is_not_what_there_is() {
        for (raw, same) in [
            (&b"{\"a\": 1}\n"[..], true),
            (b"\n{}", false),
            (b"two\r\nlines", false),
            (b"\xff", false),
            (&[b'x'; BLOCK_MAX], true),
            (&[b'x'; BLOCK_MAX + 1], false),
        ] {
            assert_eq!(Text::bytes(raw).is(raw), same, "{:?}", &raw[..raw.len().min(20)]);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = "é".repeat(1_000_000);
        assert_eq!(Text::line(&long).as_str().chars().count(), LINE_MAX + 1);
        let block = Text::block(&long);
        assert!(block.as_str().len() < BLOCK_MAX + 100);
        assert!(block.as_str().ends_with("bytes more"), "{block}");
        assert!(Text::bytes(long.as_bytes()).as_str().ends_with("bytes more"));
    }
}
