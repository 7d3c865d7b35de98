//! Whether a delivery may be sent, when its lane would let it: the last look before its request.
//!
//! What its event says of time, and what people have said of its endpoint and its application. Not here:
//! how fast and how many (`lane`, `destination`).

use std::time::Duration;

use super::delivery::Trigger;
use super::endpoint::{Endpoint, EndpointState};
use super::event::Event;
use super::retry::Due;
use super::settlement::{DeathReason, Postponed, Settlement, given_up};
use super::signature::SigningScheme;
use super::time::Timestamp;

/// How long an attempt by hand waits at an endpoint that is paused before it is looked at again, and anything
/// at one that has no key.
const ASKED_AGAIN: Duration = Duration::from_secs(10);

/// What becomes of a delivery that may not be sent now; `None` when it may. `held` says that its application
/// lets nothing go.
pub fn instead(
    endpoint: &Endpoint,
    held: bool,
    event: &Event,
    trigger: Trigger,
    now: Timestamp,
) -> Option<Settlement> {
    if trigger.is_by_hand() {
        // Now, whatever its event says. Only who is not to be called at all is not called.
        return match endpoint.state {
            EndpointState::Active if held => {
                Some(Settlement::Postpone(Due::exactly(now + ASKED_AGAIN), Postponed::Held))
            }
            EndpointState::Active => without_key(endpoint, now),
            EndpointState::Paused => {
                Some(Settlement::Postpone(Due::exactly(now + ASKED_AGAIN), Postponed::Paused))
            }
            EndpointState::Disabled => Some(Settlement::Unchanged),
        };
    }
    if event.expires_at.is_some_and(|end| end <= now) {
        return Some(given_up(&endpoint.policy, DeathReason::Expired));
    }
    // A recall offers at once what waits for an endpoint, whatever it waits for.
    if let Some(moment) = event.deliver_at.filter(|moment| now < *moment) {
        return Some(Settlement::Postpone(Due::exactly(moment), Postponed::NotYet));
    }
    match endpoint.state {
        EndpointState::Active if held => {
            Some(Settlement::Postpone(Due::exactly(Timestamp::NEVER), Postponed::Held))
        }
        EndpointState::Active => without_key(endpoint, now),
        EndpointState::Paused | EndpointState::Disabled => {
            Some(Settlement::Postpone(Due::exactly(Timestamp::NEVER), Postponed::Paused))
        }
    }
}

/// Nothing goes out unsigned that is to be signed. Who starts gives keys to whoever has none.
fn without_key(endpoint: &Endpoint, now: Timestamp) -> Option<Settlement> {
    let signed = endpoint.policy.signing.scheme == SigningScheme::Standard;
    let lacks = signed && endpoint.live_keys(now).next().is_none();
    lacks.then(|| Settlement::Postpone(Due::exactly(now + ASKED_AGAIN), Postponed::OurDoing))
}
