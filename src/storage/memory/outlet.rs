//! The outlet's port: keeps what it is told. Dead letters are wanted, as a broker's queue wants them.

use async_trait::async_trait;

use super::Memory;
use super::faults::Call;
use crate::storage::StorageError;
use crate::storage::outlet::{Notice, Outlet, Verdict};

#[async_trait]
impl Outlet for Memory {
    fn wants(&self, verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Dead(_))
    }

    async fn tell(&self, notices: &[Notice]) -> Result<(), StorageError> {
        self.call(Call::Tell, |store| {
            store.told.extend_from_slice(notices);
            Ok(())
        })
        .await
    }
}
