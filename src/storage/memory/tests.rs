//! What this back end adds to the ports' promises: faults where they are asked for, and a state that
//! outlives its router. The promises themselves are held by the conformance suite.

use std::sync::Mutex;

use bytes::Bytes;

use super::faults::NoFaults;
use super::*;
use crate::domain::application::Application;
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::storage::catalogue::Catalogue as _;
use crate::storage::inbox::{Content, Inbox as _, Publication, Publish as _, Published};

const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
const BROKER: Shape = Shape::Broker { prefetch: 10, hop_max: Duration::from_mins(1) };

/// One fault, for the next call of its kind at its moment.
#[derive(Default)]
struct Once(Mutex<Option<(Call, Moment, Fault)>>);

impl Once {
    fn set(&self, call: Call, moment: Moment, fault: Fault) {
        *self.0.lock().expect("no panic while held") = Some((call, moment, fault));
    }
}

impl Faults for Once {
    fn at(&self, call: Call, moment: Moment) -> Fault {
        let mut set = self.0.lock().expect("no panic while held");
        match *set {
            Some((which, when, fault)) if (which, when) == (call, moment) => {
                *set = None;
                fault
            }
            Some(_) | None => Fault::None,
        }
    }
}

async fn memory(shape: Shape, faults: Arc<dyn Faults>) -> Memory {
    let memory = Memory::new(shape, Arc::new(|| START), faults);
    let application = Application {
        id: ApplicationId::derived(&[b"acme"]),
        organisation: OrganisationId::DEFAULT,
        uid: Some("acme".into()),
        name: "Acme".into(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: START,
        updated_at: START,
    };
    memory.add_application(&application).await.expect("added");
    memory
}

fn event(name: &str) -> Publication {
    Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        payload: Bytes::from_static(b"{}"),
        ..Publication::default()
    }
}

#[tokio::test]
async fn a_call_that_fails_behind_its_effect_has_had_it() {
    let faults = Arc::new(Once::default());
    let memory = memory(Shape::OneStore, faults.clone()).await;

    faults.set(Call::Publish, Moment::Before, Fault::Away);
    assert!(memory.publish(&[event("one")]).await.is_err());
    assert_eq!(memory.backlog().events, 0);

    faults.set(Call::Publish, Moment::After, Fault::Away);
    assert!(memory.publish(&[event("one")]).await.is_err());
    assert_eq!(memory.backlog().events, 1);
    assert_eq!(memory.publish(&[event("one")]).await, Ok(vec![Published::Taken]));
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_late_or_never_end() {
    let faults = Arc::new(Once::default());
    let memory = memory(BROKER, faults.clone()).await;
    let begun = tokio::time::Instant::now();

    faults.set(Call::Publish, Moment::Before, Fault::Late(Duration::from_secs(3)));
    memory.publish(&[event("one")]).await.expect("late, and published");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));

    faults.set(Call::Publish, Moment::After, Fault::Hang);
    let published = [event("two")];
    let hanging = tokio::time::timeout(Duration::from_hours(1), memory.publish(&published));
    assert!(hanging.await.is_err());
    assert_eq!(memory.backlog().events, 2, "it hangs behind its effect");
}

#[tokio::test]
async fn what_a_broker_handed_out_comes_again_until_its_receipt_is_given_back() {
    let memory = memory(BROKER, Arc::new(NoFaults)).await;
    memory.publish(&[event("one")]).await.expect("published");

    let mut inbox = memory.inbox().await.expect("opened");
    let first = inbox.next().await.expect("an arrival");
    assert!(!first.redelivered && inbox.ready().is_none());

    let mut inbox = memory.inbox().await.expect("opened again, as by another process");
    let again = inbox.next().await.expect("it comes again");
    assert!(again.redelivered && matches!(again.content, Content::Event(_)));
    first.receipt.give_back();
    assert_eq!(memory.backlog().events, 1, "a receipt of a lost connection means nothing");
    again.receipt.give_back();
    assert_eq!(memory.backlog().events, 0);
}
