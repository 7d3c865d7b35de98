//! Which addresses may be called: the rules, what they have blocked of late, and what they say of a URL, step by step.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use url::Url;

use super::form::{Faults, Typed};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
use crate::console::refusal::Refusal;
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::installation::egress::{BlockedAttempt, StepVerdict, Trial};

#[derive(Template)]
#[template(path = "operator/egress.html")]
struct Egress {
    frame: Frame,
    typed: Typed,
    faults: Faults,
    trial: Option<Tried>,
    blocked: Vec<Row>,
    switches: [(&'static str, bool); 2],
    refused: Vec<(Text, &'static str)>,
    lists: Vec<(&'static str, Text)>,
}

/// What the rules say of a URL.
struct Tried {
    url: Option<Text>,
    verdict: Badge,
    steps: Vec<(&'static str, Badge, Text)>,
}

struct Row {
    at: When,
    application: Text,
    endpoint: Text,
    host: Text,
    reason: &'static str,
    sentence: Text,
    address: Option<Text>,
}

impl Tried {
    fn of(trial: &Trial) -> Self {
        let verdict = if trial.allowed {
            Badge::new(Tone::Good, "would be called")
        } else {
            Badge::new(Tone::Bad, "would not be called")
        };
        let step = |step: &crate::control::installation::egress::Step| {
            let badge = match step.verdict {
                StepVerdict::Passed => Badge::new(Tone::Good, "passes"),
                StepVerdict::Refused => Badge::new(Tone::Bad, "refused"),
                StepVerdict::Skipped => Badge::new(Tone::Plain, "not looked at"),
            };
            (step.what, badge, Text::line(&step.found))
        };
        Self {
            url: trial.url.as_deref().map(Text::line),
            verdict,
            steps: trial.steps.iter().map(step).collect(),
        }
    }
}

impl Row {
    fn of(one: &BlockedAttempt) -> Self {
        Self {
            at: When(one.at),
            application: Text::line(&one.application.to_string()),
            endpoint: Text::line(&one.endpoint.to_string()),
            host: Text::line(&one.host),
            reason: one.reason,
            sentence: Text::line(&one.sentence),
            address: one.address.map(|address| Text::line(&address.to_string())),
        }
    }
}

/// `GET /console/egress`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    looked_at(&site, &operator, asked, None, &Faults::default())
}

/// `POST /console/egress`: what the rules say of a URL. Names are looked up: hence a form, although nothing is changed.
pub(super) async fn try_out(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let leave = operator.installation()?;
    let url = form.one("url").unwrap_or_default();
    match site.installation().egress.try_out(leave, url).await {
        Ok(trial) => {
            // Who has had which name looked up; what a URL says beside its host may be a secret.
            let url = trial.url.as_deref().and_then(|url| Url::parse(url).ok());
            let host = url.as_ref().and_then(Url::host_str);
            let details = json!({ "host": host, "allowed": trial.allowed });
            let page = looked_at(&site, &operator, form, Some(&trial), &Faults::default())?;
            Ok((Details(details), page).into_response())
        }
        Err(error) => looked_at(&site, &operator, form, None, &Faults::of(error)?),
    }
}

fn looked_at(
    site: &Site,
    operator: &OperatorMay<View>,
    fields: Fields,
    trial: Option<&Trial>,
    faults: &Faults,
) -> Result<Response, Refusal> {
    let leave = operator.installation()?;
    let desk = &site.installation().egress;
    let rules = desk.rules(leave);
    let joined = |list: &[String]| Text::block(&list.join(", "));
    let ports: Vec<_> = rules.refused_ports.iter().map(u16::to_string).collect();
    let names = rules.special_names.iter().filter(|_| !rules.allow_local_names);
    let names: Vec<_> = names.map(|name| format!(".{name}")).collect();
    faults.answer(&Egress {
        frame: operator.frame(site, "Egress", Section::Egress, &fields),
        typed: Typed(fields),
        faults: faults.clone(),
        trial: trial.map(Tried::of),
        blocked: desk.blocked(leave).iter().map(Row::of).collect(),
        switches: [
            ("Plain http is called, where a policy says so", rules.allow_http),
            ("Names that mean something only here are looked up", rules.allow_local_names),
        ],
        refused: rules.refused.iter().map(|(range, word)| (Text::line(range), *word)).collect(),
        lists: vec![
            ("Allowed by the operator, although refused otherwise", joined(&rules.allowed)),
            ("Refused by the operator, whatever is allowed", joined(&rules.denied)),
            ("Where clouds hand out credentials", joined(&rules.metadata)),
            ("Where this router listens itself", joined(&rules.own_sockets)),
            ("Names that are not looked up", joined(&names)),
            ("Ports from 1024 on that are refused", joined(&ports)),
        ],
    })
}
