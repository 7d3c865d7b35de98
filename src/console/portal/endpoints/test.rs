//! Testing an endpoint: one signed request that is recorded nowhere, or an example that goes the way of every event.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use url::Url;

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

/// How long a page waits for a test: less than a page may take to be made, so that what is missing is told. An endpoint's own
/// timeout may be four times as long.
const WAIT: Duration = Duration::from_secs(15);

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

    /// Nobody has answered for as long as a page waits; what is called, and for how long a delivery waits for it.
    pub(in crate::console::portal) fn late(url: &Url, timeout_ms: u32) -> Self {
        let sentence = format!(
            "It did not answer within {} s, which is as long as this page waits. A delivery waits {timeout_ms} ms for it.",
            WAIT.as_secs()
        );
        Self {
            badge: Badge::new(Tone::Bad, "no answer"),
            sentence: Text::line(&sentence),
            status: 0,
            latency_ms: u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX),
            url: Text::line(url.as_str()),
            response: None,
        }
    }
}

/// What a test shows within the time that a page has for it; `None` when that is over. The request is let go then: it may have
/// arrived.
pub(in crate::console::portal) async fn in_time<E>(
    test: impl Future<Output = Result<Tested, E>>,
) -> Result<Option<Tested>, E> {
    tokio::time::timeout(WAIT, test).await.ok().transpose()
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
    let tested = site.test_calls().to_endpoint(control, &caller, tenant.tenant(), &id, wish);
    let fault = match in_time(tested).await {
        Ok(tested) => {
            let late = || TestResult::late(&endpoint.url, endpoint.policy.timeout_ms);
            let result = Some(tested.as_ref().map_or_else(late, TestResult::of));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_is_slower_than_a_page_is_told_of_in_time() {
        let never = std::future::pending::<Result<Tested, TestCallError>>();
        let began = tokio::time::Instant::now();
        assert_eq!(in_time(never).await, Ok(None));
        assert_eq!(began.elapsed(), WAIT);
        let url = "https://a.example/hook".parse().expect("a URL");
        let said = TestResult::late(&url, 30_000).to_string();
        assert!(said.contains("not answer within 15 s"), "{said}");
        assert!(said.contains("A delivery waits 30000 ms"), "{said}");
    }
}
