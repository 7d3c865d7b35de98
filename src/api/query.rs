//! What stands behind the question mark: filters, and which part of a list is wanted.
//!
//! Unknown parameters are passed over, because client libraries send those of other servers too.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::{Fault, FaultKind, Problem};
use super::routes::Api;
use super::wire::list::ListResponse;
use crate::domain::time::Timestamp;
use crate::storage::page::{Order, Page, Place};

/// Rows of a page when nobody says.
const LIMIT_DEFAULT: usize = 50;
/// Most rows of a page: what client libraries know.
const LIMIT_MAX: usize = 250;

/// The parameters of a request, in their order.
pub(super) struct Query(Vec<(String, String)>);

impl FromRequestParts<Arc<Api>> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// The parameters of this text.
    pub(super) fn of(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// What a parameter says; the first time, if it is there several times. An empty one says nothing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Refuses every parameter but these: where one that is misspelt would find more than was asked for.
    ///
    /// # Errors
    /// For the first that is none of them, with those that are.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        let stranger = self.0.iter().find(|(name, _)| !names.contains(&name.as_str()));
        stranger.map_or(Ok(()), |(name, _)| {
            Err(fault(name, &format!("no such parameter: {} are accepted", names.join(", "))))
        })
    }

    /// Whether a parameter says yes; `default` when it says nothing.
    ///
    /// # Errors
    /// When it says anything but `true` and `false`.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.text(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(fault(name, "true or false is accepted")),
        }
    }

    /// What a parameter says, read.
    ///
    /// # Errors
    /// When it cannot be: `wanted` says what is accepted.
    pub(super) fn read<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| fault(name, wanted))
    }

    /// A moment.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.read(name, "an RFC 3339 time with a zone is wanted, as 2026-08-21T10:11:12Z")
    }

    /// Names, in each of the ways that clients write lists: `a,b`, repeated, `name[]=a`, `name[1]=a`.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        let ours = |known: &str| {
            let rest = known.strip_prefix(name)?;
            let inner = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let indexed = inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_digit()));
            (rest.is_empty() || indexed).then_some(())
        };
        let values = self.0.iter().filter(|(known, _)| ours(known).is_some());
        let names = values.flat_map(|(_, value)| value.split(','));
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Which part of a list is wanted. One row more than that is asked for: it tells whether there is more.
    ///
    /// # Errors
    /// For a limit, an iterator or an order that is none.
    pub(super) fn part<K: FromStr>(&self, default: Order) -> Result<Part<K>, Problem> {
        let order = match self.text("order") {
            None => default,
            Some("ascending") => Order::Ascending,
            Some("descending") => Order::Descending,
            Some(_) => return Err(fault("order", "ascending or descending is accepted")),
        };
        let Page { limit, place, order } = self.page(order)?;
        Ok(Part { limit, page: Page { limit: limit + 1, place, order } })
    }

    /// Which part of a list that has this order is wanted.
    ///
    /// # Errors
    /// For a limit or an iterator that is none.
    pub(super) fn page<K: FromStr>(&self, order: Order) -> Result<Page<K>, Problem> {
        let wanted = format!("1 to {LIMIT_MAX} is accepted");
        let limit = self.read("limit", &wanted)?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(fault("limit", &wanted));
        }
        let key = |text: &str| {
            text.parse().map_err(|_| fault("iterator", "an iterator of this list is wanted"))
        };
        let place = match self.text("iterator").map(|text| (text, text.strip_prefix('-'))) {
            None => Place::Beginning,
            Some((_, Some(text))) => Place::InFrontOf(key(text)?),
            Some((text, None)) => Place::Behind(key(text)?),
        };
        Ok(Page { limit, place, order })
    }
}

/// The part of a list that is wanted.
pub(super) struct Part<K> {
    /// Rows of it.
    limit: usize,
    /// What to ask for: a row more.
    pub(super) page: Page<K>,
}

impl<K> Part<K> {
    /// The answer: `key` is what a row is found by again, `show` how it is written.
    pub(super) fn listed<T, S>(
        &self,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl FnMut(T) -> S,
    ) -> ListResponse<S> {
        let done = rows.len() <= self.limit;
        let backwards = matches!(self.page.place, Place::InFrontOf(_));
        match (done, backwards) {
            (true, _) => {}
            (false, false) => rows.truncate(self.limit),
            (false, true) => drop(rows.drain(..rows.len() - self.limit)),
        }
        ListResponse {
            iterator: rows.last().map(&key),
            prev_iterator: rows.first().map(|row| format!("-{}", key(row))),
            data: rows.into_iter().map(show).collect(),
            done,
        }
    }
}

/// A fault of a parameter.
pub(super) fn fault(name: &str, msg: &str) -> Problem {
    Problem::Faults(vec![Fault {
        loc: vec!["query".into(), name.into()],
        msg: msg.into(),
        kind: FaultKind::Value,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(query: &str) -> Result<Part<u32>, Problem> {
        Query::of(query).part(Order::Ascending)
    }

    #[test]
    fn names_are_read_in_each_of_the_ways_that_clients_write_them() {
        for query in ["t=a,b", "t=a&t=b", "t[]=a&t[]=b", "t[0]=a&t[1]=b", "t%5B%5D=a%2Cb"] {
            assert_eq!(Query::of(query).names("t"), ["a", "b"], "{query}");
        }
        assert!(Query::of("tt=a&t[x]=b&u=c").names("t").is_empty());
    }

    #[test]
    fn a_part_of_a_list_says_whether_there_is_more_in_its_direction() {
        let listed = |query, rows: Vec<u32>| {
            let list = part(query).expect("a part").listed(rows, u32::to_string, |row| row);
            (list.data, list.iterator, list.prev_iterator, list.done)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(listed("limit=2", vec![]), (vec![], None, None, true));
        assert_eq!(listed("limit=2", vec![1, 2]), (vec![1, 2], some("2"), some("-1"), true));
        assert_eq!(listed("limit=2", vec![1, 2, 3]), (vec![1, 2], some("2"), some("-1"), false));
        let back = listed("limit=2&iterator=-9", vec![6, 7, 8]);
        assert_eq!(back, (vec![7, 8], some("8"), some("-7"), false));
    }

    #[test]
    fn what_is_no_part_of_a_list_is_refused() {
        for query in ["limit=0", "limit=251", "limit=x", "iterator=x", "iterator=-x", "order=up"] {
            assert!(part(query).is_err(), "{query}");
        }
        assert!(part("limit=250&iterator=-7&order=descending&unknown=1").is_ok());
    }
}
