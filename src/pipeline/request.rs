//! What a request is made of: an event's body in its endpoint's format, and the headers that say whose it
//! is, what about and by whose word.
//!
//! A function of its arguments: two calls at the same second make the same request to the byte. Whoever
//! makes one request (a turn's attempt, a person's, a test) makes it here, so that a receiver cannot tell
//! them apart but by what they say of themselves.
//!
//! Headers go out in the order of their owners: the endpoint's own, then its policy's, then ours; of one
//! name the last holds (`egress`), so that nobody's can pass for a signature of ours. And of the endpoint's
//! own only those are sent that are its to set: a store may have been written by another hand.
//!
//! What is copied for each endpoint is decided here. The body is not: where the format leaves it as it came, all
//! endpoints send, and all signatures are made over, the one `Bytes` that the broker's message was read into. What
//! is: the URL and a dozen short headers, because three of them differ with every request and the sender wants to own
//! them all. The formats that write an envelope write it for each endpoint, since policies may differ.
//!
//! Left to others: when it is sent (`dispatch`), and what comes of it (`send`, `settle`).

use crate::domain::body::Body;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::exchange::SentHeaders;
use crate::domain::header::{is_name, is_reserved};
use crate::domain::policy::{Ceiling, Guarantee};
use crate::domain::signature::{self, SigningScheme};
use crate::domain::time::Timestamp;
use crate::egress::Request;
use crate::egress::blocked::Whose;

/// What of a request is neither its event's nor its endpoint's to say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether it carries `svix-…` headers beside `webhook-…`: for receivers that verify by those.
    pub svix_headers: bool,
    /// What the operator allows at the most. A policy above it was set under another: what it says is not
    /// done.
    pub ceiling: Ceiling,
    /// Whether it is a test: then it says so, in a header that is ours alone, and in the body where the
    /// format has a place for it.
    pub test: bool,
}

/// The request about an event that is made to an endpoint at `now`.
///
/// The signature is over exactly the bytes that are sent, made now and not earlier: receivers refuse a
/// timestamp that is older than five minutes. The id is the event's and stays the same over all retries and
/// replays.
pub fn signed(event: &Event, endpoint: &Endpoint, now: Timestamp, options: Options) -> Request {
    let policy = endpoint.policy.policy();
    let id = event.id.to_string();
    let seconds = now.as_seconds();
    let body = Body::of(event, policy.format, options.test);
    let signature = match options.ceiling.scheme(&policy.signing) {
        SigningScheme::Standard => {
            Some(signature::sign(endpoint.live_keys(now), &id, seconds, &body.bytes))
        }
        SigningScheme::None => None,
    };
    let legacy = policy.signing.legacy.as_ref().filter(|legacy| is_its_own(&legacy.header));
    let legacy = legacy.and_then(|legacy| {
        let value = legacy.value(endpoint.live_keys(now), &id, seconds, &body.bytes)?;
        Some((legacy.header.clone(), value))
    });

    // Eleven at the most are ours: type, trace, legacy, test, and three under each of two names.
    let mut headers = Vec::with_capacity(endpoint.headers.len() + body.headers.len() + 11);
    headers.extend(endpoint.headers.iter().filter(|(name, _)| is_its_own(name)).cloned());
    if let Some(auth) = endpoint.auth.as_ref().filter(|auth| is_its_own(auth.header_name())) {
        headers.push((auth.header_name().to_owned(), auth.header_value()));
    }
    headers.extend(legacy);
    headers.push(("content-type".into(), body.content_type.into_owned()));
    headers.extend(body.headers);
    if let Some(traceparent) = &event.traceparent {
        headers.push(("traceparent".into(), traceparent.as_ref().into()));
    }
    if options.svix_headers {
        headers.push(("svix-id".into(), id.clone()));
        headers.push(("svix-timestamp".into(), seconds.to_string()));
        headers.extend(signature.clone().map(|value| ("svix-signature".into(), value)));
    }
    if options.test {
        headers.push(("webhook-test".into(), "true".into()));
    }
    headers.push(("webhook-id".into(), id));
    headers.push(("webhook-timestamp".into(), seconds.to_string()));
    headers.extend(signature.map(|value| ("webhook-signature".into(), value)));
    Request {
        url: endpoint.url.clone(),
        headers,
        body: body.bytes,
        timeout: policy.timeout(),
        allow_http: policy.allow_http,
        once: policy.guarantee == Guarantee::AtMostOnce,
        whose: Some(Whose { application: event.application, endpoint: endpoint.id }),
    }
}

