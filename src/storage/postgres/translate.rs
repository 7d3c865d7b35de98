//! SQL as both engines' ports say it, in PostgreSQL's words.
//!
//! The ports' SQL is written once. What the two engines read differently is little, and is changed here, word by word,
//! once for each statement of a connection: places for values, hints about indexes (PostgreSQL's planner takes none),
//! the larger of two, equality that knows NULL, bytes as literals, what is ignored when it is there already. An event
//! that is looked for by its id is looked for by its seq, which `event_ids` knows: the events' table is partitioned by
//! that, and has no index over all of it on anything else. Texts in quotes are left as they are.
//!
//! Left to others: what cannot be said in words that are the same but for this. It is said twice, beside each other,
//! in the ports.

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'s> {
    /// Blanks and line ends.
    Blank,
    /// A word or a number.
    Word(&'s str),
    /// A text in quotes, quotes included.
    Quoted(&'s str),
    /// A literal of bytes: its digits.
    Bytes(&'s str),
    /// A place for a value, with its number if it has one.
    Place(Option<usize>),
    /// Any other character.
    Sign(char),
}

/// The statement in PostgreSQL's words.
pub(super) fn translated(sql: &str) -> String {
    let pieces = pieces(sql);
    let mut said = Said::default();
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        at += match piece {
            Piece::Word(word) => word_at(&pieces, at, word, &mut said),
            Piece::Place(number) => {
                let number = number.unwrap_or(said.places + 1);
                said.places = said.places.max(number);
                said.text.push('$');
                said.text.push_str(&number.to_string());
                1
            }
            Piece::Bytes(digits) => {
                said.text.push_str("'\\x");
                said.text.push_str(digits);
                said.text.push_str("'::bytea");
                1
            }
            Piece::Quoted(text) => {
                said.text.push_str(text);
                1
            }
            Piece::Blank => {
                said.text.push(' ');
                1
            }
            Piece::Sign(sign) => {
                said.text.push(*sign);
                1
            }
        };
    }
    if said.ignores {
        said.text.push_str(" ON CONFLICT DO NOTHING");
    }
    said.text
}

#[derive(Debug, Default)]
struct Said<'s> {
    text: String,
    /// By which name the statement calls the events, once it has named them.
    events: Option<&'s str>,
    /// The highest number of a place so far.
    places: usize,
    /// Whether what is there already is to be left as it is.
    ignores: bool,
}

/// Says a word and what belongs to it; how many pieces that were.
fn word_at<'s>(pieces: &[Piece<'s>], at: usize, word: &'s str, said: &mut Said<'s>) -> usize {
    let followed = |words: &[&str]| follows(pieces, at + 1, words);
    if word == "events" {
        said.events = Some(alias(pieces, at + 1).unwrap_or("events"));
    }
    if let Some((behind, place)) = by_id(pieces, at, word, said) {
        let number = place.unwrap_or(said.places + 1);
        said.places = said.places.max(number);
        let by_seq = format!("seq = (SELECT seq FROM event_ids WHERE id = ${number})");
        let whose = if word == "id" { String::new() } else { format!("{word}.") };
        said.text.push_str(&whose);
        said.text.push_str(&by_seq);
        return behind - at;
    }
    let mut says = |text: &str| said.text.push_str(text);
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    if is("INDEXED")
        && let Some(behind) = followed(&["BY"])
    {
        return index_name(pieces, behind) - at;
    }
    if is("NOT")
        && let Some(behind) = followed(&["INDEXED"])
    {
        return behind - at;
    }
    if is("CROSS")
        && let Some(behind) = followed(&["JOIN"])
    {
        says("JOIN");
        return behind - at;
    }
    if is("OR")
        && let Some(behind) = followed(&["IGNORE"])
    {
        said.ignores = true;
        return behind - at;
    }
    if is("WHERE")
        && let Some(behind) = followed(&["1"])
    {
        says("WHERE TRUE");
        return behind - at;
    }
    if is("LIMIT")
        && let Some(behind) = unlimited(pieces, at + 1)
    {
        says("LIMIT ALL");
        return behind - at;
    }
    if is("IS") {
        let (said_not, behind) = match followed(&["NOT"]) {
            Some(behind) => (true, behind),
            None => (false, at + 1),
        };
        if !is_a_known_state(pieces, behind) {
            says(if said_not { "IS DISTINCT FROM" } else { "IS NOT DISTINCT FROM" });
            return behind - at;
        }
    }
    if (is("max") || is("min")) && arguments(pieces, at + 1) > 1 {
        says(if is("max") { "GREATEST" } else { "LEAST" });
        return 1;
    }
    // The events' ids are unique, and there is no index that could say so: a trigger sees to it.
    if is("CONFLICT")
        && said.events == Some("events")
        && let Some([Piece::Blank, Piece::Sign('('), Piece::Word("id"), Piece::Sign(')')]) =
            pieces.get(at + 1..at + 5)
    {
        says("CONFLICT");
        return 5;
    }
    if is("BLOB") {
        says("bytea");
        return 1;
    }
    if is("CAST")
        && let Some(
            [
                Piece::Sign('('),
                Piece::Bytes(digits),
                Piece::Blank,
                Piece::Word("AS"),
                Piece::Blank,
                Piece::Word("TEXT"),
                Piece::Sign(')'),
            ],
        ) = pieces.get(at + 1..at + 8)
    {
        says("convert_from('\\x");
        says(&without_nul(digits));
        says("'::bytea, 'UTF8')");
        return 8;
    }
    if is("ifnull") {
        says("coalesce");
        return 1;
    }
    says(word);
    1
}

