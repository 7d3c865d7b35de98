//! The ends of a list's page: where its neighbours are, with the same filters.
//!
//! `after` and `before` in an address name the row that a page lies beside, so that what is added meanwhile shifts nothing.

use std::fmt::Display;
use std::str::FromStr;

use askama::Template;
use askama::filters::HtmlSafe;

use crate::console::form::Fields;
use crate::console::refusal::Refusal;
use crate::storage::page::{Listed, Order, Page, Place};

/// Rows on a page of a list: two screens, of which the longest stays under the weight that a page may have.
pub(in crate::console) const ROWS: usize = 50;

/// Fields of an address that say where a page lies, or what was done before it: no filters.
const PLACES: [&str; 3] = ["after", "before", "done"];

/// The page that an address asks for.
///
/// # Errors
/// When the row that it names cannot be one.
pub(in crate::console) fn asked_for<K: FromStr>(
    asked: &Fields,
    order: Order,
) -> Result<Page<K>, Refusal> {
    let key = |name: &str| {
        let key = asked.one(name).map(str::parse::<K>).transpose();
        key.map_err(|_| Refusal::Invalid(format!("`{name}` names no row of this list.")))
    };
    let place = match (key("after")?, key("before")?) {
        (Some(key), _) => Place::Behind(key),
        (None, Some(key)) => Place::InFrontOf(key),
        (None, None) => Place::Beginning,
    };
    Ok(Page { limit: ROWS, place, order })
}

/// The same page with a row more, for lists that do not say whether they go on.
pub(in crate::console) fn and_one_more<K: Clone>(page: &Page<K>) -> Page<K> {
    Page { limit: page.limit + 1, ..page.clone() }
}

/// What was read with a row more, as a page that says whether the list goes on.
pub(in crate::console) fn cut<T, K>(
    page: &Page<K>,
    mut rows: Vec<T>,
    key: impl Fn(&T) -> K,
) -> Listed<T, K> {
    if rows.len() <= page.limit {
        return Listed { rows, beyond: None };
    }
    let (_, backwards) = page.reading();
    let beyond = if backwards {
        rows.remove(0);
        rows.first().map(key)
    } else {
        rows.truncate(page.limit);
        rows.last().map(key)
    };
    Listed { rows, beyond }
}

/// Links to a page's neighbours.
#[derive(Template)]
#[template(path = "views/pager.html")]
pub(in crate::console) struct Pager {
    /// Texts behind a question mark, of our own making.
    back: Option<String>,
    on: Option<String>,
    words: (&'static str, &'static str),
}

impl HtmlSafe for Pager {}

impl Pager {
    /// Around this page of a list.
    pub(in crate::console) fn of<T, K: Display>(
        asked: &Fields,
        page: &Page<K>,
        listed: &Listed<T, K>,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let filters = asked.without(&PLACES);
        let (_, backwards) = page.reading();
        let beyond = listed.beyond.as_ref().map(ToString::to_string);
        // A part in which nothing was found lies beside the row that it was asked for by.
        let from = page.beside().map(ToString::to_string);
        let end = |row: Option<&T>| row.map(|row| key(row).to_string()).or(from.clone());
        let (before, after) = if backwards {
            (beyond, end(listed.rows.last()))
        } else {
            (from.as_ref().and_then(|_| end(listed.rows.first())), beyond)
        };
        Self {
            back: before.map(|key| filters.with("before", &key)),
            on: after.map(|key| filters.with("after", &key)),
            words: match page.order {
                Order::Descending => ("Newer", "Older"),
                Order::Ascending => ("Previous", "Next"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that these fields ask for, of the numbers 1 to 120, newest first: its ends and its links.
    fn page(query: &str) -> (Vec<u32>, Option<String>, Option<String>) {
        let asked = Fields::read(query.as_bytes());
        let page = asked_for::<u32>(&asked, Order::Descending).expect("a page");
        let rows = and_one_more(&page).cut((1..=120).collect(), |row| *row);
        let listed = cut(&page, rows, |row| *row);
        let pager = Pager::of(&asked, &page, &listed, |row| *row);
        let ends = [listed.rows.first(), listed.rows.last()];
        (ends.into_iter().flatten().copied().collect(), pager.back, pager.on)
    }

    #[test]
    fn a_list_is_walked_to_its_end_and_back_with_its_filters() {
        let link = |text: &str| Some(text.to_owned());
        assert_eq!(
            page("state=dead&done=saved"),
            (vec![120, 71], None, link("state=dead&after=71"))
        );
        assert_eq!(page("after=71"), (vec![70, 21], link("before=70"), link("after=21")));
        assert_eq!(page("after=21"), (vec![20, 1], link("before=20"), None));
        assert_eq!(page("before=20"), (vec![70, 21], link("before=70"), link("after=21")));
        assert_eq!(page("before=70"), (vec![120, 71], None, link("after=71")));
    }

    #[test]
    fn a_part_in_which_nothing_was_found_has_ways_on_and_back() {
        let ways = |query: &str, beyond: Option<u32>| {
            let asked = Fields::read(query.as_bytes());
            let page = asked_for::<u32>(&asked, Order::Descending).expect("a page");
            let nothing: Listed<u32, u32> = Listed { rows: Vec::new(), beyond };
            let pager = Pager::of(&asked, &page, &nothing, |row| *row);
            (pager.back, pager.on)
        };
        let link = |text: &str| Some(text.to_owned());
        assert_eq!(ways("", Some(71)), (None, link("after=71")));
        assert_eq!(ways("after=71", Some(21)), (link("before=71"), link("after=21")));
        assert_eq!(ways("after=21", None), (link("before=21"), None));
        assert_eq!(ways("before=21", Some(71)), (link("before=71"), link("after=21")));
    }

    #[test]
    fn what_names_no_row_is_refused() {
        let asked = Fields::read(b"after=soon");
        assert!(asked_for::<u32>(&asked, Order::Descending).is_err());
    }
}
