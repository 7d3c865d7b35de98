//! What goes wrong with the stores, and when: outages, storms in which calls fail, lose their answers
//! or are late, and a death at a call of its choice.

use std::time::Duration;

use posthaste::domain::time::Timestamp;
use posthaste::storage::memory::faults::{Call, Fault, Moment};

use super::chance::Chance;
use super::clock::START;

/// Longest that a call is late.
const LATE_MOST_MS: u64 = 4_000;

/// The plan.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    outages: Vec<Outage>,
    storms: Vec<(Timestamp, Timestamp)>,
    /// After how many calls each life dies, the first life first; the rest live.
    deaths: Vec<u64>,
}

/// Some calls fail for a while, without effect.
#[derive(Debug)]
struct Outage {
    from: Timestamp,
    until: Timestamp,
    of: &'static [Call],
}

const JOURNAL: &[Call] =
    &[Call::Accept, Call::Standings, Call::Record, Call::HandedOn, Call::Claim, Call::Books];
const BROKER: &[Call] = &[Call::Look, Call::Open, Call::Postpone, Call::Tell, Call::Quarantine];
const CATALOGUE: &[Call] = &[Call::Version, Call::Snapshot];

impl Trouble {
    /// The plan of a run of so many minutes; none, for a calm one.
    pub(crate) fn draw(calm: bool, minutes: u64, chance: &mut Chance) -> Self {
        let mut drawn = Self::default();
        if calm {
            return drawn;
        }
        let length = minutes * 60_000;
        for _ in 0..chance.between(0..=2) {
            let from = START + chance.ms(0..=length);
            let until = from + chance.ms(100..=40_000);
            drawn.outages.push(Outage {
                from,
                until,
                of: chance.pick(&[JOURNAL, BROKER, CATALOGUE, Call::ALL]),
            });
        }
        for _ in 0..chance.between(0..=3) {
            let from = START + chance.ms(0..=length);
            drawn.storms.push((from, from + chance.ms(1_000..=30_000)));
        }
        for _ in 0..chance.between(0..=3) {
            drawn.deaths.push(chance.of_any_size(2_000));
        }
        drawn
    }

    /// Whether this life dies at its `count`th call that matters.
    pub(crate) fn kills(&self, life: usize, count: u64) -> bool {
        self.deaths.get(life) == Some(&count)
    }

    /// What happens to a call now.
    pub(crate) fn at(
        &self,
        call: Call,
        moment: Moment,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Fault {
        if call == Call::GiveBack {
            return Fault::None; // receipts are lost with their connection: see `Deed::DeskIsDeaf`
        }
        let inside = |from: Timestamp, until: Timestamp| from <= now && now < until;
        let away =
            self.outages.iter().any(|one| inside(one.from, one.until) && one.of.contains(&call));
        if away && moment == Moment::Before {
            return Fault::Away;
        }
        if !self.storms.iter().any(|(from, until)| inside(*from, *until)) {
            return Fault::None;
        }
        match chance.between(0..=15) {
            0 | 1 => Fault::Away,
            // Not behind a snapshot: the checks have to know when the router sees an edit.
            2 | 3 if call != Call::Snapshot || moment == Moment::Before => {
                Fault::Late(Duration::from_millis(chance.of_any_size(LATE_MOST_MS)))
            }
            _ => Fault::None,
        }
    }
}
