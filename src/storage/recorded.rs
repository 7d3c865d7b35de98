//! Publishing on a broker with the record beside it: an event that is confirmed is found by its id at once,
//! and an event id that was used is told as such.
//!
//! A broker takes whatever it is given and cannot look anything up. So the record is asked first, then the
//! broker is given what is new, and what it has confirmed is recorded ahead of its acceptance: the event with
//! a note that it is not routed yet, as events have that are published into the file. Accepting it, when the
//! broker brings it, takes the note away.
//!
//! Two requests that publish the same name at the same time take turns, so that the second finds what the
//! first has recorded.
//!
//! **What if we die right here?** Before the confirm nobody was told anything, and the request is repeated.
//! Between the confirm and the record the broker has the event and will bring it: accepting it makes the row.
//! A repetition that comes before that is published once more and recognised when it is accepted; one with an
//! event id that comes behind it is told of a conflict, for the event is there and its key is not known.
//!
//! Nothing under a broker takes events by their notes. So the note of an event that the broker loses
//! after its confirm (a queue that was purged) stays, and keeps the event from being removed for its age: a
//! router that is started without the broker takes it from there.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Notify;
use tracing::debug;

use super::StorageError;
use super::inbox::{Publication, Publish, Published, Record};
use crate::failpoint;

/// A broker with the record beside it.
pub struct Recorded {
    broker: Arc<dyn Publish>,
    record: Arc<dyn Record>,
    under_way: UnderWay,
}

impl Recorded {
    /// Publishes on `broker`, and keeps `record` beside it.
    pub fn new(broker: Arc<dyn Publish>, record: Arc<dyn Record>) -> Self {
        Self { broker, record, under_way: UnderWay::default() }
    }

    async fn publish_as(
        &self,
        batch: &[Publication],
        whole: bool,
    ) -> Result<Vec<Published>, StorageError> {
        let _turn = self.under_way.turn(batch).await;
        let answers = self.record.foresee(batch).await?;
        if whole && answers.contains(&Published::Taken) {
            return Ok(answers);
        }
        let judged = batch.iter().zip(&answers);
        let new: Vec<_> = judged
            .filter(|(_, answer)| **answer == Published::Now)
            .map(|(event, _)| event.clone())
            .collect();
        if new.is_empty() {
            return Ok(answers);
        }
        self.broker.publish(&new).await?;
        failpoint!("publish.confirmed");
        // No error of the request: the broker has what it asked for and will bring it, and "it failed" would
        // have it sent again. All that is missed is that it is found before it is accepted.
        if let Err(error) = self.record.announce(&new).await {
            debug!(%error, events = new.len(), "confirmed events are found when they are accepted");
        }
        Ok(answers)
    }
}

#[async_trait]
impl Publish for Recorded {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.publish_as(batch, false).await
    }

    async fn publish_whole(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.publish_as(batch, true).await
    }
}

/// What an event is called: its application, and its name there.
type Name = (String, String);

/// The names that are being published. As many as requests at once have events: the caller's bound.
#[derive(Default)]
struct UnderWay {
    names: Mutex<HashSet<Name>>,
    ended: Notify,
}

/// A request's turn for its names, until this is dropped.
struct Turn<'a> {
    under_way: &'a UnderWay,
    names: Vec<Name>,
}

