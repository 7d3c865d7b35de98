//! Requests between their leave and their first breath.
//!
//! A request is let go by the table of a moment, and begins a little later in a task of its own. Who edits
//! the catalogue has to know when none is left that was let go by the table before.

use std::sync::{Arc, Mutex, Weak};

use tokio::sync::oneshot;

/// Requests that were let go and have not begun: each holds a clone, and who waits for them is told when
/// the last is dropped, and the last of those that were let go before.
#[derive(Debug, Clone, Default)]
pub(super) struct Starting(Arc<Begun>);

#[derive(Debug, Default)]
struct Begun {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    /// Those before, should some of them not have begun.
    earlier: Weak<Begun>,
}

impl Starting {
    /// Tells this one when all of them have begun. Those that are let go from now on are others.
    pub(super) fn tell_when_begun(&mut self, heard: oneshot::Sender<()>) {
        let earlier = Arc::downgrade(&self.0);
        let later = Begun { waiting: Mutex::default(), earlier };
        let so_far = std::mem::replace(&mut self.0, Arc::new(later));
        so_far.wait(vec![heard]);
    }
}

impl Begun {
    fn wait(&self, waiting: Vec<oneshot::Sender<()>>) {
        self.waiting.lock().expect("nobody panics with it").extend(waiting);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("nobody panics with it"));
        match self.earlier.upgrade() {
            Some(earlier) => earlier.wait(waiting),
            None => waiting.into_iter().for_each(|one| {
                let _nobody_waits = one.send(());
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_is_told_when_the_last_that_was_let_go_has_begun() {
        let mut starting = Starting::default();
        let let_go = [starting.clone(), starting.clone()];
        let (tell, mut told) = oneshot::channel();

        starting.tell_when_begun(tell);
        let let_go_later = starting.clone();

        let [one, other] = let_go;
        drop(one);
        assert!(told.try_recv().is_err(), "one has not begun");
        drop(other);
        assert_eq!(told.try_recv(), Ok(()), "whatever is let go by what is known now");
        drop(let_go_later);
    }

    #[test]
    fn who_asks_second_waits_for_those_that_were_let_go_before_the_first() {
        let mut starting = Starting::default();
        let let_go = starting.clone();
        let (first, mut first_told) = oneshot::channel();
        let (second, mut second_told) = oneshot::channel();

        starting.tell_when_begun(first);
        starting.tell_when_begun(second);

        assert!(first_told.try_recv().is_err() && second_told.try_recv().is_err());
        drop(let_go);
        assert_eq!((first_told.try_recv(), second_told.try_recv()), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn who_asks_when_nothing_was_let_go_is_told_at_once() {
        let (tell, mut told) = oneshot::channel();
        Starting::default().tell_when_begun(tell);
        assert_eq!(told.try_recv(), Ok(()));
    }
}
