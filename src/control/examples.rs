//! Examples: an event made up for one endpoint, so that its owner sees what will come.
//!
//! It goes the way of every event, signed and tried again, and to nobody else.

use bytes::Bytes;

use super::tokens::Caller;
use super::{Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::endpoint::EndpointState;
use crate::domain::event::{Event, EventType, NotAnEventType};
use crate::domain::id::{EndpointId, EventId};

/// The type that needs no schema: it says that the endpoint can be reached.
const PING: &str = "svix.ping";
/// What a ping says.
const PONG: &str = r#"{"success":true}"#;

/// Why no example is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExampleError {
    /// Nothing says what an event of that type looks like.
    #[error("event type `{0}` has no example: its schema of version 1 wants one in `examples`")]
    NoExample(String),
    /// The endpoint is not called.
    #[error("endpoint {0} is disabled: enable it first")]
    Disabled(EndpointId),
    /// Everything else.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl Control {
    /// Sends an example of an event type to one endpoint of a tenant. When this returns `Ok`, it is durable.
    ///
    /// # Errors
    /// `NotFound` for the endpoint or the type; `NoExample`; `Disabled`.
    pub async fn send_example(
        &self,
        tenant: Tenant,
        endpoint: &str,
        event_type: &str,
    ) -> Result<Event, ExampleError> {
        let endpoint = self.endpoint_of(tenant, endpoint).await?;
        if endpoint.state == EndpointState::Disabled {
            return Err(ExampleError::Disabled(endpoint.id));
        }
        let payload = self.example(&Caller::Organisation(self.organisation), event_type).await?;
        let event_type: EventType = event_type
            .parse()
            .map_err(|fault: NotAnEventType| ControlError::Invalid(fault.to_string()))?;
        let now = (self.context.now)();
        let id = EventId::minted(now, self.context.id_chance());
        let event = Event::made(id, tenant.application(), event_type, payload, now);
        let sent = self.history.send_only(tenant, &event, endpoint.id, now).await;
        sent.map_err(ControlError::from)?;
        Ok(event)
    }

    /// An example of an event type, if the caller is shown it.
    pub(super) async fn example(
        &self,
        caller: &Caller,
        event_type: &str,
    ) -> Result<Bytes, ExampleError> {
        if event_type == PING {
            return Ok(Bytes::from_static(PONG.as_bytes()));
        }
        let listed = self.event_type_for(caller, event_type).await?;
        let first = listed.schemas.as_ref().and_then(|all| all.pointer("/1/examples/0"));
        // Client libraries read payloads back as objects.
        let example = first.filter(|example| example.is_object());
        let example = example.ok_or_else(|| ExampleError::NoExample(event_type.to_owned()))?;
        Ok(Bytes::from(example.to_string()))
    }
}
