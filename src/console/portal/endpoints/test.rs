//! Testing an endpoint: one signed request that is recorded nowhere, or an example that goes the way of every event.

use std::sync::Arc;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;

use super::form::Fault;
use super::head::Head;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone};
use crate::console::portal::deliveries::path;
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, TenantMay};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::control::examples::ExampleError;
use crate::control::test_calls::{TestCallError, TestWish, Tested};
use crate::domain::delivery::DeliveryKey;
use crate::domain::endpoint::Endpoint;
use crate::storage::page::{Order, Page, Place};

/// Event types that are offered.
const TYPES_MAX: usize = 250;

#[derive(Template)]
#[template(path = "portal/endpoint_test.html")]
struct TestPage {
    frame: Frame,
    head: Head,
    types: Vec<(Text, bool)>,
    event_type: Text,
    payload: Text,
    faults: Vec<Fault>,
    result: Option<TestResult>,
}

/// What a test has shown.
#[derive(Template)]
#[template(path = "portal/test_result.html")]
pub(in crate::console::portal) struct TestResult {
    badge: Badge,
    sentence: Text,
    status: u16,
    latency_ms: u32,
    url: Text,
    response: Option<Text>,
}

impl HtmlSafe for TestResult {}

impl TestResult {
    /// In words.
    pub(in crate::console::portal) fn of(tested: &Tested) -> Self {
        let Tested { ok, status, latency_ms, error, detail, url, response } = tested;
        let sentence = match (ok, error) {
            (true, _) => format!("It answered {status} after {latency_ms} ms, and has it."),
            (false, None) => format!(
                "It answered {status} after {latency_ms} ms: a delivery would have failed and been tried again."
            ),
            (false, Some(error)) if detail.is_empty() => {
                format!("It did not answer: {}.", error.replace('_', " "))
            }
            (false, Some(_)) => format!("It did not answer: {detail}."),
        };
        Self {
            badge: if *ok {
                Badge::new(Tone::Good, "it works")
            } else {
                Badge::new(Tone::Bad, "failed")
            },
            sentence: Text::line(&sentence),
            status: *status,
            latency_ms: *latency_ms,
            url: Text::line(url.as_str()),
            response: response.as_deref().map(Text::block),
        }
    }
}

/// `GET /portal/endpoints/{endpoint}/test`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Asked(asked): Asked,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    made(&site, &tenant, &endpoint, &asked, Vec::new(), None).await
}

/// `POST /portal/endpoints/{endpoint}/test`
pub(super) async fn call(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let wish = TestWish {
        event_type: form.one("event_type").map(ToOwned::to_owned),
        payload: form.one("payload").map(|text| Bytes::from(text.to_owned())),
    };
    let (control, caller) = (&tenant.control, tenant.caller());
    let id = endpoint.id.to_string();
    let tested = site.test_calls().to_endpoint(control, &caller, tenant.tenant(), &id, wish).await;
    let fault = match tested {
        Ok(tested) => {
            let result = Some(TestResult::of(&tested));
            return made(&site, &tenant, &endpoint, &form, Vec::new(), result).await;
        }
        Err(TestCallError::Control(ControlError::InvalidField { field, why })) => {
            let at = if field == "payload" { "payload" } else { "event_type" };
            Fault::of(at, &why)
        }
        Err(error) => return Err(error.into()),
    };
    let page = made(&site, &tenant, &endpoint, &form, vec![fault], None).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// `POST /portal/endpoints/{endpoint}/example`
pub(super) async fn example(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let event_type = form.one("event_type").unwrap_or_default();
    // Asked for as this tenant: a type that is for others alone is not there.
    let whose = tenant.tenant();
    let sent = match tenant.control.event_type_for(&tenant.caller(), event_type).await {
        Ok(_) => tenant.control.send_example(whose, &endpoint.id.to_string(), event_type).await,
        Err(error) => Err(ExampleError::Control(error)),
    };
    match sent {
        Ok(event) => {
            let key = DeliveryKey { event: event.id, endpoint: endpoint.id };
            Ok(Redirect::to(&format!("{}?done=example", path(key))).into_response())
        }
        Err(ExampleError::Control(error @ ControlError::Unavailable(_))) => Err(error.into()),
        Err(error) => {
            let fault = Fault::of("event_type", &error.to_string());
            let page = made(&site, &tenant, &endpoint, &form, vec![fault], None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

async fn made(
    site: &Site,
    tenant: &TenantMay<MakeAttempts>,
    endpoint: &Endpoint,
    said: &Fields,
    faults: Vec<Fault>,
    result: Option<TestResult>,
) -> Result<Response, Refusal> {
    let first = Page { limit: TYPES_MAX, place: Place::Beginning, order: Order::Ascending };
    let types = tenant.control.event_type_page(&tenant.caller(), false, &first).await?;
    let chosen = said.one("event_type").unwrap_or_default();
    shown(&TestPage {
        frame: tenant.frame(site, "Test the endpoint", Section::Endpoints, said),
        head: Head::of(endpoint, "test"),
        types: types.iter().map(|one| (Text::line(&one.name), one.name == chosen)).collect(),
        event_type: Text::typed(chosen),
        payload: Text::typed(said.one("payload").unwrap_or_default()),
        faults,
        result,
    })
}
