//! Names for things: a prefix that says what it is, and 27 characters that say which one.
//!
//! The form is that of a KSUID (20 bytes in base 62), the one that webhook client libraries know:
//! `msg_2YZ…`. Ids that we mint begin with the second of their making, so they sort by time. Ids
//! that are *derived* (a delivery's from its event and endpoint, an event's from what its producer
//! called it) are a hash: computing them twice gives the same id, which is what makes a redelivered
//! message recognisable without asking a store.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::time::Timestamp;

/// Bytes in an id.
const SIZE: usize = 20;
/// Characters of an id behind its prefix: the least that hold 160 bits in base 62.
const DIGITS: usize = 27;
/// Where KSUID seconds begin: 2014-05-13T16:53:20Z.
const EPOCH_SECONDS: i64 = 1_400_000_000;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The text was not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of this kind: `{prefix}` and 27 letters or digits are wanted")]
pub struct NotAnId {
    text: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; SIZE]);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// An id for something made at `now`, told from others by `chance`.
            pub fn minted(now: Timestamp, chance: [u8; 15]) -> Self {
                Self(mint(now, chance))
            }

            /// The id that these parts always give, in this order.
            pub fn derived(parts: &[&[u8]]) -> Self {
                Self(derive(parts))
            }

            /// The id of these bytes, as [`as_bytes`](Self::as_bytes) gave them to a store.
            pub const fn from_bytes(bytes: [u8; SIZE]) -> Self {
                Self(bytes)
            }

            /// The 20 bytes behind the text.
            pub const fn as_bytes(&self) -> &[u8; SIZE] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                let digits = encode(self.0);
                f.write_str(std::str::from_utf8(&digits).expect("base 62 is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| NotAnId { text: text.into(), prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// Who owns applications and a catalogue of event types.
    OrganisationId, "org_"
);
id!(
    /// A tenant.
    ApplicationId, "app_"
);
id!(
    /// One life of a router.
    RouterId, "rtr_"
);

impl OrganisationId {
    /// `org_23rb8YdGqMT0qIzpgGwdXfHirMu`: the one that is meant when none is named, by the command line
    /// and by uids in routing keys. Client libraries' own tools have tokens for it.
    pub const DEFAULT: Self = Self([
        0x0e, 0x74, 0x2e, 0x11, 0xcc, 0xb0, 0x9c, 0x5d, 0x83, 0x31, 0x8e, 0xb6, 0xa8, 0x7f, 0xb7,
        0xb6, 0x7d, 0x1d, 0xda, 0xb0,
    ]);
}
id!(
    /// A URL that wants some event types.
    EndpointId, "ep_"
);
id!(
    /// One published fact; the value of `webhook-id` in every request about it.
    EventId, "msg_"
);
id!(
    /// One event owed to one endpoint.
    DeliveryId, "dlv_"
);
id!(
    /// One HTTP request for a delivery.
    AttemptId, "atmpt_"
);
id!(
    /// A request that came to a target for development.
    InspectedId, "insp_"
);
id!(
    /// Deliveries that are offered again, by a filter and at a rate.
    ReplayId, "rpl_"
);
id!(
    /// A message that is no event, or that nobody took: derived from what it is.
    HeldId, "held_"
);

fn mint(now: Timestamp, chance: [u8; 15]) -> [u8; SIZE] {
    let seconds = u32::try_from((now.as_seconds() - EPOCH_SECONDS).max(0)).unwrap_or(u32::MAX);
    let within = u8::try_from((now.as_millis().rem_euclid(1_000)) >> 2).expect("below 250");
    let mut bytes = [0; SIZE];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4] = within;
    bytes[5..].copy_from_slice(&chance);
    bytes
}

pub(super) fn derive(parts: &[&[u8]]) -> [u8; SIZE] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length first: ("ab", "c") and ("a", "bc") are different things.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; SIZE];
    bytes.copy_from_slice(&hash.finalize()[..SIZE]);
    bytes
}

fn encode(bytes: [u8; SIZE]) -> [u8; DIGITS] {
    let mut limbs = [0_u32; SIZE / 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(4)) {
        *limb = u32::from_be_bytes(chunk.try_into().expect("chunks of four"));
    }
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let value = (remainder << 32) | u64::from(*limb);
            *limb = u32::try_from(value / 62).expect("a quotient of a smaller limb fits");
            remainder = value % 62;
        }
        *digit = ALPHABET[usize::try_from(remainder).expect("below 62")];
    }
    digits
}

fn decode(text: &str) -> Option<[u8; SIZE]> {
    if text.len() != DIGITS {
        return None;
    }
    let mut limbs = [0_u32; SIZE / 4];
    for character in text.bytes() {
        let mut carry = match character {
            b'0'..=b'9' => u64::from(character - b'0'),
            b'A'..=b'Z' => u64::from(character - b'A') + 10,
            b'a'..=b'z' => u64::from(character - b'a') + 36,
            _ => return None,
        };
        for limb in limbs.iter_mut().rev() {
            let value = u64::from(*limb) * 62 + carry;
            *limb = u32::try_from(value & 0xffff_ffff).expect("masked to 32 bits");
            carry = value >> 32;
        }
        if carry != 0 {
            return None; // 27 digits can say more than 160 bits: those texts name nothing
        }
    }
    let mut bytes = [0; SIZE];
    for (chunk, limb) in bytes.chunks_exact_mut(4).zip(limbs) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_it_was_written(bytes: [u8; SIZE]) {
            let id = EventId(bytes);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        }

        #[test]
        fn ids_sort_as_their_text_does(one: [u8; SIZE], other: [u8; SIZE]) {
            let texts = EventId(one).to_string().cmp(&EventId(other).to_string());
            prop_assert_eq!(EventId(one).cmp(&EventId(other)), texts);
        }
    }

    #[test]
    fn the_form_is_that_of_a_ksuid() {
        // The example in the KSUID README: the same 20 bytes, the same text.
        let bytes = [
            0x06, 0x69, 0xf7, 0xef, 0xb5, 0xa1, 0xcd, 0x34, 0xb5, 0xf9, 0x9d, 0x11, 0x54, 0xfb,
            0x68, 0x53, 0x34, 0x5c, 0x97, 0x35,
        ];
        assert_eq!(EventId(bytes).to_string(), "msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    }

    #[test]
    fn the_default_organisation_is_the_one_that_tools_know() {
        assert_eq!(OrganisationId::DEFAULT.to_string(), "org_23rb8YdGqMT0qIzpgGwdXfHirMu");
    }

    #[test]
    fn a_later_id_sorts_behind_an_earlier_one() {
        let earlier = EventId::minted(Timestamp::from_seconds(1_790_000_000), [255; 15]);
        let later = EventId::minted(Timestamp::from_seconds(1_790_000_001), [0; 15]);
        assert!(earlier < later);
    }

    #[test]
    fn where_one_part_ends_matters() {
        assert_ne!(EventId::derived(&[b"ab", b"c"]), EventId::derived(&[b"a", b"bc"]));
    }

    #[test]
    fn another_kind_or_shape_of_text_is_refused() {
        for text in ["ep_0ujtsYcgvSTl8PAuAdqWYSMnLOv", "msg_", "msg_zzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
