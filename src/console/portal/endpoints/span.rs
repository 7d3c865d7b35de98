//! Spans of time as people type them in a form: `5s`, `30m`, `2h`, `1d`; bare numbers are milliseconds.

/// Waits with commas between them, in milliseconds.
///
/// # Errors
/// A sentence that names what is no span.
pub(super) fn waits(text: &str) -> Result<Vec<u64>, String> {
    text.split([',', ' ']).filter(|part| !part.is_empty()).map(one).collect()
}

fn one(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let digits = text.trim_end_matches(|end: char| end.is_ascii_alphabetic());
    let unit = UNITS.iter().find(|(name, _)| *name == &text[digits.len()..]);
    let factor =
        unit.map(|(_, factor)| *factor).or_else(|| text.len().eq(&digits.len()).then_some(1));
    let ms = digits.parse::<u64>().ok().zip(factor).and_then(|(count, ms)| count.checked_mul(ms));
    ms.ok_or_else(|| format!("`{text}` is no wait: 500ms, 5s, 30m, 2h and 1d are accepted"))
}

/// The same the other way.
pub(super) fn written(waits: impl Iterator<Item = u64>) -> String {
    let one = |ms: u64| match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    };
    waits.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_as_they_are_written() {
        let all = [500, 5_000, 1_800_000, 7_200_000, 86_400_000];
        assert_eq!(waits("500ms, 5s,30m 2h, 1d").as_deref(), Ok(&all[..]));
        assert_eq!(written(all.into_iter()), "500ms, 5s, 30m, 2h, 1d");
        assert_eq!(waits("250").as_deref(), Ok(&[250][..]));
        for wrong in ["soon", "5x", "-1s", "s", "99999999999999999999d"] {
            assert!(waits(wrong).is_err_and(|why| why.contains(wrong)), "{wrong}");
        }
    }
}
