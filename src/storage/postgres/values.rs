//! Values on their way to PostgreSQL and back: what the shared SQL binds and reads is said in SQLite's five kinds, and
//! each is written as the type that the statement wants there.
//!
//! Integers are `bigint` in our tables, words `text`, ids and payloads `bytea`. What a query makes of them has other
//! types (a `count(*)`, a sum, whether something `EXISTS`): these are read as the numbers that SQLite would have said.
//!
//! A text that holds the character NUL cannot be kept by PostgreSQL. It is kept with `␀` (U+2400) in its place: what is
//! read by people says what was there, and an event is not refused over and over for one character of its subject.
//! Payloads are bytes, and are kept as they are.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::Value;

/// What stands for the character that a text of PostgreSQL cannot hold.
const NUL_SHOWN: &str = "\u{2400}";

/// A value for a place of a statement.
#[derive(Debug)]
pub(super) struct Bound<'v>(pub(super) &'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let unfit = |kind: &str| format!("{kind} cannot be bound where {ty} is wanted").into();
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) => match *ty {
                Type::INT8 => out.put_i64(*number),
                Type::INT4 => out.put_i32(i32::try_from(*number)?),
                Type::INT2 => out.put_i16(i16::try_from(*number)?),
                Type::BOOL => out.put_u8(u8::from(*number != 0)),
                #[expect(clippy::cast_precision_loss, reason = "as SQLite would read it")]
                Type::FLOAT8 => out.put_f64(*number as f64),
                Type::NUMERIC => put_numeric(*number, out),
                _ => return Err(unfit("an integer")),
            },
            Value::Real(number) => match *ty {
                Type::FLOAT8 => out.put_f64(*number),
                _ => return Err(unfit("a number with a fraction")),
            },
            Value::Text(text) => match *ty {
                Type::JSONB => {
                    out.put_u8(1); // the version of the form
                    out.put_slice(text.as_bytes());
                }
                Type::TEXT | Type::VARCHAR | Type::UNKNOWN | Type::NAME | Type::JSON => {
                    put_text(text, out);
                }
                _ => return Err(unfit("a text")),
            },
            Value::Blob(bytes) => match *ty {
                Type::BYTEA => out.put_slice(bytes),
                _ => return Err(unfit("bytes")),
            },
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true // what does not fit is told of by `to_sql`, with the type that was wanted
    }

    to_sql_checked!();
}

fn put_text(text: &str, out: &mut BytesMut) {
    for (index, part) in text.split('\0').enumerate() {
        if index > 0 {
            out.put_slice(NUL_SHOWN.as_bytes());
        }
        out.put_slice(part.as_bytes());
    }
}

/// PostgreSQL counts digits of a `numeric` in groups of four.
const NUMERIC_GROUP: u64 = 10_000;
/// The sign of a `numeric` below zero, on the wire.
const NUMERIC_NEGATIVE: u16 = 0x4000;

fn put_numeric(number: i64, out: &mut BytesMut) {
    let (mut rest, mut groups) = (number.unsigned_abs(), Vec::new());
    while rest > 0 {
        groups.push(i16::try_from(rest % NUMERIC_GROUP).expect("below ten thousand"));
        rest /= NUMERIC_GROUP;
    }
    let count = i16::try_from(groups.len()).expect("five groups at most");
    out.put_i16(count);
    out.put_i16((count - 1).max(0)); // the weight of the first group
    out.put_u16(if number < 0 { NUMERIC_NEGATIVE } else { 0 });
    out.put_i16(0); // no digits behind the point
    for group in groups.into_iter().rev() {
        out.put_i16(group);
    }
}

/// A value of a row.
#[derive(Debug)]
pub(super) struct Read(pub(super) Value);

impl<'a> FromSql<'a> for Read {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT8 => Value::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(ty, raw)?.into()),
            Type::OID => Value::Integer(u32::from_sql(ty, raw)?.into()),
            Type::BOOL => Value::Integer(bool::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(ty, raw)?.into()),
            Type::NUMERIC => numeric(raw)?,
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::JSONB => {
                Value::Text(std::str::from_utf8(raw.get(1..).unwrap_or(&[]))?.to_owned())
            }
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
                Value::Text(std::str::from_utf8(raw)?.to_owned())
            }
            _ => return Err(format!("a column of type {ty} is none that we read").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A `numeric`: whole where it is (a sum of integers), else with its fraction (an average).
fn numeric(raw: &[u8]) -> Result<Value, Box<dyn Error + Sync + Send>> {
    let words: Vec<i16> =
        raw.chunks_exact(2).map(|two| i16::from_be_bytes([two[0], two[1]])).collect();
    let [_, weight, sign, _, groups @ ..] = words.as_slice() else {
        return Err("a numeric that is none".into());
    };
    let is_negative = sign.cast_unsigned() == NUMERIC_NEGATIVE;
    if !is_negative && *sign != 0 {
        return Err("a numeric that is no number".into());
    }
    let group = |index: usize| groups.get(index).copied().unwrap_or(0);
    let whole = usize::try_from(i32::from(*weight) + 1).unwrap_or(0);
    let has_fraction = groups.iter().skip(whole).any(|group| *group != 0) || *weight < -1;
    if has_fraction {
        let base = f64::from(u32::try_from(NUMERIC_GROUP).expect("ten thousand"));
        let sum: f64 = groups
            .iter()
            .zip(0_i32..)
            .map(|(group, index)| f64::from(*group) * base.powi(i32::from(*weight) - index))
            .sum();
        return Ok(Value::Real(if is_negative { -sum } else { sum }));
    }
    let mut number: i128 = 0;
    for index in 0..whole {
        number = number * i128::from(NUMERIC_GROUP) + i128::from(group(index));
        if number > i128::from(i64::MAX) + 1 {
            return Err("a sum is larger than any of ours".into());
        }
    }
    Ok(Value::Integer(i64::try_from(if is_negative { -number } else { number })?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &Value, ty: &Type) -> Vec<u8> {
        let mut out = BytesMut::new();
        Bound(value).to_sql(ty, &mut out).expect("it fits");
        out.to_vec()
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written_whatever_its_column(number in any::<i64>()) {
            for ty in [Type::INT8, Type::NUMERIC] {
                let raw = written(&Value::Integer(number), &ty);
                let Read(read) = Read::from_sql(&ty, &raw).expect("read");
                prop_assert_eq!(&read, &Value::Integer(number));
            }
        }
    }

    #[test]
    fn an_average_keeps_its_fraction() {
        // 12.5: two groups, the first of weight 0.
        let raw: Vec<u8> =
            [2_i16, 0, 0, 1, 12, 5_000].iter().flat_map(|w| w.to_be_bytes()).collect();
        let Read(read) = Read::from_sql(&Type::NUMERIC, &raw).expect("read");
        assert_eq!(read, Value::Real(12.5));
    }

    #[test]
    fn a_text_with_nul_in_it_is_kept_with_a_sign_for_it() {
        let text = Value::Text("a\0b\0".to_owned());
        assert_eq!(written(&text, &Type::TEXT), "a␀b␀".as_bytes());
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_type_that_was_wanted() {
        let mut out = BytesMut::new();
        let bound = Bound(&Value::Text("x".into())).to_sql(&Type::INT8, &mut out);
        let said = bound.err().expect("it cannot be bound").to_string();
        assert_eq!(said, "a text cannot be bound where int8 is wanted");
    }
}
