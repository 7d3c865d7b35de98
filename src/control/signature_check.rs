//! Why a request does not verify: which part of it differs from what was sent.
//!
//! A receiver says "the signature is wrong" whatever the reason; here is told which it is, as far as the headers, the body
//! and the keys tell. Where the event is on record, its own bytes stand beside what was pasted, and even a body that was read and
//! written again is told from one that was changed.
//!
//! Pure, and no part of any verification: what is told here is for whoever holds the keys anyway. What it costs is bounded: a
//! body has [`BODY_MAX`] bytes, [`KEYS_MAX`] keys are looked at, and keys of other endpoints over the body as it came alone.

use serde_json::Value;

use crate::domain::signature::{SigningKey, TOLERANCE_S, sign};

/// Longest body that is checked, in bytes. A hundred keys over a megabyte would be a second of work for one click.
pub const BODY_MAX: usize = 64 * 1_024;

/// Most keys that are looked at: an endpoint's own, which are a handful, and those of some others.
pub const KEYS_MAX: usize = 50;

/// A request as its receiver has it: the values of its headers, and its body.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// A key that a request may be signed with.
#[derive(Debug, Clone)]
pub struct Known {
    /// The key.
    pub key: SigningKey,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The endpoint's, and it signs.
    Newest,
    /// The endpoint's, and it signs until it is left.
    BeingLeft,
    /// The endpoint's of before.
    Left,
    /// Another endpoint's: what that one is called.
    Others(String),
}

/// What became of one part of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which part.
    pub part: Part,
    /// Whether it is as it should be; `None` where nobody can tell.
    pub right: Option<bool>,
    /// A sentence about it.
    pub words: String,
}

/// A part of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `webhook-id`.
    Id,
    /// `webhook-timestamp`.
    Timestamp,
    /// The form of `webhook-signature`.
    Header,
    /// The key that made it.
    Key,
    /// The body.
    Body,
}

/// Checks a request, part by part; `sent` are the bytes that its event is sent as, where it is on record. Of `keys`, the
/// endpoint's own come first, and those behind the [`KEYS_MAX`]th are not looked at. The body is at most [`BODY_MAX`] long.
pub fn check(
    received: Received<'_>,
    keys: &[Known],
    sent: Option<&[u8]>,
    now_s: i64,
) -> Vec<Finding> {
    let Received { id, timestamp, signature, body } = received;
    let (timestamp_ok, second) = check_timestamp(timestamp, now_s);
    let mut findings = vec![check_id(id), timestamp_ok, check_header(signature)];
    let Some(second) = second.filter(|_| !id.is_empty() && !id.contains('.')) else {
        let words = "Not looked at: without an id and a timestamp nothing can be signed.";
        findings.push(finding(Part::Key, None, words));
        return findings;
    };
    let is_cut = keys.len() > KEYS_MAX;
    let keys = &keys[..keys.len().min(KEYS_MAX)];
    let makes_it = |known: &&Known, body: &[u8]| is_in(signature, &known.key, id, second, body);
    // What may have become of a body is tried with the endpoint's own keys: with the others', what came.
    let signed = |body: &[u8]| {
        let mut own = keys.iter().filter(|known| !matches!(known.whose, Whose::Others(_)));
        own.find(|known| makes_it(known, body))
    };
    if let Some(known) = keys.iter().find(|known| makes_it(known, body)) {
        findings.push(key_finding(&known.whose));
        findings.push(finding(Part::Body, Some(true), "The body is what was signed, to the byte."));
        return findings;
    }
    // With the bytes that were sent the signature may be right: then the body is what differs.
    if let Some(sent) = sent
        && let Some(known) = signed(sent)
    {
        findings.push(key_finding(&known.whose));
        findings.push(finding(Part::Body, Some(false), &difference(body, sent)));
        return findings;
    }
    for (changed, words) in variants(body) {
        if let Some(known) = signed(&changed) {
            findings.push(key_finding(&known.whose));
            findings.push(finding(Part::Body, Some(false), words));
            return findings;
        }
    }
    let nothing = if is_cut {
        "No key of this endpoint or of the newest others makes this signature over this id, timestamp and body."
    } else {
        "No key of this application makes this signature over this id, timestamp and body."
    };
    findings.push(finding(Part::Key, None, nothing));
    findings.push(match sent {
        Some(sent) if sent == body => finding(
            Part::Body,
            Some(true),
            "The body is what was sent: it is the signature, the id or the timestamp that differs, or \
             the request was signed with a key that is gone.",
        ),
        Some(sent) => finding(Part::Body, Some(false), &difference(body, sent)),
        None => finding(
            Part::Body,
            None,
            "The event of this id is not on record here: whether the body is what was sent cannot be told.",
        ),
    });
    findings
}

