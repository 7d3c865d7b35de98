//! The signature checker: a request as its receiver has it, and which part of it differs from what was sent.
//!
//! Keys are used and never shown, so whoever may look may check. It is work for a processor, so it is done aside from what
//! serves requests, one at a time, and of a bounded body.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::endpoints::Fault;
use super::names::{Choice, Names};
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::control::signature_check::{
    BODY_MAX, Finding, KEYS_MAX, Known, Part, Received, Whose, check,
};
use crate::domain::body::Body;
use crate::domain::endpoint::Endpoint;

/// Checks at once, whoever asks: each is some milliseconds of a processor, and the router has better work for the others.
static CHECKS: Semaphore = Semaphore::const_new(1);

#[derive(Template)]
#[template(path = "portal/signature.html")]
struct Checker {
    frame: Frame,
    faults: Vec<Fault>,
    endpoints: Vec<Choice>,
    cut: bool,
    id: Text,
    timestamp: Text,
    signature: Text,
    body: Text,
    verdict: Option<Verdict>,
}

struct Verdict {
    badge: Badge,
    words: &'static str,
    rows: Vec<(Badge, &'static str, Text)>,
}

/// `GET /portal/signature`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let names = Names::with(&tenant, asked.one("endpoint")).await?;
    made(&site, &tenant, &names, &asked, Vec::new(), None)
}

/// `POST /portal/signature`
pub(super) async fn checked(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let names = Names::with(&tenant, form.one("endpoint")).await?;
    // A form turns each line's end into two characters: what was pasted had one.
    let body = form.one("body").unwrap_or_default().replace("\r\n", "\n");
    if body.len() > BODY_MAX {
        let why = format!(
            "The body has {} bytes: {} KiB are checked here at the most. Verify a longer one with a library.",
            body.len(),
            BODY_MAX / 1_024
        );
        let said = form.without(&["body"]);
        let page = made(&site, &tenant, &names, &said, vec![Fault::of("body", &why)], None)?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let wanted = form.one("endpoint").unwrap_or_default();
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), wanted).await?;
    let text = |name: &str| form.one(name).unwrap_or_default().to_owned();
    let event = match tenant.control.event_of(tenant.tenant(), &text("id")).await {
        Ok(event) if !event.payload.is_empty() => Some(event),
        Ok(_) | Err(ControlError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let sent = event.as_ref().map(|event| Body::of(event, endpoint.policy.format, false).bytes);
    let (id, timestamp, signature) = (text("id"), text("timestamp"), text("signature"));
    let keys = keys(&endpoint, &names, site.now());
    let now_s = site.now().as_seconds();
    // The permit goes with the work: a page that is given up leaves it, and the next waits for its end.
    let permit = CHECKS.acquire().await.expect("it is never closed");
    let findings = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let received = Received {
            id: &id,
            timestamp: &timestamp,
            signature: &signature,
            body: body.as_bytes(),
        };
        check(received, &keys, sent.as_deref(), now_s)
    });
    let findings = findings.await.map_err(|error| Refusal::Broken(error.to_string()))?;
    made(&site, &tenant, &names, &form, Vec::new(), Some(verdict(&findings)))
}

/// The endpoint's own keys, newest first, and as many of the others' that one more than is looked at are there.
fn keys(endpoint: &Endpoint, names: &Names, now: crate::domain::time::Timestamp) -> Vec<Known> {
    let own = endpoint.keys.iter().zip(0..).map(|(key, place)| Known {
        key: key.key.clone(),
        whose: match place {
            _ if !key.is_live(now) => Whose::Left,
            0 => Whose::Newest,
            _ => Whose::BeingLeft,
        },
    });
    let others = names.all().iter().filter(|one| one.id != endpoint.id);
    let others = others.flat_map(|one| {
        one.keys.iter().map(|key| Known {
            key: key.key.clone(),
            whose: Whose::Others(super::names::name(one).to_string()),
        })
    });
    own.chain(others).take(KEYS_MAX + 1).collect()
}

fn verdict(findings: &[Finding]) -> Verdict {
    let badge = |right| match right {
        Some(true) => Badge::new(Tone::Good, "right"),
        Some(false) => Badge::new(Tone::Bad, "differs"),
        None => Badge::new(Tone::Plain, "cannot be told"),
    };
    let part = |part| match part {
        Part::Id => "webhook-id",
        Part::Timestamp => "webhook-timestamp",
        Part::Header => "webhook-signature",
        Part::Key => "key",
        Part::Body => "body",
    };
    let all = findings.iter().all(|one| one.right == Some(true));
    Verdict {
        badge: if all {
            Badge::new(Tone::Good, "verified")
        } else {
            Badge::new(Tone::Bad, "not verified")
        },
        words: if all {
            "The request is as it was sent, and a receiver with this key takes it."
        } else {
            "A receiver refuses it. What differs:"
        },
        rows: findings
            .iter()
            .map(|one| (badge(one.right), part(one.part), Text::line(&one.words)))
            .collect(),
    }
}

fn made(
    site: &Site,
    tenant: &TenantMay<View>,
    names: &Names,
    said: &Fields,
    faults: Vec<Fault>,
    verdict: Option<Verdict>,
) -> Result<Response, Refusal> {
    let typed = |name| Text::typed(said.one(name).unwrap_or_default());
    shown(&Checker {
        frame: tenant.frame(site, "Signature checker", Section::Checker, said),
        faults,
        endpoints: names.choices(said.one("endpoint")),
        cut: names.is_cut(),
        id: typed("id"),
        timestamp: typed("timestamp"),
        signature: typed("signature"),
        body: typed("body"),
        verdict,
    })
}
