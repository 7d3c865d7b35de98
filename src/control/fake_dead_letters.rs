//! Dead letters for the tests of `control`: every one that was buried, on one page.

use async_trait::async_trait;

use super::fake::Stores;
use crate::domain::id::DeliveryId;
use crate::storage::StorageError;
use crate::storage::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetters, Discarded,
    GroupPlace, Inspected,
};
use crate::storage::page::{Listed, Page};

type Stored<T> = Result<T, StorageError>;

#[async_trait]
impl DeadLetters for Stores {
    async fn dead_letters_of(
        &self,
        filter: &DeadLetterFilter,
        _: &Page<DeadLetterPlace>,
    ) -> Stored<Listed<DeadLetter, DeadLetterPlace>> {
        Ok(Listed { rows: self.buried(filter), beyond: None })
    }

    async fn dead_letter_groups(
        &self,
        _: &DeadLetterFilter,
        _: &Page<GroupPlace>,
    ) -> Stored<Listed<DeadLetterGroup, GroupPlace>> {
        Ok(Listed::nothing())
    }

    async fn inspect(
        &self,
        filter: &DeadLetterFilter,
        id: DeliveryId,
    ) -> Stored<Option<Inspected>> {
        let letter = self.buried(filter).into_iter().find(|one| one.id == id);
        Ok(letter.map(|letter| Inspected { letter, event: None, attempts: Vec::new() }))
    }

    async fn count_up_to(&self, filter: &DeadLetterFilter, _: u64) -> Stored<u64> {
        Ok(self.buried(filter).len() as u64)
    }

    async fn discard(&self, filter: &DeadLetterFilter, most: u64) -> Stored<Discarded> {
        let discarded = (self.buried(filter).len() as u64).min(most);
        self.note(format!("discarded {discarded}"));
        Ok(Discarded { discarded, done: true })
    }
}
