//! Making an endpoint and changing one: the same form, with what is wrong beside its fields and what was typed kept.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::form::{Fault, HEADERS_MAX, Wanted, fields_of, was_typed};
use super::secret::made;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{Manage, TenantMay};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::domain::auth::Auth;
use crate::domain::endpoint::Endpoint;
use crate::domain::policy::Policy;
use crate::storage::page::{Order, Page, Place};

/// Event types that the form offers: a page of what client libraries take. Others are typed.
const TYPES_MAX: usize = 250;

#[derive(Template)]
#[template(path = "portal/endpoint_form.html")]
struct FormPage {
    frame: Frame,
    action: String,
    back: String,
    is_new: bool,
    verdict: Option<Text>,
    faults: Vec<Fault>,
    groups: Vec<Group>,
    values: Fields,
    /// What an endpoint's form was opened on.
    version: Option<Text>,
    headers: Vec<HeaderRow>,
    auth_now: Option<&'static str>,
    default_timeout_ms: u32,
    default_in_flight: u16,
}

/// Event types that begin alike.
struct Group {
    prefix: Text,
    types: Vec<TypeBox>,
}

struct TypeBox {
    name: Text,
    description: Text,
    deprecated: bool,
    chosen: bool,
}

struct HeaderRow {
    place: usize,
    name: Text,
    has_value: bool,
    /// A value was typed, and is not written back.
    again: bool,
}

impl FormPage {
    /// What was typed in a field, or stands there.
    fn value(&self, name: &str) -> Text {
        Text::typed(self.values.one(name).unwrap_or_default())
    }

    /// Whether something was typed in a field whose value no page has.
    fn again(&self, name: &str) -> bool {
        was_typed(&self.values, name)
    }
}

/// What a form is about.
enum About<'a> {
    New,
    Known(&'a Endpoint),
}

/// `GET /portal/endpoints/new`
pub(super) async fn new_page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    page(&site, &tenant, &About::New, Some(asked), Vec::new(), None).await
}

/// `POST /portal/endpoints/new`
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    if form.one("check").is_some() {
        return checked(&site, &tenant, &About::New, form).await;
    }
    let wanted = match Wanted::read(&form, None) {
        Ok(wanted) => wanted,
        Err(faults) => return refused(&site, &tenant, &About::New, form, faults).await,
    };
    let done = async {
        tenant.control.check_event_types(&tenant.caller(), &wanted.patterns).await?;
        let new = wanted.into_new();
        tenant.control.create_endpoint(tenant.tenant(), new, site.urls().as_ref()).await
    };
    match done.await {
        Ok(endpoint) => Ok(made(&endpoint)),
        Err(error) => refused(&site, &tenant, &About::New, form, vec![told(error)?]).await,
    }
}

/// `GET /portal/endpoints/{endpoint}/edit`
pub(super) async fn edit_page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    page(&site, &tenant, &About::Known(&endpoint), None, Vec::new(), None).await
}

/// `POST /portal/endpoints/{endpoint}/edit`
pub(super) async fn edit(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<Manage>,
    Path(name): Path<String>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let endpoint = tenant.control.endpoint_of(tenant.tenant(), &name).await?;
    let about = About::Known(&endpoint);
    if form.one("check").is_some() {
        return checked(&site, &tenant, &about, form).await;
    }
    // Of two who edit at once the second is told, instead of undoing what the first did.
    if form.one("version").is_some_and(|version| version != version_of(&endpoint)) {
        let why = "Somebody has changed this endpoint since the form was opened. Nothing was saved: open it again.";
        return refused(&site, &tenant, &about, form, vec![Fault::of("url", why)]).await;
    }
    let wanted = match Wanted::read(&form, Some(&endpoint)) {
        Ok(wanted) => wanted,
        Err(faults) => return refused(&site, &tenant, &about, form, faults).await,
    };
    let id = endpoint.id.to_string();
    let done = async {
        // What it wants already it may go on wanting, also when it was archived since.
        let has = |wanted: &&String| {
            endpoint.filter.patterns().iter().any(|known| known.to_string() == **wanted)
        };
        let more: Vec<_> = wanted.patterns.iter().filter(|one| !has(one)).cloned().collect();
        tenant.control.check_event_types(&tenant.caller(), &more).await?;
        let (edit, urls) = (wanted.into_edit(), site.urls().as_ref());
        tenant.control.edit_endpoint_of(tenant.tenant(), &id, edit, urls).await
    };
    match done.await {
        Ok(_) => {
            let to = format!("/portal/endpoints/{id}/settings?done=saved");
            Ok(Redirect::to(&to).into_response())
        }
        Err(error) => refused(&site, &tenant, &about, form, vec![told(error)?]).await,
    }
}

