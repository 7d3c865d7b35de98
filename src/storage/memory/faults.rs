//! Where a test says what goes wrong, and when.
//!
//! Each call of a port asks twice: before its effect and behind it. A failure before it leaves nothing
//! done; behind it the effect is there and its answer is lost, which is the case that callers tend to
//! forget. A call that hangs is how a test dies at a step of its choice: it drops the engine then.

use std::fmt;
use std::time::Duration;

/// Decides what goes wrong.
pub trait Faults: Send + Sync {
    /// What happens to this call at this moment.
    fn at(&self, call: Call, moment: Moment) -> Fault;
}

/// Nothing ever goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _: Call, _: Moment) -> Fault {
        Fault::None
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call fails as `Unavailable`: without effect before it, with the answer lost behind it.
    Away,
    /// The call takes so much longer.
    Late(Duration),
    /// The call never ends.
    Hang,
}

/// When a call asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before its effect.
    Before,
    /// Behind its effect, before its answer.
    After,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// The calls that can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call {
            $($(#[$doc])* $name),+
        }

        impl Call {
            /// Every call.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }
        }
    };
}

calls! {
    /// `Journal::accept`.
    Accept = "journal.accept",
    /// `Journal::standings`.
    Standings = "journal.standings",
    /// `Journal::record`.
    Record = "journal.record",
    /// `Journal::handed_on`.
    HandedOn = "journal.handed_on",
    /// `Journal::escrow`.
    Escrow = "journal.escrow",
    /// `Journal::bring_forward`.
    BringForward = "journal.bring_forward",
    /// `Journal::claim`.
    Claim = "journal.claim",
    /// `Journal::books`.
    Books = "journal.books",
    /// Any call of `Ledger`.
    Ledger = "ledger",
    /// `Memory::inbox`.
    Open = "inbox.open",
    /// A look for arrivals, of `Inbox::next` and `Inbox::ready`.
    Look = "inbox.look",
    /// A receipt that is given back. It cannot wait: anything but `Fault::None` loses it.
    GiveBack = "inbox.give_back",
    /// `Original::quarantine`.
    Quarantine = "inbox.quarantine",
    /// `Publish::publish`.
    Publish = "publish",
    /// `Ladder::postpone`.
    Postpone = "ladder.postpone",
    /// `Outlet::tell`.
    Tell = "outlet.tell",
    /// `Catalogue::version`.
    Version = "catalogue.version",
    /// `Catalogue::snapshot`.
    Snapshot = "catalogue.snapshot",
    /// Any other call of `Catalogue`.
    Catalogue = "catalogue",
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
