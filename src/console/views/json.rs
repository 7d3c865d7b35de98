//! JSON for people: indented, and otherwise as it was written.
//!
//! Nothing is read and written again: a number keeps its digits, an object its order, a text its escapes. What is no JSON
//! comes out as it came in, as far as it goes.

/// Deepest indentation, in steps: what is deeper stands below it.
const DEPTH_MAX: usize = 24;
/// Most bytes that are indented: as much as is shown of a text, and what is behind it is not shown.
pub(super) const BYTES_MAX: usize = 17 * 1024;

/// The same with a line for each member. What is longer than what is shown is cut short of its end.
pub(in crate::console) fn indented(raw: &str) -> String {
    let raw = &raw[..raw.floor_char_boundary(BYTES_MAX)];
    let mut text = String::with_capacity(raw.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        if in_text {
            text.push(character);
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match character {
            '"' => {
                in_text = true;
                text.push('"');
            }
            '{' | '[' => {
                text.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ if character.is_ascii_whitespace() => {}
            _ => text.push(character),
        }
    }
    text
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    (0..depth.min(DEPTH_MAX)).for_each(|_| text.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_gets_lines_and_keeps_everything_else() {
        let raw = r#"{"price": 1250.50,"b":[1,{"a":"x, {y} \" \\"}],"none":{ },"list":[]}"#;
        let shown = "{\n  \"price\": 1250.50,\n  \"b\": [\n    1,\n    {\n      \
                     \"a\": \"x, {y} \\\" \\\\\"\n    }\n  ],\n  \"none\": {},\n  \"list\": []\n}";
        assert_eq!(indented(raw), shown);
    }

    #[test]
    fn what_is_deep_or_long_stays_bounded() {
        let deep = "[".repeat(100_000);
        assert!(indented(&deep).len() < BYTES_MAX * (2 * DEPTH_MAX + 3));
        assert_eq!(indented("not json"), "notjson");
    }
}