fn finding(part: Part, right: Option<bool>, words: &str) -> Finding {
    Finding { part, right, words: words.to_owned() }
}

fn check_id(id: &str) -> Finding {
    let at = |right, words: &str| finding(Part::Id, Some(right), words);
    if id.is_empty() {
        at(false, "webhook-id is missing.")
    } else if id.contains('.') {
        at(
            false,
            "webhook-id has a full stop in it: it is not one of ours, or id and timestamp were joined.",
        )
    } else if id.starts_with("msg_") {
        at(true, "webhook-id has the form of ours.")
    } else {
        at(false, "webhook-id does not begin with msg_: it is not the id of one of our requests.")
    }
}

fn check_timestamp(timestamp: &str, now_s: i64) -> (Finding, Option<i64>) {
    let wrong = |words: &str| finding(Part::Timestamp, Some(false), words);
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(second) = timestamp.parse::<i64>().ok().filter(|_| digits) else {
        return (
            wrong("webhook-timestamp is not a number: whole seconds since 1970 are sent."),
            None,
        );
    };
    if second.to_string() != timestamp {
        return (wrong("webhook-timestamp has zeros in front: it was changed on its way."), None);
    }
    if second > 100_000_000_000 {
        let words = "webhook-timestamp is too large for seconds: it seems to be milliseconds. What \
                     is signed are whole seconds, as they came.";
        return (wrong(words), Some(second / 1_000));
    }
    let age_s = now_s.saturating_sub(second);
    let right = age_s.abs() <= TOLERANCE_S;
    let words = match age_s {
        _ if right => {
            format!("webhook-timestamp is {} s from now: within five minutes.", age_s.abs())
        }
        0.. => format!(
            "webhook-timestamp is {age_s} s old: receivers refuse what is older than {TOLERANCE_S} s. \
             A request that is checked this much later is refused though its signature is right; \
             an attempt that is made now has a new one."
        ),
        _ => format!(
            "webhook-timestamp is {} s ahead of our clock: receivers refuse more than {TOLERANCE_S} s. \
             Is it as it came?",
            -age_s
        ),
    };
    (finding(Part::Timestamp, Some(right), &words), Some(second))
}

fn check_header(signature: &str) -> Finding {
    let wrong = |words: &str| finding(Part::Header, Some(false), words);
    if signature.is_empty() {
        return wrong("webhook-signature is missing.");
    }
    for token in signature.split(' ').filter(|token| !token.is_empty()) {
        match token.split_once(',') {
            Some(("v1" | "v1a", code)) if is_base64(code) => {}
            Some(("v1" | "v1a", _)) => {
                return wrong(
                    "A signature behind its version is not base64: it was cut or changed.",
                );
            }
            Some((version, _)) => {
                let version: String = version.chars().take(20).collect();
                return wrong(&format!(
                    "A signature has the version {version}: v1 and v1a are sent."
                ));
            }
            None => {
                return wrong(
                    "A signature has no version in front: what is sent is v1, and a comma before \
                     it. Compare the whole header, or what stands behind the comma on both sides.",
                );
            }
        }
    }
    finding(Part::Header, Some(true), "webhook-signature has the form of ours.")
}

/// 32 bytes, or the 64 of v1a, in base64 with its padding.
fn is_base64(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    matches!(code.len(), 44 | 88) && code.bytes().all(plain)
}

/// Whether this key's token over these is among the header's, with its version in front or without.
fn is_in(signature: &str, key: &SigningKey, id: &str, second: i64, body: &[u8]) -> bool {
    let made = sign([key], id, second, body);
    let code = made.split_once(',').map_or("", |(_, code)| code);
    signature.split(' ').any(|token| token == made || token == code)
}

fn key_finding(whose: &Whose) -> Finding {
    let (right, words) = match whose {
        Whose::Newest => (true, "It was signed with the endpoint's newest key.".to_owned()),
        Whose::BeingLeft => (
            true,
            "It was signed with an older key of the endpoint, which signs until its overlap ends.".into(),
        ),
        Whose::Left => (
            false,
            "It was signed with an older key of the endpoint, which signs no more: an old request, or \
             a receiver that has still the old key."
                .into(),
        ),
        Whose::Others(name) => (
            false,
            format!("It was signed with the key of another endpoint, {name}: the receiver has to have that one's."),
        ),
    };
    finding(Part::Key, Some(right), &words)
}

