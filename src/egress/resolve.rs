//! Turns a name into addresses, all of which may be called.
//!
//! The check is here, at the moment of connecting, because a name may answer differently each time
//! it is asked (DNS rebinding): what was checked is what is connected to. One address that may not
//! be called refuses the whole answer, for whoever mixes them is trying something.
//!
//! Names are asked for as absolute: a search list would turn `api.default` into a service of our
//! own cluster. Whatever goes wrong, nothing is called.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

use super::guard::{EgressPolicy, Refusal, check_address};

/// How long a name may take to resolve. Two tries of a second each: a recursive resolver that is
/// well answers within one, and a deadline of 15 s has other things to wait for.
pub const BUDGET: Duration = Duration::from_secs(2);

/// Addresses of a name that are tried. The largest services publish 8 of each family.
pub const ADDRESSES_MAX: usize = 16;

/// Asks what addresses a name has. The name is absolute and has no trailing dot.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses, IPv4 and IPv6, none judged.
    ///
    /// # Errors
    /// [`Unresolved::NoAddress`] when there are none, [`Unresolved::Failed`] when nobody could tell.
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved>;
}

/// Why a name gave no address to call. Its words are fit for a tenant: they do not tell a name that
/// does not exist from one that leads inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The name has no address.
    #[error("the host does not resolve to an allowed address")]
    NoAddress,
    /// No answer, or none in time.
    #[error("the host could not be resolved")]
    Failed,
    /// One of its addresses may not be called.
    #[error("the host does not resolve to an allowed address")]
    Refused(Refusal, IpAddr),
}

/// A resolver whose every answer has passed the guard.
#[derive(Clone)]
pub struct Guarded {
    names: Arc<dyn Resolve>,
    policy: Arc<EgressPolicy>,
}

impl Guarded {
    /// Puts the guard of `policy` before the answers of `names`.
    pub fn new(names: Arc<dyn Resolve>, policy: Arc<EgressPolicy>) -> Self {
        Self { names, policy }
    }

    /// The first [`ADDRESSES_MAX`] addresses of the name, all of which may be called. Ends within
    /// [`BUDGET`].
    ///
    /// # Errors
    /// Why there are none.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let answer = tokio::time::timeout(BUDGET, self.names.lookup(name)).await;
        let mut addresses = answer.map_err(|_| Unresolved::Failed)??;
        for address in &addresses {
            if let Err(refusal) = check_address(*address, &self.policy) {
                // For operators alone: the tenant must not learn what our names lead to.
                tracing::info!(
                    host = name,
                    %address,
                    reason = refusal.reason(),
                    "host {name} has an address that may not be called"
                );
                return Err(Unresolved::Refused(refusal, *address));
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(Unresolved::NoAddress) } else { Ok(addresses) }
    }
}

/// The name servers that the system is configured with, asked directly.
pub struct SystemNames(TokioResolver);

impl SystemNames {
    /// Reads the system's configuration once. The hosts file is read only for a policy that allows
    /// local names.
    ///
    /// # Errors
    /// When the resolver cannot be made, in a sentence.
    pub fn new(policy: &EgressPolicy) -> Result<Self, String> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            // As the C library does where there is no resolv.conf.
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), vec![local]),
                TokioRuntimeProvider::default(),
            )
        });
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = BUDGET / 2;
        options.attempts = 1; // after the first
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file =
            if policy.allow_local_names { ResolveHosts::Always } else { ResolveHosts::Never };
        // A second at least, so that a busy endpoint does not mean a question per request; five
        // minutes at most, so that an endpoint that moved is found.
        options.positive_min_ttl = Some(Duration::from_secs(1));
        options.positive_max_ttl = Some(Duration::from_mins(5));
        options.negative_min_ttl = Some(Duration::from_secs(1));
        options.negative_max_ttl = Some(Duration::from_secs(30));
        builder
            .build()
            .map(Self)
            .map_err(|error| format!("the name resolver cannot be made: {error}"))
    }
}

#[async_trait]
impl Resolve for SystemNames {
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let mut absolute = Name::from_ascii(name).map_err(|_| Unresolved::NoAddress)?;
        absolute.set_fqdn(true);
        match self.0.lookup_ip(absolute).await {
            Ok(answer) => Ok(answer.iter().collect()),
            Err(error) if error.is_no_records_found() => Err(Unresolved::NoAddress),
            Err(error) => {
                tracing::debug!(host = name, %error, "host {name} could not be resolved");
                Err(Unresolved::Failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_this_machine_and_no_name_server_is_asked() {
        let policy = Arc::new(EgressPolicy::development());
        let names = SystemNames::new(&policy).expect("a resolver");

        let addresses =
            Guarded::new(Arc::new(names), policy).addresses("localhost").await.expect("addresses");

        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}
