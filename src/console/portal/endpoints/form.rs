//! The form of an endpoint: what it says, as what is asked of `control`; and an endpoint as what the form would say.
//!
//! Values of headers, credentials and a signing key are never written into a page: a header whose value is left empty keeps the
//! one that it has. A form that comes back for another reason therefore loses what was typed of them: a mark says so in it
//! ([`mark`]), and with it an empty value is no wish to keep the old one. What is wrong is told field by field, all at once as far as it is found here; the rest is `control`'s to judge.

use std::num::NonZeroU16;

use secrecy::SecretString;

use super::span::{waits, written};
use crate::console::form::Fields;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::control::endpoints::{Change, EndpointEdit, NewEndpoint, PolicyEdit};
use crate::domain::auth::Auth;
use crate::domain::endpoint::Endpoint;
use crate::domain::filter::Pattern;
use crate::domain::policy::{Format, Guarantee};
use crate::domain::retry::RetryPolicy;

/// Headers that the form has room for: as many as an endpoint may have.
pub(super) const HEADERS_MAX: usize = 20;

/// The field that says of another that something was typed in it which is not written back.
fn mark(field: &str) -> String {
    format!("typed_{field}")
}

/// Whether something was typed in a field whose value no page has.
pub(super) fn was_typed(form: &Fields, field: &str) -> bool {
    form.one(field).is_some() || form.one(&mark(field)).is_some()
}

/// Whether that was lost: it was typed on a page before this one, and not again.
fn is_lost(form: &Fields, field: &str) -> bool {
    form.one(field).is_none() && was_typed(form, field)
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::portal) struct Fault {
    /// The field's id on the page.
    pub(in crate::console::portal) field: &'static str,
    /// What is wrong, and what is accepted.
    pub(in crate::console::portal) why: Text,
}

impl Fault {
    /// This is wrong with that field.
    pub(in crate::console::portal) fn of(field: &'static str, why: &str) -> Self {
        Self { field, why: Text::line(why) }
    }

    /// What `control` has to say against a form; anything else goes on as it is.
    ///
    /// # Errors
    /// What is not about the form.
    pub(super) fn told(error: ControlError) -> Result<Self, ControlError> {
        match error {
            ControlError::InvalidField { field, why } => {
                let at = match field {
                    "url" | "uid" | "description" | "channels" | "auth" | "secret" => field,
                    "eventTypes" | "filterTypes" => "patterns",
                    "throttleRate" => "throttle_rate",
                    "headers" => "header_name_0",
                    _ if why.contains("timeoutMs") => "timeout_ms",
                    _ if why.contains("maxInFlight") => "max_in_flight",
                    _ if why.contains("delaysMs") || why.contains("jitter") => "waits",
                    _ => "url",
                };
                let field = Self::FIELDS.iter().find(|known| **known == at);
                Ok(Self::of(field.copied().unwrap_or("url"), &why))
            }
            ControlError::Conflict(why) if why.contains("uid") => Ok(Self::of("uid", &why)),
            other @ (ControlError::NotFound(_)
            | ControlError::Invalid(_)
            | ControlError::Conflict(_)
            | ControlError::LimitReached(_)
            | ControlError::Unavailable(_)
            | ControlError::Corrupt(_)) => Err(other),
        }
    }

    /// Every field that something can be wrong with.
    const FIELDS: [&'static str; 12] = [
        "url",
        "uid",
        "description",
        "channels",
        "auth",
        "secret",
        "patterns",
        "throttle_rate",
        "header_name_0",
        "timeout_ms",
        "max_in_flight",
        "waits",
    ];
}

/// What the form says.
#[derive(Debug)]
pub(super) struct Wanted {
    url: String,
    uid: Option<String>,
    description: String,
    /// What it wants: patterns as they are written.
    pub(super) patterns: Vec<String>,
    channels: Vec<String>,
    throttle_rate: Option<u32>,
    policy: PolicyEdit,
    headers: Vec<(String, String)>,
    auth: Change<Auth>,
    secret: Option<String>,
}

