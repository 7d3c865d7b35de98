//! The flags of a policy, for endpoints and for applications' settings: a document with any of it, and a flag
//! for each part. What both say, the flag decides.

use std::num::NonZeroU16;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::document::Document;
use super::exit::Usage;
use super::retry_flag::retry;
use crate::control::policies::{Change, PolicyEdit};
use crate::domain::policy::{Format, Guarantee, OnExhausted, Statuses};
use crate::domain::retry::RetryPolicy;
use crate::domain::signature::Signing;

#[derive(Debug, Args)]
pub(super) struct PolicyFlags {
    /// Any of its policy, as JSON or a file with it ('-' for standard input): null takes a part back
    #[arg(long, value_name = "FILE|JSON")]
    policy: Option<String>,
    /// Whether a request may be made twice, or not at all, when nobody can know: `at_least_once` or
    /// `at_most_once`
    #[arg(long, value_parser = word::<Guarantee>)]
    guarantee: Option<Guarantee>,
    /// When failed deliveries are tried again: none, waits as '500,1000' (ms) or '5s,5m,30m', or
    /// the policy as JSON
    #[arg(long, value_name = "WAITS", value_parser = retry)]
    retry: Option<RetryPolicy>,
    /// How far each wait may move, as a share of it: 0.2 is 20 % either way
    #[arg(long, value_name = "SHARE")]
    jitter: Option<f64>,
    /// How long one exchange may take
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Requests that may be on the way at the same time
    #[arg(long, value_name = "N")]
    max_in_flight: Option<NonZeroU16>,
    /// Answers that say that the receiver has it, as '200,3xx'
    #[arg(long, value_name = "STATUSES", value_parser = statuses)]
    success: Option<Statuses>,
    /// Answers behind which trying again is no use, as '404,410'
    #[arg(long, value_name = "STATUSES", value_parser = statuses)]
    give_up: Option<Statuses>,
    /// What becomes of a delivery that is given up: `dead_letter` or `drop`
    #[arg(long, value_parser = word::<OnExhausted>)]
    on_exhausted: Option<OnExhausted>,
    /// Whether plain http is called, where the operator allows it
    #[arg(long, value_name = "BOOL")]
    allow_http: Option<bool>,
    /// Whether an endpoint that does nothing but fail is left alone for a while
    #[arg(long, value_name = "BOOL")]
    circuit_breaker: Option<bool>,
    /// What a request's body is: `passthrough`, `standard`, `cloudevents` or `cloudevents_binary`
    #[arg(long, value_parser = word::<Format>)]
    format: Option<Format>,
    /// How requests are signed: `standard`, `none`, or all of it as JSON
    #[arg(long, value_name = "SCHEME|JSON", value_parser = signing)]
    signing: Option<Signing>,
}

impl PolicyFlags {
    /// What they ask for.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub(super) fn into_edit(self) -> Result<PolicyEdit, Usage> {
        let told = match &self.policy {
            Some(argument) => Document::of(argument, "--policy")?.read()?,
            None => PolicyEdit::default(),
        };
        let flags = PolicyEdit {
            guarantee: set(self.guarantee),
            retry: set(self.retry),
            jitter: self.jitter,
            timeout_ms: set(self.timeout_ms),
            max_in_flight: set(self.max_in_flight),
            success_status: set(self.success),
            give_up_status: set(self.give_up),
            on_exhausted: set(self.on_exhausted),
            allow_http: set(self.allow_http),
            circuit_breaker: set(self.circuit_breaker),
            format: set(self.format),
            signing: set(self.signing),
        };
        Ok(flags.before(told))
    }
}

fn set<T>(flag: Option<T>) -> Change<T> {
    flag.map_or(Change::Keep, Change::Set)
}

/// One of the words that a document may have in its place.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|fault| fault.to_string())
}

/// Codes and classes with commas between them; nothing is none.
fn statuses(text: &str) -> Result<Statuses, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list =
        parts.map(|part| part.parse::<u16>().map_or_else(|_| json!(part), |code| json!(code)));
    serde_json::from_value(list.collect()).map_err(|fault| fault.to_string())
}

fn signing(text: &str) -> Result<Signing, String> {
    let whole = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
    } else {
        serde_json::from_value(json!({ "scheme": text }))
    };
    whole.map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyFlags,
    }

    fn edit(line: &[&str]) -> PolicyEdit {
        let all = std::iter::once("line").chain(line.iter().copied());
        Line::try_parse_from(all).expect("parsed").policy.into_edit().expect("read")
    }

    #[test]
    fn a_flag_decides_over_the_document_and_the_document_may_take_back() {
        let both = edit(&[
            "--policy",
            r#"{"timeoutMs":9000,"format":"standard","guarantee":null}"#,
            "--timeout-ms",
            "5000",
            "--success",
            "200,3xx",
            "--signing",
            "none",
        ]);
        assert_eq!(both.timeout_ms, Change::Set(5_000));
        assert_eq!(both.format, Change::Set(Format::Standard));
        assert_eq!(both.guarantee, Change::Clear);
        let Change::Set(success) = both.success_status else { panic!("{:?}", both.success_status) };
        assert!(success.contains(302) && !success.contains(204));
        assert_eq!(both.give_up_status, Change::Keep);
        assert!(matches!(both.signing, Change::Set(signing) if signing.legacy.is_none()));
    }

    #[test]
    fn a_word_that_is_none_is_refused_with_those_that_are() {
        for (flag, wrong, expected) in [
            ("--guarantee", "twice", "at_most_once"),
            ("--format", "xml", "passthrough"),
            ("--on-exhausted", "keep", "dead_letter"),
            ("--success", "2xx,99", "200 to 599"),
            ("--signing", "md5", "standard"),
        ] {
            let refused = Line::try_parse_from(["line", flag, wrong]).expect_err("refused");
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }
}
