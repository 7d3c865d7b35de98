//! What a tenant who was let in may do: the grain in which a platform hands out rights over an application.
//!
//! The words are those that client libraries of webhook services know. Each stands for operations that people
//! would grant together; everything that can be asked needs exactly one of them, and who has none of them may
//! do nothing. Reading is a right as well: one who may only send tests again sees no deliveries.

use serde::{Deserialize, Serialize};

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Looks at everything but secrets.
    ViewBase,
    /// Is shown the keys that requests are signed with, and what requests carry that may be a credential.
    ViewEndpointSecret,
    /// Gives endpoints other keys.
    ManageEndpointSecret,
    /// Known to client libraries. There are no transformations here: it allows nothing.
    ManageTransformations,
    /// Has requests made: tests, examples, deliveries tried again, replays.
    CreateAttempts,
    /// Makes, changes and deletes endpoints and the application's settings.
    ManageEndpoint,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ViewBase => "ViewBase",
            Self::ViewEndpointSecret => "ViewEndpointSecret",
            Self::ManageEndpointSecret => "ManageEndpointSecret",
            Self::ManageTransformations => "ManageTransformations",
            Self::CreateAttempts => "CreateAttempts",
            Self::ManageEndpoint => "ManageEndpoint",
        }
    }

    /// The one of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Its place in a set.
    const fn bit(self) -> u8 {
        match self {
            Self::ViewBase => 1,
            Self::ViewEndpointSecret => 2,
            Self::ManageEndpointSecret => 4,
            Self::ManageTransformations => 8,
            Self::CreateAttempts => 16,
            Self::ManageEndpoint => 32,
        }
    }
}

/// Some rights, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// All there are.
    pub const ALL: Self = Self(63);
    /// Looking alone.
    pub const VIEW: Self = Self(1);

    /// Whether this one is among them.
    pub const fn has(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// Those that both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of them, in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |one| self.has(*one))
    }

    /// As a number, for a store.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those of this number; what it has beyond them is nothing.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(these: I) -> Self {
        Self(these.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let some: Capabilities =
            [Capability::ViewBase, Capability::CreateAttempts].into_iter().collect();
        for one in Capability::ALL {
            let expected = matches!(one, Capability::ViewBase | Capability::CreateAttempts);
            assert_eq!(some.has(one), expected, "{}", one.as_str());
            assert!(Capabilities::ALL.has(one));
            assert!(!Capabilities::default().has(one));
            assert_eq!(Capability::named(one.as_str()), Some(one));
        }
        assert_eq!(some.and(Capabilities::VIEW), Capabilities::VIEW);
        assert_eq!(Capabilities::from_bits(some.bits()), some);
        assert_eq!(Capabilities::from_bits(255), Capabilities::ALL);
        assert_eq!(Capability::ALL.into_iter().collect::<Capabilities>(), Capabilities::ALL);
    }
}