impl Wanted {
    /// Reads a form; of an endpoint that is `known`, it says what is to change about it.
    ///
    /// # Errors
    /// Everything that is wrong with it, as far as it can be seen here.
    pub(super) fn read(form: &Fields, known: Option<&Endpoint>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let text = |name: &str| form.one(name).unwrap_or_default().to_owned();
        let mut number = |field: &'static str| match form.one(field).map(str::parse::<u32>) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                faults.push(Fault::of(field, "A whole number is accepted, or nothing."));
                None
            }
        };
        let throttle_rate = number("throttle_rate");
        let timeout_ms = number("timeout_ms");
        let max_in_flight = number("max_in_flight");
        let max_in_flight = match max_in_flight.map(|most| u16::try_from(most).map(NonZeroU16::new))
        {
            None => Change::Clear,
            Some(Ok(Some(most))) => Change::Set(most),
            Some(Ok(None) | Err(_)) => {
                faults.push(Fault::of("max_in_flight", "1 to 65535 is accepted, or nothing."));
                Change::Keep
            }
        };
        let policy = PolicyEdit {
            guarantee: match form.one("guarantee") {
                Some("at_least_once") => Change::Set(Guarantee::AtLeastOnce),
                Some("at_most_once") => Change::Set(Guarantee::AtMostOnce),
                Some(_) | None => Change::Clear,
            },
            retry: retry(form).unwrap_or_else(|why| {
                faults.push(Fault::of("waits", &why));
                Change::Keep
            }),
            timeout_ms: timeout_ms.map_or(Change::Clear, Change::Set),
            max_in_flight,
            format: match form.one("format") {
                Some("passthrough") => Change::Set(Format::Passthrough),
                Some("standard") => Change::Set(Format::Standard),
                Some("cloudevents") => Change::Set(Format::Cloudevents),
                Some("cloudevents_binary") => Change::Set(Format::CloudeventsBinary),
                Some(_) | None => Change::Clear,
            },
            circuit_breaker: match form.one("circuit_breaker") {
                Some("true") => Change::Set(true),
                Some("false") => Change::Set(false),
                Some(_) | None => Change::Clear,
            },
            ..PolicyEdit::default()
        };
        let headers = headers(form, known).unwrap_or_else(|fault| {
            faults.push(fault);
            Vec::new()
        });
        let auth = auth(form).unwrap_or_else(|fault| {
            faults.push(fault);
            Change::Keep
        });
        if is_lost(form, "secret") {
            let why = "The signing secret that was typed is not written back: type it once more, or begin anew for one \
                       that is made.";
            faults.push(Fault::of("secret", why));
        }
        if form.one("url").is_none() {
            faults.push(Fault::of("url", "Where are requests to go? A URL is wanted."));
        }
        let own = text("patterns");
        let own = own.split([',', ' ', '\n', '\r']).filter(|part| !part.is_empty());
        let mut patterns: Vec<String> = form.all("event").map(ToOwned::to_owned).collect();
        patterns.extend(own.map(ToOwned::to_owned));
        let channels = text("channels");
        let channels = channels.split([',', ' ']).filter(|part| !part.is_empty());
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            url: text("url"),
            uid: form.one("uid").map(ToOwned::to_owned),
            description: text("description"),
            patterns,
            channels: channels.map(ToOwned::to_owned).collect(),
            throttle_rate,
            policy,
            headers,
            auth,
            secret: form.one("secret").map(ToOwned::to_owned),
        })
    }

    /// An endpoint that is to be made.
    pub(super) fn into_new(self) -> NewEndpoint {
        NewEndpoint {
            url: self.url,
            uid: self.uid,
            description: self.description,
            patterns: self.patterns,
            channels: self.channels,
            throttle_rate: self.throttle_rate,
            policy: self.policy,
            headers: self.headers,
            auth: match self.auth {
                Change::Set(auth) => Some(auth),
                Change::Keep | Change::Clear => None,
            },
            secret: self.secret,
            ..NewEndpoint::default()
        }
    }

    /// What is to change about one.
    pub(super) fn into_edit(self) -> EndpointEdit {
        EndpointEdit {
            url: Some(self.url),
            uid: self.uid.map_or(Change::Clear, Change::Set),
            description: Some(self.description),
            patterns: Some(self.patterns),
            channels: Some(self.channels),
            throttle_rate: self.throttle_rate.map_or(Change::Clear, Change::Set),
            policy: self.policy,
            headers: Some(self.headers),
            auth: self.auth,
            ..EndpointEdit::default()
        }
    }
}

/// When failed deliveries are tried again.
fn retry(form: &Fields) -> Result<Change<RetryPolicy>, String> {
    match form.one("retry") {
        Some("keep") => Ok(Change::Keep),
        Some("none") => Ok(Change::Set(RetryPolicy::None)),
        Some("three_days") => Ok(Change::Set(RetryPolicy::default())),
        Some("one_hour") => Ok(Change::Set(schedule(waits(ONE_HOUR).expect("our own waits")))),
        Some("own") => {
            let delays_ms = waits(form.one("waits").unwrap_or_default())?;
            if delays_ms.is_empty() {
                return Err("Which waits? As 5s, 5m, 2h.".into());
            }
            Ok(Change::Set(schedule(delays_ms)))
        }
        Some(_) | None => Ok(Change::Clear),
    }
}

