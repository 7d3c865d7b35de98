//! Test calls: one real request to an endpoint or to the default URL, because somebody wants to see whether
//! it works.
//!
//! It goes the way out that every request goes, signed and in the endpoint's format, and says of itself that
//! it is a test. Beside that it is nothing: no event, no delivery, no turn; nothing of it is recorded, it is
//! never tried again, and a 410 closes nobody. So an endpoint that is paused or disabled may be tested: that
//! is when one does.
//!
//! How many are made at once is bounded, for all, for one application and for one host: a test holds a
//! request of the API for as long as its receiver takes, and is not in the dispatcher's count of what is on
//! the way to a host.
//!
//! **What if we die right here?** The receiver may have got it, and whoever asked was not answered: they ask
//! again, and it is another test.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use url::Url;

use super::examples::ExampleError;
use super::tokens::Caller;
use super::{Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::endpoint::{Endpoint, default_of};
use crate::domain::event::{Event, EventType, NotAnEventType, check_payload};
use crate::domain::id::{ApplicationId, EventId};
use crate::domain::outcome::{Meaning, Outcome};

/// Test calls at once, in all: sixteen slow receivers take a sixteenth of what the API serves at once.
const AT_ONCE: usize = 16;
/// Test calls at once of one application: a person looks at one, and has another page open.
const AT_ONCE_OF_ONE: usize = 2;
/// Test calls at once to one host, whoever asks: few enough to be nothing beside what is on the way there.
const AT_ONCE_TO_A_HOST: usize = 4;

/// What a test is about when nobody says.
const SAMPLE_TYPE: &str = "webhook.test";

/// Most bytes of a payload that is given: as much as a body that is no message may have.
const PAYLOAD_MAX: usize = 256 * 1_024;

/// Most bytes of an answer's body that are shown: what a person reads.
const SHOWN_MAX: usize = 1_024;

/// Makes one request outside all deliveries.
#[async_trait]
pub trait TestCaller: Send + Sync {
    /// Makes it, marked as a test, within the endpoint's timeout and some seconds less than a request of
    /// the API may take. When dropped before its end, it may have arrived.
    async fn call(&self, event: &Event, endpoint: &Endpoint) -> Called;
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Called {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The first bytes of the answer's body.
    pub body: Bytes,
    /// What went wrong, in words fit for the tenant; empty when nothing did.
    pub detail: String,
}

/// What a test is to be about.
#[derive(Debug, Clone, Default)]
pub struct TestWish {
    /// What happened, as it were.
    pub event_type: Option<String>,
    /// The payload; else the type's example if the caller is shown it, or a small one.
    pub payload: Option<Bytes>,
}

/// What a test has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether the receiver has taken it, by the policy's word.
    pub ok: bool,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub latency_ms: u32,
    /// Why there was no answer, in one word, if there was none.
    pub error: Option<&'static str>,
    /// The same in a sentence; empty when nothing went wrong.
    pub detail: String,
    /// Where it went.
    pub url: Url,
    /// The beginning of the answer's body, if it is text.
    pub response: Option<String>,
}

/// Why no test was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestCallError {
    /// There is nothing to call.
    #[error("application {0} has no default URL: set `defaultUrl` in its settings first")]
    NoDefaultUrl(ApplicationId),
    /// As many are being made as may be.
    #[error("as many tests are being made as may be at once: ask again when one has ended")]
    TooMany,
    /// Everything else.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Makes test calls.
#[derive(Clone)]
pub struct TestCalls {
    caller: Arc<dyn TestCaller>,
    places: Arc<Places>,
}

impl TestCalls {
    /// Test calls by this way out.
    pub fn new(caller: Arc<dyn TestCaller>) -> Self {
        Self { caller, places: Arc::default() }
    }

    /// Tests a tenant's default URL, by the settings' policy and keys.
    ///
    /// # Errors
    /// `NoDefaultUrl`, `TooMany`, `InvalidField`.
    pub async fn to_default_url(
        &self,
        control: &Control,
        caller: &Caller,
        tenant: Tenant,
        wish: TestWish,
    ) -> Result<Tested, TestCallError> {
        let settings = control.settings_of(tenant).await?;
        let application = tenant.application();
        let url = settings.default_url.clone();
        let url = url.ok_or(TestCallError::NoDefaultUrl(application))?;
        let policy = Arc::new(settings.policy_of_urls());
        let endpoint = settings.endpoint_at(default_of(application), url, policy);
        self.make(control, caller, tenant, endpoint, wish).await
    }

    /// Tests a tenant's endpoint, whatever its state.
    ///
    /// # Errors
    /// `NotFound`, `TooMany`, `InvalidField`.
    pub async fn to_endpoint(
        &self,
        control: &Control,
        caller: &Caller,
        tenant: Tenant,
        endpoint: &str,
        wish: TestWish,
    ) -> Result<Tested, TestCallError> {
        let endpoint = control.endpoint_of(tenant, endpoint).await?;
        self.make(control, caller, tenant, endpoint, wish).await
    }

    async fn make(
        &self,
        control: &Control,
        caller: &Caller,
        tenant: Tenant,
        endpoint: Endpoint,
        wish: TestWish,
    ) -> Result<Tested, TestCallError> {
        let event = control.test_event(caller, tenant, wish).await?;
        let host = endpoint.url.host_str().unwrap_or_default();
        let place = Places::take(&self.places, tenant.application(), host);
        let _place = place.ok_or(TestCallError::TooMany)?;
        let Called { outcome, took, body, detail } = self.caller.call(&event, &endpoint).await;
        let status = outcome.status();
        Ok(Tested {
            ok: endpoint.policy.judge(&outcome) == Meaning::Delivered,
            status,
            latency_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            error: (status == 0).then(|| outcome.class()),
            detail,
            url: endpoint.url,
            response: shown(&body),
        })
    }
}

impl Control {
    /// What a test sends: an event that nobody records.
    async fn test_event(
        &self,
        caller: &Caller,
        tenant: Tenant,
        wish: TestWish,
    ) -> Result<Event, ControlError> {
        let name = wish.event_type.unwrap_or_else(|| SAMPLE_TYPE.to_owned());
        let event_type: EventType = name
            .parse()
            .map_err(|fault: NotAnEventType| ControlError::field("eventType", fault.to_string()))?;
        let payload = match wish.payload {
            Some(payload) => {
                check_payload(&payload, PAYLOAD_MAX)
                    .map_err(|fault| ControlError::field("payload", fault.to_string()))?;
                payload
            }
            None => match self.example(caller, &name).await {
                Ok(example) => example,
                Err(
                    ExampleError::NoExample(_)
                    | ExampleError::Disabled(_)
                    | ExampleError::Control(ControlError::NotFound(_)),
                ) => Bytes::from(json!({ "type": name, "test": true }).to_string()),
                Err(ExampleError::Control(error)) => return Err(error),
            },
        };
        let now = (self.context.now)();
        let id = EventId::minted(now, self.context.id_chance());
        Ok(Event::made(id, tenant.application(), event_type, payload, now))
    }
}

/// The beginning of a body, if it is text.
fn shown(body: &Bytes) -> Option<String> {
    let beginning = &body[..body.len().min(SHOWN_MAX)];
    let text = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        // Cut within a character, and text until there.
        Err(fault) if fault.error_len().is_none() => {
            std::str::from_utf8(&beginning[..fault.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    (!text.is_empty()).then(|| text.to_owned())
}

/// Tests that are being made. Locked for a moment, and never across a request.
#[derive(Debug, Default)]
struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_application: HashMap<ApplicationId, usize>,
    by_host: HashMap<String, usize>,
}

/// A test's place, until it is dropped.
struct PlaceTaken {
    places: Arc<Places>,
    application: ApplicationId,
    host: String,
}

impl Places {
    fn take(places: &Arc<Self>, application: ApplicationId, host: &str) -> Option<PlaceTaken> {
        let mut taken = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_application.get(&application).copied().unwrap_or_default();
        let there = taken.by_host.get(host).copied().unwrap_or_default();
        if taken.all >= AT_ONCE || own >= AT_ONCE_OF_ONE || there >= AT_ONCE_TO_A_HOST {
            return None;
        }
        taken.all += 1;
        taken.by_application.insert(application, own + 1);
        taken.by_host.insert(host.to_owned(), there + 1);
        Some(PlaceTaken { places: Arc::clone(places), application, host: host.to_owned() })
    }
}

impl Drop for PlaceTaken {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        give_back(&mut taken.by_application, &self.application);
        give_back(&mut taken.by_host, &self.host);
    }
}

/// Only who has a place is kept: else the tables would grow with everybody who ever had one.
fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
