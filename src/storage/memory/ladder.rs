//! The ladder's port: rows of the journal, or messages of the broker.

use async_trait::async_trait;

use super::faults::Call;
use super::rows::Rows;
use super::{Memory, Shape};
use crate::domain::delivery::{DeliveryState, Holder, Standing};
use crate::storage::StorageError;
use crate::storage::ladder::{Ladder, Waiting};

#[async_trait]
impl Ladder for Memory {
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError> {
        let (shape, now) = (self.shape(), self.now());
        let postponed = self
            .call(Call::Postpone, |store| {
                for waiting in batch {
                    match shape {
                        Shape::OneStore => put_back(&mut store.rows, waiting),
                        Shape::Broker { hop_max, .. } => {
                            store.broker.postpone(waiting, now, hop_max);
                        }
                    }
                }
                Ok(())
            })
            .await;
        self.ring();
        postponed
    }

    fn is_the_journal(&self) -> bool {
        self.shape() == Shape::OneStore
    }
}

/// Not what the journal holds: it was recalled or claimed at this turn, and goes on from there. A row
/// at another turn has been settled by another copy, which carries it on.
fn put_back(rows: &mut Rows, Waiting { delivery, due }: &Waiting) {
    let Some(place) = rows.place(delivery.key()) else { return };
    if let Some(standing) = rows.standing(place)
        && standing.turn == delivery.turn
        && let DeliveryState::Waiting { held_by: Holder::Router | Holder::Ladder, .. } =
            standing.state
    {
        let state = DeliveryState::Waiting { due_at: due.at, held_by: Holder::Ladder };
        rows.put(place, Standing { state, ..standing });
    }
}
