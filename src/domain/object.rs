//! What is written as an object, and as nothing else.
//!
//! Left to itself serde reads a list as an object's fields in their order, and says of anything else that a
//! type of ours was expected. Nobody who writes a policy means the one, or knows the other.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Something that is written as an object.
pub trait AsObject {
    /// What is accepted: "an object …".
    const ACCEPTED: &'static str;
}

/// Reads it out of an object alone.
///
/// # Errors
/// Says what is accepted, if it is no object; else what is wrong within it.
pub fn read<'de, D: Deserializer<'de>, T: AsObject + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    from.deserialize_map(Fields(PhantomData))
}

/// The same, where null is none.
///
/// # Errors
/// As [`read`].
pub fn read_if_any<'de, D: Deserializer<'de>, T: AsObject + Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Read<T>>::deserialize(from)?.map(|Read(object)| object))
}

struct Read<T>(T);

impl<'de, T: AsObject + Deserialize<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: AsObject + Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::ACCEPTED)
    }

    fn visit_map<M: MapAccess<'de>>(self, fields: M) -> Result<T, M::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}
