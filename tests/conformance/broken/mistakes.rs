//! The mistakes that a back end can make, and the house of one that makes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::ports::{MistakenInbox, MistakenJournal, MistakenLadder, MistakenPublisher};
use crate::house::{Character, House, Ports};

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// None: the ports as they are.
    None,
    /// The receipt of what is handed out is given back there and then.
    GivesBackAtOnce,
    /// A publish is answered, and written when the next call comes.
    AnswersBeforeItPublishes,
    /// Of a batch that stands and falls as one, what is not taken is published.
    PublishesHalf,
    /// A settlement is answered, and written when the next call comes.
    AnswersBeforeItRecords,
    /// Half of each wait is enough.
    ReleasesEarly,
    /// Each wait is a second longer.
    ReleasesLate,
    /// What goes on the ladder is dropped, and answered as if it were there.
    LosesWhatWaits,
    /// A settlement of an old turn is answered as the first.
    ForgetsTheFence,
    /// Of two arrivals the second goes first.
    HandsOutInPairs,
    /// Each arrival comes a second time.
    HandsOutTwice,
    /// An arrival is taken, and answered a step later.
    LosesDroppedCalls,
    /// A batch of settlements is two transactions.
    RecordsInTwoSteps,
    /// A message for quarantine is answered as kept.
    KeepsNothingInQuarantine,
    /// A publish that could not be made is answered as made.
    SaysYesWhileAway,
    /// A claim lasts no time.
    ClaimsWithoutALease,
}

/// A house whose ports make a mistake.
pub(super) struct Mistaken {
    pub(super) house: Box<dyn House>,
    pub(super) mistake: Mistake,
}

#[async_trait(?Send)]
impl House for Mistaken {
    fn character(&self) -> Character {
        if self.mistake == Mistake::None {
            return self.house.character();
        }
        // What a mistake loses is waited for in vain: not for long. Late is well within that.
        let (late_by, patience) = (Duration::from_millis(500), Duration::from_secs(2));
        Character { late_by, patience, ..self.house.character() }
    }

    async fn open(&mut self) -> Ports {
        let mistake = self.mistake;
        let ports = self.house.open().await;
        let publisher = Arc::new(MistakenPublisher::of(ports.publisher, mistake));
        let inbox = MistakenInbox::of(ports.inbox, mistake, publisher.clone());
        Ports {
            catalogue: ports.catalogue,
            journal: Arc::new(MistakenJournal::of(ports.journal, mistake)),
            ledger: ports.ledger,
            ladder: Arc::new(MistakenLadder { sound: ports.ladder, mistake }),
            publisher,
            inbox: Box::new(inbox),
        }
    }

    async fn kill(&mut self, ports: Ports) {
        self.house.kill(ports).await;
    }

    async fn heard(&mut self) {
        self.house.heard().await;
    }

    async fn go_away(&mut self) {
        self.house.go_away().await;
    }

    async fn come_back(&mut self) {
        self.house.come_back().await;
    }

    async fn quarantined(&mut self) -> u64 {
        self.house.quarantined().await
    }
}
