//! Who did what to an application's things: the entries of the audit log that are about them.
//!
//! The log is the organisation's, in the order of its making: the newest of it are looked through, and no more. It holds what
//! was refused as well, and a path may name anything: an entry is about an application only when that application made it, or the
//! organisation did and named it. What a neighbour has tried stands in the neighbour's and in the operators' alone.

use crate::console::parts::When;
use crate::console::refusal::Refusal;
use crate::console::rights::{TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::domain::application::Application;
use crate::domain::endpoint::Endpoint;
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

/// Whether a deed is about an endpoint: done to it by its application, or by the organisation in this application's name.
pub(super) fn is_about(deed: &Deed, application: &Application, endpoint: &Endpoint) -> bool {
    let (id, own) = (endpoint.id.to_string(), application.id.to_string());
    let is_own = deed.actor == own
        || deed.actor == application.organisation.to_string()
            && names(&deed.object, &own, application.uid.as_deref(), &APPLICATIONS);
    is_own && names(&deed.object, &id, endpoint.uid.as_deref(), &ENDPOINTS)
}

/// Words of our paths that an application's name stands behind.
const APPLICATIONS: [&str; 3] = ["app", "applications", "deliveries"];
/// Words that an endpoint's stands behind.
const ENDPOINTS: [&str; 2] = ["endpoint", "endpoints"];

/// Whether a path names a thing: by its id, or by the name that its owner gave it where such a name stands.
fn names(path: &str, id: &str, uid: Option<&str>, behind: &[&str]) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    parts.contains(&id)
        || parts.windows(2).any(|two| behind.contains(&two[0]) && uid == Some(two[1]))
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ep_1";

    #[test]
    fn a_path_names_a_thing_by_a_whole_part_of_it() {
        for (path, named) in [
            ("/portal/endpoints/ep_1/pause", true),
            ("/portal/endpoints/hook/pause", true),
            ("/api/v1/app/acme/endpoint/hook", true),
            ("/console/deliveries/acme/msg_1/ep_1/retry", true),
            ("/portal/endpoints/ep_12/pause", false),
            ("/portal/endpoints/xep_1/pause", false),
            ("/portal/endpoints/hooks", false),
            ("/portal/event-types/hook", false),
        ] {
            assert_eq!(names(path, ID, Some("hook"), &ENDPOINTS), named, "{path}");
        }
        assert!(!names("/portal/endpoints/", ID, None, &ENDPOINTS));
    }
}
