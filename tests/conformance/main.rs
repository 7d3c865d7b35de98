//! One suite for every back end of the ports: what is promised by inbox, ladder, journal, ledger and
//! publishing, as sentences, each held against each back end.
//!
//! - `promises`: the sentences, in rooms; a promise is a function that returns a [`Breach`] instead of
//!   panicking.
//! - `subjects`: the back ends, each a [`House`](house::House) that can be killed and be out of reach.
//! - `broken`: back ends that break a promise on purpose, and the promise that has to notice.
//! - `bench`: what promises are written with.
//!
//! In real time, with short waits: stores and brokers have clocks of their own. A wait is never early
//! to the millisecond; how late it may be is the back end's [`Character`](house::Character).
//!
//! Left to others: what one back end promises alone (`tests/rabbitmq.rs`, the tests beside the code).

mod bench;
mod breach;
mod broken;
mod house;
mod promises;
mod subjects;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::time::Duration;

use bench::Bench;
use breach::{Breach, Kept};
use house::House;
use promises::{Promise, every_promise};

/// Longest that a promise may take: many times what the slowest does, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(4);

/// Holds a house to a promise. Whatever the promise is about, the books balance behind it.
async fn kept(promise: &Promise, house: Box<dyn House>) -> Kept {
    let keeping = async {
        let mut bench = Bench::of(house).await?;
        (promise.keep)(&mut bench).await?;
        bench.books_balance().await
    };
    let kept = tokio::time::timeout(DEADLINE, keeping).await;
    kept.unwrap_or_else(|_| Err(Breach(format!("not kept within {DEADLINE:?}"))))
}

/// The same, for a back end that is to keep it.
///
/// A broker may refuse a message that it could not write in time, and a busy machine makes it so now and then: then
/// everything is asked once more, of a house that is new.
async fn holds(sentence: &str, house: impl AsyncFn() -> Box<dyn House>) {
    let promise = Promise::of(sentence);
    for is_last in [false, true] {
        let house = house().await;
        let name = house.character().name;
        match kept(promise, house).await {
            Ok(()) => return,
            Err(breach) if !is_last && breach.is_a_brokers_refusal() => {}
            Err(breach) => {
                panic!("{name} breaks a promise, {}: {breach}", sentence.replace('_', " "));
            }
        }
    }
}

/// A test for every promise, with a back end's name before the sentence.
macro_rules! tests {
    ([$subject:ident: $house:path] $($room:ident::$sentence:ident,)+) => {
        mod $subject {
            $(
                #[tokio::test]
                async fn $sentence() {
                    super::holds(stringify!($sentence), $house).await;
                }
            )+
        }
    };
}

every_promise!(tests [memory: crate::subjects::memory::one_store]);
every_promise!(tests [memory_broker: crate::subjects::memory::broker]);
every_promise!(tests [sqlite: crate::subjects::sqlite::house]);
every_promise!(tests [postgres: crate::subjects::postgres::house]);
every_promise!(tests [rabbitmq: crate::subjects::rabbitmq::house]);