/// Bodies that a receiver may have made of what was sent, undone.
fn variants(body: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut variants = Vec::new();
    let trimmed = body.trim_ascii();
    if trimmed.len() < body.len() {
        let words = "The body has blanks or a line's end around it that were not sent: take the bytes as they come.";
        variants.push((trimmed.to_vec(), words));
    }
    let words = "The body ends without the line's end that was sent: take the bytes as they come.";
    variants.push(([body, b"\n"].concat(), words));
    if body.windows(2).any(|two| two == b"\r\n") {
        let plain = String::from_utf8_lossy(body).replace("\r\n", "\n").into_bytes();
        variants.push((plain, "The body's line ends were changed to CR LF on the way."));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let compact = compact(text);
        if compact.len() < body.len() {
            let words = "The body is JSON that was read and written again, with blanks between its parts: verify the \
                         bytes as they come, before any parser.";
            variants.push((compact.into_bytes(), words));
        }
    }
    variants
}

/// JSON without the blanks between its parts.
fn compact(text: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let mut compact = String::with_capacity(text.len());
    for character in text.chars() {
        if in_text {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_text = false,
                _ => {}
            }
        } else {
            in_text = character == '"';
            if character.is_ascii_whitespace() {
                continue;
            }
        }
        compact.push(character);
    }
    compact
}

