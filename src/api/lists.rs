//! Lists of a history: which rows are asked for, and how a part of one is answered.
//!
//! They are newest first, and may be long and seldom match: a part that has looked at much and found
//! little is short, or empty, and says where to go on. So `done` alone tells that there is nothing beyond.

use std::fmt::Display;
use std::str::FromStr;

use super::problem::Problem;
use super::query::{Query, fault};
use super::wire::list::ListResponse;
use crate::control::ControlError;
use crate::domain::delivery::Shown;
use crate::storage::history::{AttemptFilter, EventFilter};
use crate::storage::page::{Listed, Order, Page, Place};

/// Which events are wanted.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read here, for the description of the API")]
pub(super) struct EventParams {
    /// Most rows.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// Where it begins: `iterator` of the part before; or, with a `-` in front, where it ends.
    iterator: Option<String>,
    /// For this channel.
    #[param(max_length = 128)]
    channel: Option<String>,
    /// Before this moment, and not at it.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<String>,
    /// After this moment, and not at it: without `before` and `iterator` the rows next to it.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<String>,
    /// Whether payloads and answers are wanted.
    #[param(default = true)]
    with_content: Option<bool>,
    /// Of one of these types.
    event_types: Option<Vec<String>>,
}

/// Which attempts are wanted, besides.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read here, for the description of the API")]
pub(super) struct AttemptParams {
    /// That ended so: 0, the receiver has it; 2, it failed. There are none with the other numbers.
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
    /// With a status of this hundred; 0 for no answer.
    #[param(minimum = 0, maximum = 500, multiple_of = 100)]
    status_code_class: Option<u16>,
}

/// Which part of a list is wanted whose rows have a time.
pub(super) fn newest_first<K: FromStr>(
    query: &Query,
    filter: &EventFilter,
) -> Result<Page<K>, Problem> {
    let page = query.page(Order::Descending)?;
    Ok(match (&page.place, filter.after, filter.before) {
        // Whoever asks what came after something wants what is next to it.
        (Place::Beginning, Some(_), None) => Page { place: Place::End, ..page },
        (Place::Beginning | Place::End | Place::Behind(_) | Place::InFrontOf(_), _, _) => page,
    })
}

/// Which events are wanted.
pub(super) fn events(query: &Query) -> Result<EventFilter, Problem> {
    Ok(EventFilter {
        event_types: query.names("event_types"),
        channels: query.text("channel").map(str::to_owned).into_iter().collect(),
        subject: query.text("subject").map(str::to_owned),
        before: query.moment("before")?,
        after: query.moment("after")?,
    })
}

/// Which attempts are wanted; `None` when there can be none of that kind.
pub(super) fn attempts(query: &Query) -> Result<Option<AttemptFilter>, Problem> {
    let class = "0, 100, 200, 300, 400 or 500 is accepted";
    let status_class = query.read::<u16>("status_code_class", class)?;
    if status_class.is_some_and(|class| class > 500 || class % 100 != 0) {
        return Err(fault("status_code_class", class));
    }
    let success = match shown(query)? {
        None => None,
        Some(Shown::Success) => Some(true),
        Some(Shown::Fail) => Some(false),
        // An attempt has ended.
        Some(Shown::Pending | Shown::Sending | Shown::Canceled) => return Ok(None),
    };
    Ok(Some(AttemptFilter { events: events(query)?, endpoint: None, success, status_class }))
}

/// How what is wanted stands.
pub(super) fn shown(query: &Query) -> Result<Option<Shown>, Problem> {
    let wanted = "0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled) is accepted";
    let Some(number) = query.read::<usize>("status", wanted)? else { return Ok(None) };
    Shown::ALL.get(number).copied().map(Some).ok_or_else(|| fault("status", wanted))
}

/// A place in a list that is not there is a mistake in the request for it.
pub(super) fn refused(error: ControlError) -> Problem {
    if let ControlError::Conflict(why) = &error {
        return fault("iterator", why);
    }
    error.into()
}

/// A part of a list: `key` is what a row is found by again, `show` how it is written.
pub(super) fn told<K: Display, T, S>(
    page: &Page<K>,
    listed: Listed<T, K>,
    key: impl Fn(&T) -> K,
    show: impl FnMut(T) -> S,
) -> ListResponse<S> {
    let Listed { rows, beyond } = listed;
    let (_, backwards) = page.reading();
    let (first, last) = (rows.first().map(&key), rows.last().map(&key));
    let done = beyond.is_none();
    let (front, back) = if backwards { (beyond.or(first), last) } else { (first, beyond.or(last)) };
    ListResponse {
        iterator: back.map(|key| key.to_string()),
        prev_iterator: front.map(|key| format!("-{key}")),
        data: rows.into_iter().map(show).collect(),
        done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn what_came_after_a_moment_is_looked_for_from_that_end() {
        let place = |text: &str| {
            let query = Query::of(text);
            let filter = events(&query).expect("a filter");
            newest_first::<u32>(&query, &filter).expect("a page").place
        };
        let after = "after=2026-08-21T10:11:12Z";
        assert_eq!(place(""), Place::Beginning);
        assert_eq!(place(after), Place::End);
        assert_eq!(place(&format!("{after}&before=2026-08-22T10:11:12Z")), Place::Beginning);
        assert_eq!(place(&format!("{after}&iterator=7")), Place::Behind(7));
        assert_eq!(place(&format!("{after}&iterator=-7")), Place::InFrontOf(7));
    }

    #[test]
    fn every_condition_is_read() {
        let query = Query::of(
            "event_types=a,b&channel=eu&subject=7&before=2026-09-21T14:13:20Z&status=2&status_code_class=500",
        );
        let filter = attempts(&query).expect("a filter").expect("there may be some");
        assert_eq!(filter.events.event_types, ["a", "b"]);
        assert_eq!(filter.events.channels, ["eu"]);
        assert_eq!(filter.events.subject.as_deref(), Some("7"));
        assert_eq!(filter.events.before, Some(Timestamp::from_seconds(1_790_000_000)));
        assert_eq!((filter.success, filter.status_class), (Some(false), Some(500)));
        assert!(attempts(&Query::of("status=3")).expect("a filter").is_none(), "none is under way");
        for wrong in ["status=5", "status=x", "status_code_class=600", "status_code_class=404"] {
            assert!(attempts(&Query::of(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_that_has_found_little_says_where_to_go_on() {
        let page = |place| Page { limit: 2, place, order: Order::Descending };
        let tell = |place, rows: Vec<u32>, beyond| {
            let list = told(&page(place), Listed { rows, beyond }, |row| *row, |row| row);
            (list.iterator, list.prev_iterator, list.done)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(tell(Place::Beginning, vec![], None), (None, None, true));
        assert_eq!(tell(Place::Beginning, vec![9, 8], None), (some("8"), some("-9"), true));
        assert_eq!(tell(Place::Beginning, vec![9], Some(4)), (some("4"), some("-9"), false));
        assert_eq!(tell(Place::Behind(9), vec![], Some(4)), (some("4"), None, false));
        assert_eq!(tell(Place::InFrontOf(4), vec![6, 5], Some(7)), (some("5"), some("-7"), false));
        assert_eq!(tell(Place::End, vec![2, 1], None), (some("1"), some("-2"), true));
        assert_eq!(tell(Place::End, vec![], Some(5)), (None, some("-5"), false));
    }
}
