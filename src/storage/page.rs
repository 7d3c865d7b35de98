//! A part of a list: where it begins, which way it goes, and how long it may be.
//!
//! Lists are walked by key and never by offset: each page costs the same, however far behind the
//! beginning it is, and what is added or removed meanwhile shifts nothing.

/// A part of a list whose rows are told apart and ordered by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<K> {
    /// Most rows.
    pub limit: usize,
    /// Where it begins, or ends.
    pub place: Place<K>,
    /// The order of the list.
    pub order: Order,
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<K> {
    /// At the beginning of the list.
    Beginning,
    /// At the end of the list: its last rows, still in the list's order.
    End,
    /// Right behind this row, which need not be there any more.
    Behind(K),
    /// Right in front of this row: the nearest ones, still in the list's order.
    InFrontOf(K),
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first: oldest, where keys are ids.
    Ascending,
    /// Largest key first: newest, where keys are ids.
    Descending,
}

impl<K> Page<K> {
    /// The whole list.
    pub const fn whole(order: Order) -> Self {
        Self { limit: usize::MAX, place: Place::Beginning, order }
    }

    /// Whether a store reads towards larger keys for this page, and has to turn round what it found.
    pub const fn reading(&self) -> (Order, bool) {
        match (&self.place, self.order) {
            (Place::Beginning | Place::Behind(_), order) => (order, false),
            (Place::InFrontOf(_) | Place::End, Order::Ascending) => (Order::Descending, true),
            (Place::InFrontOf(_) | Place::End, Order::Descending) => (Order::Ascending, true),
        }
    }

    /// The key that it lies beside.
    pub const fn beside(&self) -> Option<&K> {
        match &self.place {
            Place::Beginning | Place::End => None,
            Place::Behind(key) | Place::InFrontOf(key) => Some(key),
        }
    }

    /// From which side of the list it is read, where the row that it lies beside is said otherwise.
    pub const fn side<L>(&self) -> Place<L> {
        match &self.place {
            Place::Beginning | Place::Behind(_) => Place::Beginning,
            Place::End | Place::InFrontOf(_) => Place::End,
        }
    }

    /// The same page, with the row that it lies beside named by another key.
    ///
    /// # Errors
    /// What `name` answers.
    pub fn named_by<L, E>(&self, name: impl FnOnce(&K) -> Result<L, E>) -> Result<Page<L>, E> {
        let place = match &self.place {
            Place::Beginning => Place::Beginning,
            Place::End => Place::End,
            Place::Behind(key) => Place::Behind(name(key)?),
            Place::InFrontOf(key) => Place::InFrontOf(name(key)?),
        };
        Ok(Page { limit: self.limit, place, order: self.order })
    }
}

/// What a page of a list that may be long and seldom match came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T, K> {
    /// Its rows, in the list's order: at most as many as were asked for.
    pub rows: Vec<T>,
    /// From where the list goes on, in the direction in which this page was read (towards its beginning
    /// for [`Place::InFrontOf`] and [`Place::End`], else towards its end): right beyond this row, which is
    /// the last one of the page, or one that was looked at and did not match. `None`: there is nothing
    /// beyond.
    ///
    /// A page that has looked at many rows and found few is short, or empty, and says here how to go on.
    pub beyond: Option<K>,
}

impl<T, K> Listed<T, K> {
    /// Nothing, and nothing beyond it.
    pub const fn nothing() -> Self {
        Self { rows: Vec::new(), beyond: None }
    }
}

impl<K: Ord> Page<K> {
    /// The page of rows that are all in memory, in any order.
    pub fn cut<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
        let (reading, turned) = self.reading();
        rows.sort_by_key(|row| key(row));
        if reading == Order::Descending {
            rows.reverse();
        }
        if let Some(beside) = self.beside() {
            rows.retain(|row| match reading {
                Order::Ascending => key(row) > *beside,
                Order::Descending => key(row) < *beside,
            });
        }
        rows.truncate(self.limit);
        if turned {
            rows.reverse();
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_walked_to_its_end_and_back() {
        use Order::{Ascending, Descending};
        let page = |order, place| {
            let page = Page { limit: 3, place, order };
            page.cut((1..=7).collect(), |number| *number)
        };
        let table = [
            (Ascending, Place::Beginning, vec![1, 2, 3]),
            (Ascending, Place::Behind(3), vec![4, 5, 6]),
            (Ascending, Place::Behind(6), vec![7]),
            (Ascending, Place::InFrontOf(7), vec![4, 5, 6]),
            (Ascending, Place::InFrontOf(1), vec![]),
            (Descending, Place::Beginning, vec![7, 6, 5]),
            (Descending, Place::Behind(5), vec![4, 3, 2]),
            (Descending, Place::InFrontOf(4), vec![7, 6, 5]),
            (Ascending, Place::End, vec![5, 6, 7]),
            (Descending, Place::End, vec![3, 2, 1]),
        ];
        for (order, place, expected) in table {
            assert_eq!(page(order, place.clone()), expected, "{order:?} {place:?}");
        }
        assert_eq!(Page::whole(Ascending).cut(vec![2, 1], |number| *number), [1, 2]);
    }
}