/// How a body differs from the one that was sent.
fn difference(body: &[u8], sent: &[u8]) -> String {
    if body.is_empty() {
        return "The body is empty: something has read it before. Take the bytes once, and verify those.".into();
    }
    if body.trim_ascii() == sent.trim_ascii() {
        return "The body differs in the blanks or the line's end around it alone: take the bytes as they come.".into();
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    match (read(body), read(sent)) {
        (Some(one), Some(other)) if one == other => {
            "The body is JSON that says the same as what was sent, written differently (blanks, order or escapes): it \
             was read and written again. Verify the bytes as they come, before any parser."
                .into()
        }
        (None, Some(_)) if sent.starts_with(body) => format!(
            "The body was cut: {} of the {} bytes that were sent are there.",
            body.len(),
            sent.len()
        ),
        _ => format!(
            "The body is another one than was sent: they differ from byte {} on.",
            body.iter().zip(sent).take_while(|(one, other)| one == other).count() + 1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_790_000_000;
    const BODY: &[u8] = br#"{"job":"7","cost":1250.50}"#;
    const ID: &str = "msg_2mKQw9Zq";

    fn key(chance: u8) -> SigningKey {
        SigningKey::generated([chance; 32])
    }

    fn keys() -> Vec<Known> {
        let all = [Whose::Newest, Whose::BeingLeft, Whose::Left, Whose::Others("billing".into())];
        all.into_iter().zip(1..).map(|(whose, chance)| Known { key: key(chance), whose }).collect()
    }

    /// What is found of a request that was signed with this key at this second, and changed since.
    fn found(
        chance: u8,
        second: i64,
        body: &[u8],
        on_record: bool,
    ) -> Vec<(Part, Option<bool>, String)> {
        let signature = sign([&key(chance)], ID, second, BODY);
        let timestamp = second.to_string();
        let received = Received { id: ID, timestamp: &timestamp, signature: &signature, body };
        let findings = check(received, &keys(), on_record.then_some(BODY), NOW_S);
        findings.into_iter().map(|one| (one.part, one.right, one.words)).collect()
    }

    fn of(findings: &[(Part, Option<bool>, String)], part: Part) -> (Option<bool>, &str) {
        let one = findings.iter().find(|(found, ..)| *found == part).expect("a finding");
        (one.1, &one.2)
    }

    #[test]
    fn a_request_as_it_was_sent_is_right_in_all_its_parts() {
        for on_record in [true, false] {
            let found = found(1, NOW_S - 20, BODY, on_record);
            assert!(found.iter().all(|(_, right, _)| *right == Some(true)), "{found:?}");
            assert_eq!(found.len(), 5);
        }
    }

    #[test]
    fn the_key_that_made_it_is_told() {
        for (chance, right, said) in [
            (2, true, "until its overlap ends"),
            (3, false, "signs no more"),
            (4, false, "another endpoint, billing"),
        ] {
            let found = found(chance, NOW_S, BODY, false);
            let (is_right, words) = of(&found, Part::Key);
            assert_eq!(is_right, Some(right));
            assert!(words.contains(said), "{words}");
            assert_eq!(of(&found, Part::Body).0, Some(true));
        }
        let unknown = found(9, NOW_S, BODY, false);
        assert_eq!((of(&unknown, Part::Key).0, of(&unknown, Part::Body).0), (None, None));
    }

    #[test]
    fn the_work_is_bounded_by_whose_keys_are_tried_and_how_many() {
        let spaced = br#"{ "job": "7", "cost": 1250.50 }"#;
        assert_eq!(of(&found(1, NOW_S, spaced, false), Part::Key).0, Some(true));
        for on_record in [true, false] {
            let of_another = found(4, NOW_S, spaced, on_record);
            assert_eq!(of(&of_another, Part::Key).0, None, "over what came alone: {of_another:?}");
        }
        let signature = sign([&key(200)], ID, NOW_S, BODY);
        let timestamp = NOW_S.to_string();
        let received =
            Received { id: ID, timestamp: &timestamp, signature: &signature, body: BODY };
        let others = |count: u8| -> Vec<Known> {
            let all = (0..count).map(|chance| key(chance)).chain([key(200)]);
            all.map(|key| Known { key, whose: Whose::Others("billing".into()) }).collect()
        };
        assert_eq!(check(received, &others(49), None, NOW_S)[3].right, Some(false));
        let behind = check(received, &others(50), None, NOW_S);
        assert_eq!(behind[3].right, None);
        assert!(behind[3].words.contains("newest others"), "{behind:?}");
    }

    #[test]
    fn what_became_of_the_body_is_told_row_by_row() {
        let table: [(&[u8], bool, &str); 8] = [
            (b"{\"job\":\"7\",\"cost\":1250.50}\n", false, "blanks or a line's end"),
            (b"{ \"job\": \"7\",\n \"cost\": 1250.50 }", false, "read and written again"),
            (br#"{"cost":1250.5,"job":"7"}"#, true, "written differently"),
            (br#"{"job":"8","cost":1250.50}"#, true, "from byte 9 on"),
            (br#"{"job":"7","#, true, "was cut: 11 of the 26"),
            (b"", true, "is empty"),
            (br#"{"cost":1250.5,"job":"7"}"#, false, "not on record"),
            (b"  {\"job\":\"7\",\"cost\":1250.50}", true, "blanks"),
        ];
        for (body, on_record, said) in table {
            let found = found(1, NOW_S, body, on_record);
            let (right, words) = of(&found, Part::Body);
            assert!(words.contains(said), "{words}");
            assert_ne!(right, Some(true), "{words}");
        }
    }

    #[test]
    fn a_timestamp_is_judged_by_its_form_and_its_age() {
        let judged = |timestamp: &str| {
            let (finding, second) = check_timestamp(timestamp, NOW_S);
            (finding.right, finding.words, second)
        };
        for (timestamp, right, said) in [
            ("1789999990", true, "10 s from now"),
            ("1789999000", false, "1000 s old"),
            ("1790000400", false, "400 s ahead"),
            ("1790000000000", false, "milliseconds"),
            ("01790000000", false, "zeros"),
            ("2026-09-21T00:00:00Z", false, "not a number"),
            ("", false, "not a number"),
        ] {
            let (is_right, words, _) = judged(timestamp);
            assert_eq!(is_right, Some(right), "{timestamp}");
            assert!(words.contains(said), "{timestamp}: {words}");
        }
    }

    #[test]
    fn a_signature_without_its_version_is_told_and_still_known() {
        let whole = sign([&key(1)], ID, NOW_S, BODY);
        let bare = whole.strip_prefix("v1,").expect("a version");
        let timestamp = NOW_S.to_string();
        let check = |signature: &str| {
            let received = Received { id: ID, timestamp: &timestamp, signature, body: BODY };
            let found = check(received, &keys(), None, NOW_S);
            (found[2].right, found[2].words.clone(), found[3].right)
        };
        let (right, words, key) = check(bare);
        assert_eq!((right, key), (Some(false), Some(true)), "{words}");
        assert!(words.contains("no version"), "{words}");
        for (header, said) in [
            ("", "missing"),
            ("v1,abc", "base64"),
            ("v2,abc", "version v2"),
            ("sha256=1,2", "version sha256"),
        ] {
            assert!(check(header).1.contains(said), "{header}");
        }
        assert_eq!(
            check(&format!("v1,{} {whole}", "A".repeat(43) + "=")).2,
            Some(true),
            "any will do"
        );
    }

    #[test]
    fn an_id_that_could_be_mistaken_is_not_signed() {
        for (id, said) in [("", "missing"), ("a.1", "full stop"), ("evt_1", "msg_")] {
            let received = Received { id, timestamp: "1790000000", signature: "v1,x", body: BODY };
            let found = check(received, &keys(), None, NOW_S);
            assert!(found[0].words.contains(said), "{id}");
        }
    }
}
