//! What is asked for an endpoint, read as what it can have: its filter, channels and rate.

use std::num::NonZeroU32;

use crate::control::{Answer, ControlError};
use crate::domain::event::check_channel;
use crate::domain::filter::{Filter, Pattern};

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
