//! What is asked for an endpoint, read as what it can have: its filter, channels, rate and policy.

use std::num::NonZeroU32;

use super::{Change, PolicyEdit};
use crate::control::{Answer, ControlError};
use crate::domain::event::check_channel;
use crate::domain::filter::{Filter, Pattern};
use crate::domain::policy::{Ceiling, Policy, PolicyPart};
use crate::domain::retry::RetryPolicy;

/// Most patterns of one filter: each is compared with each event.
const PATTERNS_MAX: usize = 100;

/// Most channels that an endpoint listens on: client libraries know of ten.
const CHANNELS_MAX: usize = 10;

/// Highest rate that can be agreed to: the API's field is a 16-bit number.
const THROTTLE_RATE_MAX: u32 = 65_535;

/// The filter of these patterns; of none, one that wants everything.
pub(in super::super) fn filter(patterns: &[String]) -> Answer<Filter> {
    if patterns.len() > PATTERNS_MAX {
        let why = format!(
            "the filter has {} patterns: at most {PATTERNS_MAX} are accepted",
            patterns.len()
        );
        return Err(ControlError::field("eventTypes", why));
    }
    let patterns: Result<Vec<Pattern>, ControlError> = patterns
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                let why = format!(
                    "`{text}` is not a pattern: a type as job.completed, a prefix as job.* or * is \
                     accepted"
                );
                ControlError::field("eventTypes", why)
            })
        })
        .collect();
    Ok(Filter::of(patterns?))
}

/// The channels that are asked for; none means all.
pub(super) fn channels(given: Vec<String>) -> Answer<Vec<String>> {
    let refuse = |why: String| Err(ControlError::field("channels", why));
    if given.len() > CHANNELS_MAX {
        return refuse(format!(
            "{} channels are given: at most {CHANNELS_MAX} are accepted",
            given.len()
        ));
    }
    for (place, channel) in given.iter().enumerate() {
        if let Err(why) = check_channel(channel) {
            return refuse(why);
        }
        if given[..place].contains(channel) {
            return refuse(format!("the channel `{channel}` is given twice: once is accepted"));
        }
    }
    Ok(given)
}

/// The rate that is asked for.
pub(super) fn throttle_rate(rate: u32) -> Answer<NonZeroU32> {
    NonZeroU32::new(rate).filter(|rate| rate.get() <= THROTTLE_RATE_MAX).ok_or_else(|| {
        let why = format!(
            "a throttle rate of {rate} is out of range: 1 to {THROTTLE_RATE_MAX} requests per \
             second are accepted"
        );
        ControlError::field("throttleRate", why)
    })
}

/// What is said of a policy, with what is to change about it; `below` is what holds where nothing is said,
/// and `ceiling` what may be said at the most. What was said under another ceiling stays until it is changed.
pub(in super::super) fn edited(
    part: PolicyPart,
    edit: PolicyEdit,
    below: &Policy,
    ceiling: Ceiling,
) -> Answer<PolicyPart> {
    if let Change::Set(signing) = &edit.signing {
        ceiling.check(signing).map_err(|why| ControlError::field("policy", why))?;
    }
    let mut part = PolicyPart {
        guarantee: changed(part.guarantee, edit.guarantee),
        retry: changed(part.retry, edit.retry),
        timeout_ms: changed(part.timeout_ms, edit.timeout_ms),
        max_in_flight: changed(part.max_in_flight, edit.max_in_flight),
        success_status: changed(part.success_status, edit.success_status),
        give_up_status: changed(part.give_up_status, edit.give_up_status),
        on_exhausted: changed(part.on_exhausted, edit.on_exhausted),
        allow_http: changed(part.allow_http, edit.allow_http),
        format: changed(part.format, edit.format),
        signing: changed(part.signing, edit.signing),
    };
    if let Some(wanted) = edit.jitter {
        let mut retry = part.over(below).retry;
        match &mut retry {
            RetryPolicy::Schedule { jitter, .. } | RetryPolicy::Exponential { jitter, .. } => {
                *jitter = wanted;
            }
            RetryPolicy::None => {
                return Err(ControlError::field(
                    "policy",
                    "jitter is given, but there are no retries that it could move",
                ));
            }
        }
        part.retry = Some(retry);
    }
    part.check().map_err(|why| ControlError::field("policy", why))?;
    Ok(part)
}

fn changed<T>(known: Option<T>, change: Change<T>) -> Option<T> {
    match change.wanted() {
        Some(wanted) => wanted,
        None => known,
    }
}