fn told(error: ControlError) -> Result<Fault, Refusal> {
    Fault::told(error).map_err(Refusal::from)
}

/// What the guard says of the URL, with everything as it was typed.
async fn checked(
    site: &Site,
    tenant: &TenantMay<Manage>,
    about: &About<'_>,
    form: Fields,
) -> Result<Response, Refusal> {
    match (site.urls())(form.one("url").unwrap_or_default()) {
        Ok(url) => {
            let verdict =
                format!("{url} may be called. Whether anybody answers there, a test tells.");
            page(site, tenant, about, Some(form), Vec::new(), Some(Text::line(&verdict))).await
        }
        Err(why) => refused(site, tenant, about, form, vec![Fault::of("url", &why)]).await,
    }
}

async fn refused(
    site: &Site,
    tenant: &TenantMay<Manage>,
    about: &About<'_>,
    form: Fields,
    faults: Vec<Fault>,
) -> Result<Response, Refusal> {
    let page = page(site, tenant, about, Some(form), faults, None).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn page(
    site: &Site,
    tenant: &TenantMay<Manage>,
    about: &About<'_>,
    form: Option<Fields>,
    faults: Vec<Fault>,
    verdict: Option<Text>,
) -> Result<Response, Refusal> {
    let first = Page { limit: TYPES_MAX, place: Place::Beginning, order: Order::Ascending };
    let types = tenant.control.event_type_page(&tenant.caller(), false, &first).await?;
    let listed = |name: &str| types.iter().any(|known| known.name == name);
    let (title, action, back, known) = match about {
        About::New => (
            "Add an endpoint",
            "/portal/endpoints/new".to_owned(),
            "/portal/endpoints".into(),
            None,
        ),
        About::Known(endpoint) => {
            let here = format!("/portal/endpoints/{}", endpoint.id);
            (
                "Edit the endpoint",
                format!("{here}/edit"),
                format!("{here}/settings"),
                Some(*endpoint),
            )
        }
    };
    let values = match (form, known) {
        (Some(form), _) => form,
        (None, Some(endpoint)) => fields_of(endpoint, listed),
        (None, None) => Fields::default(),
    };
    let version = values.one("version").map(Text::typed);
    let version = version.or_else(|| known.map(|known| Text::line(&version_of(known))));
    let mut groups: Vec<Group> = Vec::new();
    for known in &types {
        let prefix = known.name.split_once('.').map_or("", |(prefix, _)| prefix);
        let one = TypeBox {
            name: Text::line(&known.name),
            description: Text::line(&known.description),
            deprecated: known.deprecated,
            chosen: values.all("event").any(|chosen| chosen == known.name),
        };
        match groups.last_mut() {
            Some(group) if group.prefix.as_str() == prefix => group.types.push(one),
            Some(_) | None => groups.push(Group { prefix: Text::line(prefix), types: vec![one] }),
        }
    }
    let default = Policy::default();
    shown(&FormPage {
        frame: tenant.frame(site, title, Section::Endpoints, &Fields::default()),
        action,
        back,
        is_new: known.is_none(),
        verdict,
        faults,
        groups,
        headers: header_rows(&values, known),
        version,
        values,
        auth_now: known.and_then(|known| known.auth.as_ref()).map(Auth::kind),
        default_timeout_ms: default.timeout_ms,
        default_in_flight: default.max_in_flight.get(),
    })
}

/// What a form was opened on: when the endpoint was last changed.
fn version_of(endpoint: &Endpoint) -> String {
    endpoint.updated_at.as_millis().to_string()
}

/// A row for each header that was typed or is there, and three more.
fn header_rows(values: &Fields, known: Option<&Endpoint>) -> Vec<HeaderRow> {
    let name = |place: &usize| values.one(&format!("header_name_{place}")).unwrap_or_default();
    let last = (0..HEADERS_MAX).rev().find(|place| !name(place).is_empty());
    let rows = last.map_or(0, |last| last + 1) + 3;
    let has = |wanted: &str| {
        let own = known.into_iter().flat_map(|endpoint| &endpoint.headers);
        own.into_iter().any(|(own, _)| own.eq_ignore_ascii_case(wanted))
    };
    (0..rows.min(HEADERS_MAX))
        .map(|place| HeaderRow {
            place,
            name: Text::typed(name(&place)),
            has_value: has(name(&place)),
            again: was_typed(values, &format!("header_value_{place}")),
        })
        .collect()
}
