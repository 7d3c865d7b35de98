//! What a `PATCH` says of a field: nothing, that it is to be cleared, or what it is to be.

use serde::{Deserialize, Deserializer};

use crate::control::endpoints::Change;

/// For a field that may be cleared: `null` clears it.
pub(in super::super) fn change<'de, D, T>(from: D) -> Result<Change<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.map_or(Change::Clear, Change::Set))
}

/// For a field that always has a value: `null` is refused, as any other value of the wrong type.
pub(in super::super) fn given<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}
