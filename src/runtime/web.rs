//! What is served over HTTP to those who have a token or a session: the API, and the pages beside it.
//!
//! On one port and by one name, since a link that the API gives leads to the pages.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;

use super::assemble;
use super::installation::Installed;
use super::living::LivingRouter;
use super::test_calls::TestLine;
use super::{chance, clock, welcome};
use crate::api::routes::{self, Api};
use crate::config::Colour;
use crate::console::brand::Brand;
use crate::console::site::{self, Site};
use crate::control::adoption::Here;
use crate::control::circuits::Circuits;
use crate::control::inspector::InspectorDesk;
use crate::control::publish::Intake;
use crate::control::recovery::RecoveryDesk;
use crate::control::replays::ReplayDesk;
use crate::control::sessions::SessionDesk;
use crate::control::test_calls::TestCalls;
use crate::control::tokens::TokenKey;
use crate::control::{self, Control};
use crate::domain::breaker::Tripped;
use crate::domain::id::EndpointId;
use crate::pipeline::adopt::Adopter;
use crate::pipeline::dispatch;
use crate::pipeline::engine::Engine;
use crate::storage::StorageError;

/// What it is made of.
pub(super) struct Web<'a> {
    /// The router that is running.
    pub(super) engine: &'a Engine,
    /// What it stands on.
    pub(super) installed: Installed<'a>,
}

impl Web<'_> {
    /// Every path there is.
    ///
    /// # Errors
    /// When the address it is served on is no part of a URL.
    pub(super) fn routes(
        &self,
        tokens: Arc<TokenKey>,
        address: SocketAddr,
    ) -> anyhow::Result<Router> {
        let Self { engine, installed } = self;
        let Installed { config, backends, .. } = installed;
        let sender = Arc::clone(&installed.way_out.sender);
        let context = control::Context { now: clock::now, chance: chance::bytes };
        let adoption = backends.adoption(config, Box::new(OwnRouter(engine.adopter())));
        let control = Control::new(backends.control.clone(), context)
            .adopting(adoption)
            .under(assemble::ceiling(config));
        let max_payload_bytes = config.limits.max_payload_bytes;
        let intake = || {
            Intake::new(
                control.clone(),
                Arc::clone(&backends.publisher),
                assemble::url_check(config).into(),
                max_payload_bytes,
            )
        };
        let public_url = match &config.api.public_url {
            Some(url) => url.clone(),
            None => format!("http://{}", welcome::reachable(address)).parse()?,
        };
        let test_calls =
            TestCalls::new(Arc::new(TestLine { sender, options: super::serve::options(config) }));
        let replays = ReplayDesk::new(backends.replays(), context);
        let sessions = SessionDesk::new(backends.sessions(), context);
        let api = Api::new(routes::Parts {
            intake: intake(),
            control: control.clone(),
            test_calls: test_calls.clone(),
            tokens: Arc::clone(&tokens),
            urls: assemble::url_check(config),
            now: clock::now,
            max_payload_bytes,
            public_url: public_url.clone(),
            answers: backends.answers(),
            audit: backends.audit(),
            inspector: InspectorDesk::new(backends.inspectors(), context),
            replays: replays.clone(),
            sessions: sessions.clone(),
            recovery: self.recovery_desk(),
            requests_per_second: config.api.requests_per_second,
        });
        let pages = Site::new(site::Parts {
            control,
            test_calls,
            replays,
            sessions,
            tokens,
            urls: assemble::url_check(config),
            audit: backends.audit(),
            rollups: backends.rollups(),
            directory: backends.directory(),
            circuits: Arc::new(Known(self.engine.circuits())),
            installation: installed.desks(),
            now: clock::now,
            public_url,
            brand: self.brand()?,
            requests_per_second: config.api.requests_per_second,
        });
        let api = routes::routes(Arc::new(api));
        Ok(site::pages(Arc::new(pages)).fallback_service(api))
    }

    /// How the pages look.
    fn brand(&self) -> anyhow::Result<Brand> {
        let portal = &self.installed.config.portal;
        let origins = portal.embed_origins.iter();
        Ok(Brand {
            name: portal.name.clone(),
            embed_origins: origins.map(|url| url.origin().ascii_serialization()).collect(),
            accent: portal.accent.map(|Colour(parts)| parts),
            logo: portal.logo.as_deref().map(|file| logo(Path::new(file))).transpose()?,
        })
    }

    /// Where what a broker has lost is recovered, where there is a broker.
    fn recovery_desk(&self) -> Option<RecoveryDesk> {
        let (recovery, journal) = self.installed.backends.recovery()?;
        let Adopter { routes, catalogue, .. } = self.engine.adopter();
        let living = Arc::new(LivingRouter { window: self.engine.window(), routes, catalogue });
        Some(RecoveryDesk { recovery, journal, living, now: clock::now })
    }
}

/// What the dispatcher knows of circuits, for the pages.
struct Known(dispatch::Circuits);

impl Circuits for Known {
    fn of(&self, endpoint: EndpointId) -> Option<Tripped> {
        self.0.of(endpoint)
    }

    fn count(&self) -> usize {
        self.0.count()
    }
}

/// Largest logo, in bytes: it is kept in memory, and asked for by every browser.
const LOGO_MAX: u64 = 64 * 1024;
/// What a PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Reads a logo.
fn logo(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(file)?.take(LOGO_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().with_context(|| format!("portal.logo: {shown} cannot be read"))?;
    anyhow::ensure!(
        bytes.len() as u64 <= LOGO_MAX,
        "portal.logo: {shown} has more than {LOGO_MAX} bytes: a PNG file of at most 64 KiB is accepted"
    );
    anyhow::ensure!(bytes.starts_with(PNG), "portal.logo: {shown} is no PNG file");
    Ok(bytes)
}

/// The router of this process, as edits wait for it.
struct OwnRouter(Adopter);

#[async_trait]
impl Here for OwnRouter {
    async fn adopt(&self) -> Result<(), StorageError> {
        self.0.adopt().await.map(drop)
    }
}