/// Five attempts within an hour.
const ONE_HOUR: &str = "5s, 1m, 10m, 45m";

/// These waits, each moved by as much as our own schedule's are.
fn schedule(delays_ms: Vec<u64>) -> RetryPolicy {
    RetryPolicy::Schedule { delays_ms, jitter: 0.2 }
}

/// Which of the ways above a policy is.
fn retry_word(policy: Option<&RetryPolicy>) -> &'static str {
    match policy {
        None => "",
        Some(RetryPolicy::None) => "none",
        Some(known) if *known == RetryPolicy::default() => "three_days",
        Some(known) if waits(ONE_HOUR).is_ok_and(|own| *known == schedule(own)) => "one_hour",
        Some(RetryPolicy::Schedule { jitter, .. }) if (*jitter - 0.2).abs() < 1e-9 => "own",
        Some(RetryPolicy::Schedule { .. } | RetryPolicy::Exponential { .. }) => "keep",
    }
}

/// Headers of its own: one without a value keeps the value that it has.
fn headers(form: &Fields, known: Option<&Endpoint>) -> Result<Vec<(String, String)>, Fault> {
    let mut headers = Vec::new();
    for place in 0..HEADERS_MAX {
        let Some(name) = form.one(&format!("header_name_{place}")) else { continue };
        let field = format!("header_value_{place}");
        if is_lost(form, &field) {
            let why = format!(
                "The value of {name} that was typed is not written back: type it once more."
            );
            return Err(Fault::of("header_name_0", &why));
        }
        let value = form.one(&field).map(ToOwned::to_owned);
        let kept = || {
            let mut own = known.into_iter().flat_map(|endpoint| &endpoint.headers);
            own.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        let Some(value) = value.or_else(kept) else {
            let why = format!("The header {name} has no value.");
            return Err(Fault::of("header_name_0", &why));
        };
        headers.push((name.to_owned(), value));
    }
    Ok(headers)
}

/// Credentials: what is not typed stays as it is.
fn auth(form: &Fields) -> Result<Change<Auth>, Fault> {
    if matches!(form.one("auth"), None | Some("keep" | "none")) && was_typed(form, "auth_secret") {
        let why = "A password, token or value was typed, and not of which kind it is: choose one, and type it once more.";
        return Err(Fault::of("auth", why));
    }
    let secret = || {
        let typed = form.one("auth_secret").map(SecretString::from);
        typed.ok_or_else(|| Fault::of("auth", "The secret of the credentials is missing."))
    };
    let name = |why: &str| form.one("auth_name").ok_or_else(|| Fault::of("auth", why));
    Ok(match form.one("auth") {
        Some("none") => Change::Clear,
        Some("basic") => Change::Set(Auth::Basic {
            username: name("Which user?")?.to_owned(),
            password: secret()?,
        }),
        Some("bearer") => Change::Set(Auth::Bearer { token: secret()? }),
        Some("header") => Change::Set(Auth::Header {
            name: name("In which header?")?.to_owned(),
            value: secret()?,
        }),
        Some(_) | None => Change::Keep,
    })
}

/// An endpoint as its form says it, without anything that is a secret.
pub(super) fn fields_of(endpoint: &Endpoint, listed: impl Fn(&str) -> bool) -> Fields {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut say = |name: &str, value: String| pairs.push((name.to_owned(), value));
    let part = &endpoint.policy_part;
    say("url", endpoint.url.to_string());
    say("uid", endpoint.uid.clone().unwrap_or_default());
    say("description", endpoint.description.clone());
    let mut own = Vec::new();
    for pattern in endpoint.filter.patterns() {
        match pattern {
            Pattern::Exact(name) if listed(name.as_str()) => say("event", name.to_string()),
            Pattern::All | Pattern::Prefix(_) | Pattern::Exact(_) => own.push(pattern.to_string()),
        }
    }
    say("patterns", own.join(", "));
    say("channels", endpoint.channels.join(", "));
    say("throttle_rate", endpoint.throttle_rate.map(|rate| rate.to_string()).unwrap_or_default());
    say("timeout_ms", part.timeout_ms.map(|ms| ms.to_string()).unwrap_or_default());
    say("max_in_flight", part.max_in_flight.map(|most| most.to_string()).unwrap_or_default());
    let guarantee = part.guarantee.map(|guarantee| match guarantee {
        Guarantee::AtLeastOnce => "at_least_once",
        Guarantee::AtMostOnce => "at_most_once",
    });
    say("guarantee", guarantee.unwrap_or_default().to_owned());
    let format = part.format.map(|format| match format {
        Format::Passthrough => "passthrough",
        Format::Standard => "standard",
        Format::Cloudevents => "cloudevents",
        Format::CloudeventsBinary => "cloudevents_binary",
    });
    say("format", format.unwrap_or_default().to_owned());
    let breaks = part.circuit_breaker.map(|breaks| breaks.to_string());
    say("circuit_breaker", breaks.unwrap_or_default());
    let word = retry_word(part.retry.as_ref());
    say("retry", word.to_owned());
    if let (Some(policy), "own") = (&part.retry, word) {
        say("waits", written(policy.waits_ms()));
    }
    for (place, (name, _)) in endpoint.headers.iter().enumerate() {
        say(&format!("header_name_{place}"), name.clone());
    }
    say("auth", if endpoint.auth.is_some() { "keep".to_owned() } else { String::new() });
    Fields::of(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wanted, Vec<Fault>> {
        Wanted::read(&Fields::read(text.as_bytes()), None)
    }

    #[test]
    fn a_form_is_read_as_what_is_asked_of_control() {
        let form = "url=https://a.example/h&event=job.a&event=job.b&patterns=doc.*,+x&throttle_rate=5\
                    &timeout_ms=2000&retry=own&waits=5s,1m&header_name_0=x-a&header_value_0=1\
                    &auth=basic&auth_name=we&auth_secret=s&channels=one+two&format=standard&uid=hook\
                    &circuit_breaker=false";
        let new = read(form).expect("a form").into_new();
        assert_eq!(new.patterns, ["job.a", "job.b", "doc.*", "x"]);
        assert_eq!((new.throttle_rate, new.uid.as_deref()), (Some(5), Some("hook")));
        assert_eq!(new.policy.timeout_ms, Change::Set(2_000));
        assert_eq!(new.policy.retry, Change::Set(schedule(vec![5_000, 60_000])));
        assert_eq!(new.policy.format, Change::Set(Format::Standard));
        assert_eq!(new.policy.circuit_breaker, Change::Set(false));
        assert_eq!(new.headers, [("x-a".to_owned(), "1".to_owned())]);
        assert_eq!(new.channels, ["one", "two"]);
        assert!(matches!(new.auth, Some(Auth::Basic { .. })));
    }

    #[test]
    fn what_is_left_empty_is_as_the_application_has_it() {
        let edit = read("url=https://a.example/&retry=&format=").expect("a form").into_edit();
        assert_eq!(edit.policy.retry, Change::Clear);
        assert_eq!(edit.policy.timeout_ms, Change::Clear);
        assert_eq!(edit.policy.circuit_breaker, Change::Clear);
        assert_eq!(edit.throttle_rate, Change::Clear);
        assert_eq!(edit.patterns.as_deref(), Some(&[][..]), "everything");
        assert!(matches!(edit.auth, Change::Keep));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_beside_its_field() {
        let faults = read(
            "throttle_rate=fast&max_in_flight=0&retry=own&waits=soon&auth=bearer\
                           &header_name_3=x-empty",
        )
        .expect_err("all of it is wrong");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            ["throttle_rate", "max_in_flight", "waits", "header_name_0", "auth", "url"]
        );
    }

    #[test]
    fn what_was_typed_and_not_written_back_is_wanted_again() {
        for (lost, field) in [
            ("header_name_0=x-key&typed_header_value_0=yes", "header_name_0"),
            ("auth=bearer&typed_auth_secret=yes", "auth"),
            ("auth=keep&typed_auth_secret=yes", "auth"),
            ("auth=keep&auth_secret=of-which-kind", "auth"),
            ("typed_secret=yes", "secret"),
        ] {
            let faults = read(&format!("url=https://a.example/&{lost}")).expect_err("it is lost");
            assert_eq!((faults.len(), faults[0].field), (1, field), "{lost}");
        }
        let again = "url=https://a.example/&header_name_0=x-key&typed_header_value_0=yes\
                     &header_value_0=new&auth=bearer&typed_auth_secret=yes&auth_secret=s\
                     &typed_secret=yes&secret=whsec_x";
        let new = read(again).expect("all of it is there").into_new();
        assert_eq!(new.headers, [("x-key".to_owned(), "new".to_owned())]);
        assert_eq!(new.secret.as_deref(), Some("whsec_x"));
    }

    #[test]
    fn what_control_says_stands_beside_the_field_that_it_is_about() {
        let told = |field, why: &str| {
            Fault::told(ControlError::InvalidField { field, why: why.into() }).map(|one| one.field)
        };
        assert_eq!(told("url", "no"), Ok("url"));
        assert_eq!(told("eventTypes", "no"), Ok("patterns"));
        assert_eq!(told("policy", "timeoutMs is 1"), Ok("timeout_ms"));
        assert!(Fault::told(ControlError::Unavailable("away".into())).is_err());
    }
}
