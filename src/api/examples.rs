//! `/app/{app}/endpoint/{endpoint}/send-example`: an event made up for one endpoint.

use axum::Json;

use super::auth::ForOwner;
use super::json::Sent;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::wire::event_type::EventExampleIn;
use super::wire::message_out::MessageOut;
use crate::control::examples::ExampleError;

/// Sends an example of an event type to this endpoint alone.
///
/// The example is the first of the type's schema of version 1; `svix.ping` needs none.
#[utoipa::path(
    post, path = "/app/{app}/endpoint/{endpoint}/send-example", tag = "Endpoint",
    operation_id = "v1.endpoint.send-example",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("endpoint" = String, Path, description = "Its id or uid"),
        ("idempotency-key" = Option<String>, Header, description = "The same request again has the same answer"),
    ),
    request_body = EventExampleIn,
    responses((status = 200, description = "It is durable", body = MessageOut), Problems),
)]
pub(super) async fn send(
    ForOwner { control, application }: ForOwner,
    at: Place<(String, String)>,
    Sent(sent): Sent<EventExampleIn>,
) -> Result<Json<MessageOut>, Problem> {
    let Place((_, endpoint)) = at;
    match control.send_example(application.tenant(), &endpoint, &sent.event_type).await {
        Ok(event) => Ok(Json(MessageOut::stored(event, true))),
        Err(error @ ExampleError::NoExample(_)) => {
            Err(Problem::Refused { code: "invalid_scheme", why: error.to_string() })
        }
        Err(error @ ExampleError::Disabled(_)) => Err(Problem::Invalid(error.to_string())),
        Err(ExampleError::Control(error)) => Err(error.into()),
    }
}
