//! What operators look at that is nobody's but the installation's: its broker and queues, the addresses that it may call, its
//! configuration, and how it is.
//!
//! None of it belongs to a tenant or to an organisation, and it shows what all of them sent. So it is for those who keep the
//! installation, the default organisation's operators, and every desk asks for an [`Installation`], which is made for them alone:
//! a page that forgot to ask does not compile. To others it is not there.
//!
//! - [`quarantine`]: messages that are no events, looked at, corrected, thrown away.
//! - [`queues`]: how much waits, where, and until when.
//! - [`egress`]: which addresses may be called, what was blocked, and what would be.
//! - [`configuration`]: the settings that hold, and which of them are not safe.
//! - [`vitals`]: how this router is, at a glance.

pub mod configuration;
pub mod egress;
pub mod quarantine;
pub mod queues;
pub mod vitals;

use self::configuration::ConfigurationDesk;
use self::egress::EgressDesk;
use self::quarantine::QuarantineDesk;
use self::queues::QueueDesk;
use self::vitals::VitalsDesk;
use super::{Answer, ControlError};
use crate::domain::id::OrganisationId;

/// Leave to look into the installation itself.
#[derive(Debug, Clone, Copy)]
pub struct Installation(());

impl Installation {
    /// Whether an organisation keeps the installation: the default one does, whose tokens are made on the machine itself.
    pub fn is_kept_by(organisation: OrganisationId) -> bool {
        organisation == OrganisationId::DEFAULT
    }

    /// Leave for an operator of this organisation.
    ///
    /// # Errors
    /// `NotFound`: for another than the default organisation's it is not there.
    pub fn of(organisation: OrganisationId) -> Answer<Self> {
        if Self::is_kept_by(organisation) {
            Ok(Self(()))
        } else {
            Err(ControlError::NotFound(format!(
                "this is for operators of {}, which keeps the installation",
                OrganisationId::DEFAULT
            )))
        }
    }
}

/// All of its desks.
#[derive(Clone)]
pub struct Desks {
    /// Messages that are no events.
    pub quarantine: QuarantineDesk,
    /// How much waits.
    pub queues: QueueDesk,
    /// Which addresses may be called.
    pub egress: EgressDesk,
    /// The settings.
    pub configuration: ConfigurationDesk,
    /// How it is.
    pub vitals: VitalsDesk,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installation_is_the_default_organisations_to_look_into_and_nobody_elses() {
        assert!(Installation::of(OrganisationId::DEFAULT).is_ok());
        let refused = Installation::of(OrganisationId::derived(&[b"theirs"])).expect_err("theirs");
        assert!(matches!(refused, ControlError::NotFound(_)), "{refused}");
    }
}
