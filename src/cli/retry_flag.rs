//! `--retry`: a policy in as few characters as it needs.

use super::span::span;
use crate::domain::retry::RetryPolicy;

/// `none`, waits with commas between them (bare numbers are milliseconds), or the policy as JSON.
pub(super) fn retry(text: &str) -> Result<RetryPolicy, String> {
    let text = text.trim();
    if text == "none" {
        return Ok(RetryPolicy::None);
    }
    if text.starts_with('{') {
        return serde_json::from_str(text)
            .map_err(|fault| format!("the policy does not fit: {fault}"));
    }
    let waits: Result<Vec<u64>, String> =
        text.split(',').map(|wait| wait_ms(wait.trim())).collect();
    // Through JSON, so that the jitter's default is the policy's own.
    let policy = serde_json::json!({ "kind": "schedule", "delaysMs": waits? });
    serde_json::from_value(policy).map_err(|fault| fault.to_string())
}

fn wait_ms(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    span(text).map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).map_err(|_| {
        format!(
            "`{text}` is not a wait: milliseconds as 500, or a span as 500ms, 5s, 5m, 2h, 1d is \
                 accepted; or `none`, or the policy as JSON"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(text: &str) -> Vec<u64> {
        retry(text).expect("a policy").waits_ms().collect()
    }

    #[test]
    fn a_policy_in_each_of_its_forms() {
        assert_eq!(retry("none"), Ok(RetryPolicy::None));
        assert_eq!(waits("500,1000"), [500, 1_000]);
        assert_eq!(waits("5s, 5m,30m"), [5_000, 300_000, 1_800_000]);
        assert_eq!(waits(r#"{"kind":"schedule","delaysMs":[7],"jitter":0}"#), [7]);
        let exponential =
            r#"{"kind":"exponential","baseMs":100,"factor":2,"maxDelayMs":300,"maxAttempts":4}"#;
        assert_eq!(waits(exponential), [100, 200, 300]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_accepted() {
        for text in ["", "soon", "5x", "500,", "{}", r#"{"kind":"never"}"#] {
            assert!(retry(text).is_err(), "{text}");
        }
    }
}