impl UnderWay {
    /// Waits until none of these names is being published by another. All are taken at once, so that no two
    /// wait for each other; the wait ends with the requests in front, each of which has its bound. Cancel
    /// safe.
    async fn turn(&self, batch: &[Publication]) -> Turn<'_> {
        let name = |event: &Publication| (event.application.clone(), event.event_id.clone());
        let names: Vec<_> = batch.iter().map(name).collect();
        loop {
            let ended = self.ended.notified(); // made before the look: no end in between is missed
            if self.take(&names) {
                return Turn { under_way: self, names };
            }
            ended.await;
        }
    }

    fn take(&self, names: &[Name]) -> bool {
        let mut taken = self.names();
        if names.iter().any(|name| taken.contains(name)) {
            return false;
        }
        taken.extend(names.iter().cloned());
        true
    }

    fn names(&self) -> MutexGuard<'_, HashSet<Name>> {
        self.names.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.under_way.names();
        for name in &self.names {
            taken.remove(name);
        }
        drop(taken);
        self.under_way.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// A broker that confirms when it is let, and a record that may be away.
    struct Desk {
        let_go: Semaphore,
        sent: Mutex<Vec<String>>,
        known: Mutex<HashSet<String>>,
        away: bool,
    }

    impl Desk {
        fn new(away: bool) -> Arc<Self> {
            let known = Mutex::new(HashSet::from(["known".to_owned()]));
            Arc::new(Self { let_go: Semaphore::new(0), sent: Mutex::default(), known, away })
        }

        fn sent(&self) -> Vec<String> {
            self.sent.lock().expect("no panic").clone()
        }
    }

    #[async_trait]
    impl Publish for Desk {
        async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
            let names = batch.iter().map(|event| event.event_id.clone());
            self.sent.lock().expect("no panic").extend(names);
            self.let_go.acquire().await.expect("never closed").forget();
            Ok(vec![Published::Now; batch.len()])
        }
    }

    #[async_trait]
    impl Record for Desk {
        async fn foresee(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
            let known = self.known.lock().expect("no panic");
            let foreseen = |event: &Publication| {
                if known.contains(&event.event_id) { Published::Taken } else { Published::Now }
            };
            Ok(batch.iter().map(foreseen).collect())
        }

        async fn announce(&self, batch: &[Publication]) -> Result<(), StorageError> {
            if self.away {
                return Err(StorageError::Unavailable("away".into()));
            }
            let names = batch.iter().map(|event| event.event_id.clone());
            self.known.lock().expect("no panic").extend(names);
            Ok(())
        }
    }

    fn batch(names: &[&str]) -> Vec<Publication> {
        let publication = |name: &&str| Publication {
            application: "acme".into(),
            event_id: (*name).to_owned(),
            ..Publication::default()
        };
        names.iter().map(publication).collect()
    }

    #[tokio::test]
    async fn what_is_on_record_is_told_and_not_published_again() {
        let desk = Desk::new(false);
        let recorded = Recorded::new(desk.clone(), desk.clone());
        desk.let_go.add_permits(9);

        let answers = recorded.publish(&batch(&["known", "new"])).await.expect("answered");
        assert_eq!(answers, [Published::Taken, Published::Now]);
        assert_eq!(desk.sent(), ["new"]);

        let answers = recorded.publish_whole(&batch(&["known", "newer"])).await.expect("answered");
        assert_eq!(answers, [Published::Taken, Published::Now]);
        assert_eq!(desk.sent(), ["new"], "a batch goes whole or not at all");

        let answers = recorded.publish_whole(&batch(&["new"])).await.expect("answered");
        assert_eq!(answers, [Published::Taken], "what was confirmed is on record");
    }

    #[tokio::test]
    async fn a_record_that_is_away_behind_the_confirm_is_no_error() {
        let desk = Desk::new(true);
        let recorded = Recorded::new(desk.clone(), desk.clone());
        desk.let_go.add_permits(1);

        let answers = recorded.publish(&batch(&["new"])).await;

        assert_eq!(answers, Ok(vec![Published::Now]));
    }

    #[tokio::test]
    async fn two_that_publish_one_name_at_the_same_time_are_one_event_and_one_conflict() {
        let desk = Desk::new(false);
        let recorded = Recorded::new(desk.clone(), desk.clone());
        let (first, second, other) = (batch(&["a", "b"]), batch(&["b", "c"]), batch(&["d"]));
        let publishing = async {
            tokio::join!(
                recorded.publish_whole(&first),
                recorded.publish_whole(&second),
                recorded.publish_whole(&other),
            )
        };
        let letting_go = async {
            while desk.sent().len() < 3 {
                tokio::task::yield_now().await; // until all that may begin has begun
            }
            assert_eq!(desk.sent(), ["a", "b", "d"], "the second waits, and nobody else");
            desk.let_go.add_permits(9);
        };

        let ((first, second, other), ()) = tokio::join!(publishing, letting_go);

        assert_eq!(first, Ok(vec![Published::Now, Published::Now]));
        assert_eq!(second, Ok(vec![Published::Taken, Published::Now]));
        assert_eq!(other, Ok(vec![Published::Now]));
        assert_eq!(desk.sent(), ["a", "b", "d"], "nothing of the second was published");
    }
}
