//! The one place that names back ends: what stands behind each port.

use std::sync::Arc;

use anyhow::bail;
use url::Url;

use crate::config::Config;
use crate::storage::catalogue::Catalogue;
use crate::storage::inbox::Publish;
use crate::storage::journal::Ledger;

/// What a person's commands need.
pub struct Stores {
    /// Who there is and who wants what.
    pub catalogue: Arc<dyn Catalogue>,
    /// What became of it.
    pub ledger: Arc<dyn Ledger>,
}

/// Judges a URL: the normalised one, or what is wrong with it.
pub type UrlCheck = Box<dyn Fn(&str) -> Result<Url, String> + Send + Sync>;

/// Opens the stores.
///
/// # Errors
/// When they cannot be opened.
#[expect(clippy::unused_async, reason = "opening will wait")]
pub async fn stores(_config: &Config) -> anyhow::Result<Stores> {
    bail!("the stores are not built in")
}

/// Connects to where events are published.
///
/// # Errors
/// When the broker cannot be reached.
#[expect(clippy::unused_async, reason = "connecting will wait")]
pub async fn publisher(_config: &Config) -> anyhow::Result<Arc<dyn Publish>> {
    bail!("the broker is not built in")
}

/// The policy for endpoints' URLs.
pub fn url_check(_config: &Config) -> UrlCheck {
    Box::new(|text| Url::parse(text).map_err(|error| error.to_string()))
}

/// Routes events until it is told to stop.
///
/// # Errors
/// When it cannot start.
#[expect(clippy::unused_async, reason = "serving will wait")]
pub async fn serve(_config: Config) -> anyhow::Result<()> {
    bail!("the pipeline is not built in")
}

/// Declares every exchange and queue.
///
/// # Errors
/// When the broker cannot be reached, or has them with other arguments.
#[expect(clippy::unused_async, reason = "declaring will wait")]
pub async fn apply_topology(_config: &Config) -> anyhow::Result<()> {
    bail!("the broker is not built in")
}

/// Every exchange, queue and binding: an array of `{kind, name, arguments, …}`.
pub fn topology(_config: &Config) -> serde_json::Value {
    serde_json::json!([])
}