/// What is kept of a request's headers: of those that its endpoint has set, credentials among them, the names.
pub fn kept(
    request: &Request,
    event: &Event,
    endpoint: &Endpoint,
    started_at: Timestamp,
) -> SentHeaders {
    let auth = endpoint.auth.as_ref().map(|auth| (auth.header_name(), auth.header_value()));
    let headers = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own: Vec<_> =
        headers.chain(auth.as_ref().map(|(name, value)| (*name, value.as_str()))).collect();
    let is_own = |name: &str| {
        let mut values = own.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).peekable();
        values.peek().is_some() && {
            let ours = our_signature(request, endpoint, name);
            ours.is_none_or(|ours| values.any(|(_, value)| *value == ours))
        }
    };
    SentHeaders::of(&request.headers, is_own, event.id, started_at)
}

/// What was sent under this name, when it is the one of the header of older make. It need not be our signature:
/// without a live key of the shared kind there is none, and the endpoint's own of that name goes out.
fn our_signature<'a>(request: &'a Request, endpoint: &Endpoint, name: &str) -> Option<&'a str> {
    let legacy = endpoint.policy.signing.legacy.as_ref()?;
    if !legacy.header.eq_ignore_ascii_case(name) {
        return None;
    }
    let sent = request.headers.iter().rfind(|(sent, _)| sent.eq_ignore_ascii_case(name))?;
    Some(sent.1.as_str())
}

