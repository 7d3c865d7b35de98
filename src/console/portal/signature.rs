//! The signature checker: a request as its receiver has it, and which part of it differs from what was sent.
//!
//! Keys are used and never shown, so whoever may look may check.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::names::{Choice, Names};
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::control::signature_check::{Finding, Known, Part, Received, Whose, check};
use crate::domain::body::Body;
use crate::domain::endpoint::Endpoint;

#[derive(Template)]
#[template(path = "portal/signature.html")]
struct Checker {
    frame: Frame,
    endpoints: Vec<Choice>,
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
    let names = Names::of(&tenant).await?;
    made(&site, &tenant, &names, &asked, None)
}

/// `POST /portal/signature`
pub(super) async fn checked(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let names = Names::of(&tenant).await?;
    let wanted = form.one("endpoint").unwrap_or_default();
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), wanted).await?;
    let text = |name: &str| form.one(name).unwrap_or_default();
    let event = match tenant.control.event_of(tenant.tenant(), text("id")).await {
        Ok(event) if !event.payload.is_empty() => Some(event),
        Ok(_) | Err(ControlError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let sent = event.as_ref().map(|event| Body::of(event, endpoint.policy.format, false).bytes);
    // A form turns each line's end into two characters: what was pasted had one.
    let body = text("body").replace("\r\n", "\n");
    let received = Received {
        id: text("id"),
        timestamp: text("timestamp"),
        signature: text("signature"),
        body: body.as_bytes(),
    };
    let keys = keys(&endpoint, &names, site.now());
    let findings = check(received, &keys, sent.as_deref(), site.now().as_seconds());
    made(&site, &tenant, &names, &form, Some(verdict(&findings)))
}

/// The endpoint's own keys, newest first, and the others'.
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
    own.chain(others).collect()
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
    verdict: Option<Verdict>,
) -> Result<Response, Refusal> {
    let typed = |name| Text::typed(said.one(name).unwrap_or_default());
    shown(&Checker {
        frame: tenant.frame(site, "Signature checker", Section::Checker, said),
        endpoints: names.choices(said.one("endpoint")),
        id: typed("id"),
        timestamp: typed("timestamp"),
        signature: typed("signature"),
        body: typed("body"),
        verdict,
    })
}
