//! The one writer: tables for people, JSON for programs, notes on standard error.
//!
//! Whatever came from outside (a subject, a description, an answer's body) is made visible before it
//! reaches a terminal: control and direction characters are shown as escapes, never obeyed.

use std::fmt::Write as _;
use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// For programs.
    pub(super) json: bool,
    /// Whether tables have a first line with the columns' names.
    pub(super) headers: bool,
}

impl Output {
    /// A list: a table, or one JSON object per line.
    pub(super) fn list<T: Serialize>(
        self,
        columns: &[&str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> io::Result<()> {
        if self.json {
            return items.iter().try_for_each(print_object);
        }
        print_all(&self.rows(columns, items.iter().map(row)))
    }

    /// A list beside the data, for people alone: what they are asked about, on standard error.
    pub(super) fn aside(self, columns: &[&str], rows: Vec<Vec<String>>) {
        if !rows.is_empty() {
            note(&self.rows(columns, rows.into_iter()));
        }
    }

    fn rows(self, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
        let mut table = plain_table();
        if self.headers {
            table.set_header(columns.iter().map(|name| name.to_uppercase()));
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| visible(cell)));
        }
        laid_out(&mut table)
    }

    /// One thing: a line per field, or one JSON object.
    pub(super) fn one<T: Serialize>(self, item: &T, fields: &[(&str, String)]) -> io::Result<()> {
        if self.json {
            return print_object(item);
        }
        print_all(&lines_of(fields))
    }

    /// A line for people on standard output; nothing with `--json`.
    pub(super) fn line(self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { print(&visible(text)) }
    }
}

/// A line per field, as [`Output::one`] prints them.
pub(super) fn lines_of(fields: &[(&str, String)]) -> String {
    let mut table = plain_table();
    for (name, value) in fields {
        table.add_row([(*name).to_owned(), visible(value)]);
    }
    laid_out(&mut table)
}

/// One JSON object on a line.
pub(super) fn print_object<T: Serialize>(item: &T) -> io::Result<()> {
    print(&serde_json::to_string(item).map_err(io::Error::other)?)
}

/// Bytes as they are: what is meant for a program.
pub(super) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    io::stdout().lock().write_all(bytes)
}

/// A note beside the data, on standard error. One that cannot be written is not worth failing.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The text with control and direction characters as escapes.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if character.is_control() || turns_text(character) => {
                write!(shown, "\\u{{{:x}}}", u32::from(character)).expect("a string takes it all");
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// Bytes as text for people: what is not UTF-8 becomes `\u{fffd}`, and lines stay lines.
pub(super) fn visible_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// What a missing value looks like.
pub(super) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".into(), ToString::to_string)
}

/// Characters that change the direction of what stands around them, or the line: with them a text
/// can be made to read as another.
const fn turns_text(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn laid_out(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if table.row_count() == 0 && table.header().is_none() {
        String::new()
    } else {
        table.trim_fmt()
    }
}

fn print_all(text: &str) -> io::Result<()> {
    if text.is_empty() { Ok(()) } else { print(text) }
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(visible("a\u{1b}[2Jb\r\n\0"), "a\\u{1b}[2Jb\\r\\n\\u{0}");
        assert_eq!(visible("gnp.\u{202e}exe"), "gnp.\\u{202e}exe");
        assert_eq!(visible("Zoë ✓"), "Zoë ✓");
    }

    #[test]
    fn lines_of_an_answer_stay_lines() {
        assert_eq!(visible_lines(b"one\r\ntwo\x07\n\xff"), "one\ntwo\\u{7}\n\u{fffd}");
    }
}