/// What a table whose name has just been read is called in the statement, if it is called otherwise.
fn alias<'s>(pieces: &[Piece<'s>], from: usize) -> Option<&'s str> {
    match pieces.get(from..from + 2) {
        Some([Piece::Blank, Piece::Word(word)]) if word.chars().all(|c| c.is_ascii_lowercase()) => {
            Some(word)
        }
        _ => None,
    }
}

/// Whether an event is looked for by its id here: behind which piece that ends, and the number of the id's place.
fn by_id(
    pieces: &[Piece<'_>],
    at: usize,
    word: &str,
    said: &Said<'_>,
) -> Option<(usize, Option<usize>)> {
    let events = said.events?;
    let column = if events == "events" {
        (word == "id" && said.text.ends_with("FROM events WHERE ")).then_some(at)?
    } else {
        let dotted =
            matches!(pieces.get(at + 1..at + 3), Some([Piece::Sign('.'), Piece::Word("id")]));
        (word == events && dotted).then_some(at + 2)?
    };
    match pieces.get(column + 1..column + 5)? {
        [Piece::Blank, Piece::Sign('='), Piece::Blank, Piece::Place(number)] => {
            Some((column + 5, *number))
        }
        _ => None,
    }
}

/// Bytes of a text, in digits, as they are kept: see [`super::values`].
fn without_nul(digits: &str) -> String {
    let bytes = digits
        .as_bytes()
        .chunks(2)
        .map(|two| if two == b"00" { b"e29080".as_slice() } else { two });
    String::from_utf8(bytes.flatten().copied().collect()).expect("digits")
}

/// Where the name of an index ends.
fn index_name(pieces: &[Piece<'_>], from: usize) -> usize {
    let mut at = from;
    while matches!(pieces.get(at), Some(Piece::Blank)) {
        at += 1;
    }
    at + 1
}

/// Whether these words come next; behind which piece they end.
fn follows(pieces: &[Piece<'_>], from: usize, words: &[&str]) -> Option<usize> {
    let mut at = from;
    for wanted in words {
        while matches!(pieces.get(at), Some(Piece::Blank)) {
            at += 1;
        }
        match pieces.get(at) {
            Some(Piece::Word(word)) if word.eq_ignore_ascii_case(wanted) => at += 1,
            _ => return None,
        }
    }
    Some(at)
}

/// Whether `-1` comes next, which as a limit is none.
fn unlimited(pieces: &[Piece<'_>], from: usize) -> Option<usize> {
    let mut at = from;
    while matches!(pieces.get(at), Some(Piece::Blank)) {
        at += 1;
    }
    let is_it = matches!(pieces.get(at..at + 2), Some([Piece::Sign('-'), Piece::Word("1")]));
    is_it.then_some(at + 2)
}

/// Whether what something `IS` is one of the words that both engines know behind it.
fn is_a_known_state(pieces: &[Piece<'_>], from: usize) -> bool {
    ["NULL", "TRUE", "FALSE", "DISTINCT", "UNKNOWN"]
        .iter()
        .any(|word| follows(pieces, from, &[word]).is_some())
}

/// How many arguments are in the parentheses that come next.
fn arguments(pieces: &[Piece<'_>], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut commas = 0;
    for piece in pieces.iter().skip(from) {
        match piece {
            Piece::Sign('(') => depth += 1,
            Piece::Sign(')') if depth == 1 => return commas + 1,
            Piece::Sign(')') => depth = depth.saturating_sub(1),
            Piece::Sign(',') if depth == 1 => commas += 1,
            Piece::Blank => {}
            Piece::Word(_)
            | Piece::Quoted(_)
            | Piece::Bytes(_)
            | Piece::Place(_)
            | Piece::Sign(_) => {
                if depth == 0 {
                    return 0;
                }
            }
        }
    }
    0
}

fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (piece, length) = match first {
            _ if first.is_whitespace() => {
                (Piece::Blank, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))
            }
            '\'' | '"' => {
                let length = quoted(rest, first);
                (Piece::Quoted(&rest[..length]), length)
            }
            'x' | 'X' if rest[1..].starts_with('\'') => {
                let length = 1 + quoted(&rest[1..], '\'');
                (Piece::Bytes(&rest[2..length - 1]), length)
            }
            '?' => {
                let digits = rest[1..].find(|c: char| !c.is_ascii_digit());
                let length = 1 + digits.unwrap_or(rest.len() - 1);
                (Piece::Place(rest[1..length].parse().ok()), length)
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let length = end.unwrap_or(rest.len());
                (Piece::Word(&rest[..length]), length)
            }
            _ => (Piece::Sign(first), first.len_utf8()),
        };
        found.push(piece);
        rest = &rest[length..];
    }
    found
}

/// How long a text in quotes is, with them; a quote that is doubled is one of the text.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engines_read_differently_is_said_in_the_others_words() {
        let table = [
            ("SELECT a FROM t WHERE b = ?2 AND c = ?1", "SELECT a FROM t WHERE b = $2 AND c = $1"),
            ("VALUES (?, ?, ?)", "VALUES ($1, $2, $3)"),
            ("a = ?2 AND b = ?", "a = $2 AND b = $3"),
            ("FROM t INDEXED BY t_by_time WHERE a", "FROM t  WHERE a"),
            ("FROM t NOT INDEXED WHERE NOT a", "FROM t  WHERE NOT a"),
            ("a CROSS JOIN b ON a.x = b.x", "a JOIN b ON a.x = b.x"),
            ("SET a = max(a, ?1)", "SET a = GREATEST(a, $1)"),
            ("SELECT max(a), min(coalesce(a, b))", "SELECT max(a), min(coalesce(a, b))"),
            ("max(?3, coalesce(min(a, 0), 0))", "GREATEST($3, coalesce(LEAST(a, 0), 0))"),
            ("a IS ?1 AND b IS NOT c.d", "a IS NOT DISTINCT FROM $1 AND b IS DISTINCT FROM c.d"),
            ("a IS NULL AND b IS NOT NULL", "a IS NULL AND b IS NOT NULL"),
            ("SET payload = x'00ff'", "SET payload = '\\x00ff'::bytea"),
            (
                "SELECT 1 FROM events e JOIN deliveries d ON d.event = e.seq WHERE e.id = ?2 AND d.endpoint = ?1",
                "SELECT 1 FROM events e JOIN deliveries d ON d.event = e.seq \
                 WHERE e.seq = (SELECT seq FROM event_ids WHERE id = $2) AND d.endpoint = $1",
            ),
            (
                "WHERE event = (SELECT seq FROM events WHERE id = ?1) AND endpoint = ?2",
                "WHERE event = (SELECT seq FROM events WHERE seq = \
                 (SELECT seq FROM event_ids WHERE id = $1)) AND endpoint = $2",
            ),
            (
                "INSERT INTO events (id, a) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                "INSERT INTO events (id, a) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            ),
            ("FROM endpoints e WHERE e.id = ?1", "FROM endpoints e WHERE e.id = $1"),
            (
                "subject = CAST(x'6100' AS TEXT) AND a = CAST(?1 AS BLOB)",
                "subject = convert_from('\\x61e29080'::bytea, 'UTF8') AND a = CAST($1 AS bytea)",
            ),
            ("WHERE 1 AND a", "WHERE TRUE AND a"),
            ("WHERE 10 < a LIMIT -1 OFFSET ?", "WHERE 10 < a LIMIT ALL OFFSET $1"),
            (
                "INSERT OR IGNORE INTO t VALUES (?)",
                "INSERT  INTO t VALUES ($1) ON CONFLICT DO NOTHING",
            ),
            ("SELECT 'max(a, ?1) it''s' || \"IS ?\"", "SELECT 'max(a, ?1) it''s' || \"IS ?\""),
        ];
        for (ours, theirs) in table {
            assert_eq!(translated(ours), theirs);
        }
    }
}