/// Whether a header of this name is the endpoint's to set.
fn is_its_own(name: &str) -> bool {
    is_name(name) && !is_reserved(name)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::sync::Arc;

    use super::*;
    use crate::domain::auth::Auth;
    use crate::domain::endpoint::{EndpointKey, EndpointState};
    use crate::domain::event::Channels;
    use crate::domain::exchange::MASKED;
    use crate::domain::filter::Filter;
    use crate::domain::id::{ApplicationId, EndpointId, EventId};
    use crate::domain::policy::{Policy, PolicyPart};
    use crate::domain::signature::{Scheme, SigningKey, verify};

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const UNSIGNED: &str = r#"{"signing":{"scheme":"none"}}"#;

    fn event() -> Event {
        Event {
            id: EventId::derived(&[b"event"]),
            application: ApplicationId::derived(&[b"acme"]),
            event_type: "job.completed".parse().expect("a type"),
            event_id: None,
            subject: Some("job-7".into()),
            occurred_at: NOW,
            received_at: NOW,
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Channels::default(),
            webhook: None,
            attributes: Box::default(),
            payload: r#"{"amount":1250.50}"#.into(),
        }
    }

    /// An endpoint whose policy says this.
    fn endpoint(policy: &str) -> Endpoint {
        let policy_part: PolicyPart = serde_json::from_str(policy).expect("a policy");
        policy_part.check().expect("a valid one");
        let key = SigningKey::generated([2; 32]);
        Endpoint {
            id: EndpointId::derived(&[b"hook"]),
            application: ApplicationId::derived(&[b"acme"]),
            uid: None,
            description: String::new(),
            url: "http://a.example/".parse().expect("a URL"),
            filter: Filter::of(Vec::new()),
            channels: Vec::new(),
            state: EndpointState::Active,
            disabled_because: None,
            throttle_rate: None,
            policy: Arc::new(policy_part.over(&Policy::default()).into()),
            policy_part,
            headers: Vec::new(),
            auth: None,
            keys: vec![EndpointKey { key, created_at: NOW, expires_at: None }],
            metadata: std::collections::BTreeMap::new(),
            version: NonZeroU16::MIN,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    /// What a receiver sees under this name: the last of it.
    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        let found = request.headers.iter().rfind(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn whatever_the_format_the_signature_is_over_what_is_sent() {
        for format in ["passthrough", "standard", "cloudevents", "cloudevents_binary"] {
            let endpoint = endpoint(&format!(r#"{{"format":"{format}"}}"#));
            let request = signed(&event(), &endpoint, NOW, Options::default());

            let told = endpoint.keys[0].key.for_receiver();
            let value = |name| header(&request, name).expect("it is there");
            let [id, timestamp, signature] =
                ["webhook-id", "webhook-timestamp", "webhook-signature"].map(value);
            let now_s = NOW.as_seconds();
            assert_eq!(verify([&told], id, timestamp, signature, &request.body, now_s), Ok(()));
            let body = std::str::from_utf8(&request.body).expect("text");
            assert!(body.contains("1250.50"), "{format}: {body}");
        }
    }

    #[test]
    fn unsigned_requests_have_an_id_and_a_time_and_are_made_where_the_operator_allows_it() {
        let endpoint = endpoint(UNSIGNED);
        for svix_headers in [false, true] {
            let ceiling = Ceiling { allow_unsigned: true };
            let options = Options { svix_headers, ceiling, ..Options::default() };
            let request = signed(&event(), &endpoint, NOW, options);
            assert!(request.headers.iter().all(|(name, _)| !name.contains("signature")));
            assert_eq!(header(&request, "webhook-timestamp"), Some("1790000000"));
            assert!(header(&request, "webhook-id").is_some());
        }
        let request = signed(&event(), &endpoint, NOW, Options::default());
        assert!(header(&request, "webhook-signature").is_some(), "not allowed, and not done");
    }

    #[test]
    fn a_header_of_older_make_stands_beside_the_standards() {
        let policy = r#"{"format":"standard","signing":{"legacy":
            {"header":"X-Axelered-Signature","prefix":"sha256=","content":"{body}"}}}"#;
        let mut endpoint = endpoint(policy);
        endpoint.headers = vec![("x-axelered-signature".into(), "forged".into())];

        let request = signed(&event(), &endpoint, NOW, Options::default());

        let legacy = endpoint.policy.signing.legacy.clone().expect("one");
        let live = endpoint.live_keys(NOW);
        let expected = legacy.value(live, "unused", 0, &request.body).expect("a shared key");
        assert_eq!(header(&request, "X-Axelered-Signature"), Some(expected.as_str()));
        assert!(header(&request, "webhook-signature").is_some());
    }

    #[test]
    fn of_what_an_endpoint_has_set_for_itself_the_names_are_kept_and_signatures_are_shown() {
        let policy = r#"{"signing":{"legacy":
            {"header":"X-Old-Signature","prefix":"sha256=","content":"{body}"}}}"#;
        let mut endpoint = endpoint(policy);
        endpoint.headers = vec![("X-Tenant".into(), "open sesame".into())];
        let (user, password) = ("ann".to_owned(), secrecy::SecretString::from("wonderland"));
        endpoint.auth = Some(Auth::Basic { username: user, password });

        let request = signed(&event(), &endpoint, NOW, Options::default());
        let kept = kept(&request, &event(), &endpoint, NOW);

        let shown: std::collections::BTreeMap<_, _> =
            kept.shown(event().id, NOW).into_iter().collect();
        for (name, value) in &shown {
            let sent = header(&request, name).expect("it was sent");
            let secret = ["x-tenant", "authorization"].contains(&&*name.to_lowercase());
            assert_eq!(value == MASKED, secret, "{name}");
            assert!(secret || value == sent, "{name}: {value}, and {sent} was sent");
        }
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "X-Old-Signature"] {
            assert!(shown.contains_key(name), "{name}: {shown:?}");
        }
        let written = format!("{kept:?}");
        assert!(!written.contains("sesame") && !written.contains("Basic"), "{written}");
    }

    #[test]
    fn an_endpoints_own_header_of_a_signatures_name_is_shown_only_where_a_signature_was_sent() {
        let policy = r#"{"signing":{"legacy":
            {"header":"X-Old-Signature","prefix":"sha256=","content":"{body}"}}}"#;
        let mut endpoint = endpoint(policy);
        endpoint.headers = vec![("x-old-signature".into(), "open sesame".into())];
        let shown = |endpoint: &Endpoint| {
            let request = signed(&event(), endpoint, NOW, Options::default());
            let kept = kept(&request, &event(), endpoint, NOW);
            let mut shown = kept.shown(event().id, NOW).into_iter();
            let found = shown.find(|(name, _)| name.eq_ignore_ascii_case("x-old-signature"));
            assert!(!format!("{kept:?}").contains("sesame"), "{kept:?}");
            found.expect("it was sent").1
        };
        assert!(shown(&endpoint).starts_with("sha256="), "ours replaces the endpoint's");

        endpoint.keys[0].key = SigningKey::generated_for(Scheme::V1a, [2; 32]); // it makes no such signature
        assert_eq!(shown(&endpoint), MASKED);
    }

    #[test]
    fn a_test_says_so_and_nothing_else_can() {
        let mut endpoint = endpoint(r#"{"format":"standard"}"#);
        endpoint.headers = vec![("Webhook-Test".into(), "true".into())];
        let request =
            |test| signed(&event(), &endpoint, NOW, Options { test, ..Options::default() });

        let (test, real) = (request(true), request(false));

        assert_eq!(header(&test, "webhook-test"), Some("true"));
        assert!(std::str::from_utf8(&test.body).expect("text").contains(r#""test":true"#));
        assert_eq!(header(&real, "webhook-test"), None);
    }

    #[test]
    fn the_request_says_whether_its_policy_allows_http() {
        let allowed =
            |policy| signed(&event(), &endpoint(policy), NOW, Options::default()).allow_http;
        assert!(allowed("{}") && !allowed(r#"{"allowHttp":false}"#));
    }
}
