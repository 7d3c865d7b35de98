//! Who did what to an application's things: the entries of the audit log that are about them.
//!
//! The log is the organisation's, in the order of its making: the newest of it are looked through, and no more.

use crate::console::parts::When;
use crate::console::refusal::Refusal;
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::storage::audit::Deed;
use crate::storage::page::{Order, Page, Place};

/// Entries that are looked through: some 5 ms of reading.
const LOOKED_MAX: usize = 2_000;
/// Entries that are shown.
const SHOWN_MAX: usize = 50;

/// An entry.
pub(super) struct Entry {
    /// When.
    pub(super) at: When,
    /// Who, in a word.
    pub(super) who: &'static str,
    /// What.
    pub(super) action: Text,
    /// To what.
    pub(super) object: Text,
    /// What it was answered.
    pub(super) status: Option<u16>,
}

/// The newest entries that are about what `is_it` says.
pub(super) async fn entries(
    site: &Site,
    tenant: &TenantMay<View>,
    is_it: impl Fn(&Deed) -> bool,
) -> Result<Vec<Entry>, Refusal> {
    let page = Page { limit: LOOKED_MAX, place: Place::Beginning, order: Order::Descending };
    let organisation = tenant.application.organisation;
    let deeds = site.audit().deeds(organisation, &page).await.map_err(ControlError::from)?;
    let own = tenant.application.id.to_string();
    let entry = |entry: &crate::storage::audit::AuditEntry| Entry {
        at: When(entry.deed.at),
        who: if entry.deed.actor == own { "somebody of this application" } else { "the platform" },
        action: Text::line(&entry.deed.action),
        object: Text::line(&entry.deed.object),
        status: entry.status,
    };
    Ok(deeds.iter().filter(|one| is_it(&one.deed)).take(SHOWN_MAX).map(entry).collect())
}
