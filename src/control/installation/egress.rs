//! Which addresses may be called: the rules, what they have blocked, and what they would say of a URL, step by step.
//!
//! The rules are the guard's, which this room does not know: it asks by a port ([`EgressWatch`]) that `runtime` fills. What is
//! shown here names addresses that names of tenants lead to; tenants themselves are never told them.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::Installation;
use crate::control::{Answer, ControlError};
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;
use crate::domain::url_form::URL_BYTES_MAX;

/// The rules that hold, each as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Whether plain `http` is accepted.
    pub allow_http: bool,
    /// Whether names that mean something only here are looked up.
    pub allow_local_names: bool,
    /// Ranges that are refused by themselves, and the word for what each is.
    pub refused: Vec<(String, &'static str)>,
    /// Addresses where clouds hand out credentials: refused unless one is allowed alone.
    pub metadata: Vec<String>,
    /// Ranges that the operator allows although they are refused.
    pub allowed: Vec<String>,
    /// Ranges that the operator refuses, stronger than those.
    pub denied: Vec<String>,
    /// Where this router listens itself.
    pub own_sockets: Vec<String>,
    /// Last labels of names that are not looked up.
    pub special_names: Vec<&'static str>,
    /// Ports from 1024 on that are refused; below, all but 443 and (for http) 80 are.
    pub refused_ports: Vec<u16>,
}

/// An attempt that was blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedAttempt {
    /// When.
    pub at: Timestamp,
    /// Whose endpoint it was.
    pub application: ApplicationId,
    /// The endpoint, or the id that a URL of an event goes by.
    pub endpoint: EndpointId,
    /// The host of the URL.
    pub host: String,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub sentence: String,
    /// The address that the host led to, when it was that which is not allowed.
    pub address: Option<IpAddr>,
}

/// What a step of judging a URL came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepVerdict {
    /// It passes.
    Passed,
    /// It is refused here, and a request would not be made.
    Refused,
    /// It was not looked at, because of a step before, or because there is nothing to look at.
    Skipped,
}

/// One step of judging a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is looked at, in a few words.
    pub what: &'static str,
    /// What it came to.
    pub verdict: StepVerdict,
    /// What was found, in a sentence. It may quote the URL or what a name server answered.
    pub found: String,
}

/// What judging a URL came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The URL as it would be called, when it can be read.
    pub url: Option<String>,
    /// Whether a request would be made.
    pub allowed: bool,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

/// The guard and the sender, as operators look at them.
#[async_trait]
pub trait EgressWatch: Send + Sync {
    /// The rules that hold.
    fn rules(&self) -> EgressRules;

    /// The last attempts that were blocked, newest first: a bounded number, of this router, since it started.
    fn blocked(&self) -> Vec<BlockedAttempt>;

    /// Goes the way of a request to this URL up to where it would connect, and connects to nothing. Ends within seconds.
    async fn try_out(&self, url: &str) -> Trial;
}

/// Where that is asked.
#[derive(Clone)]
pub struct EgressDesk(Arc<dyn EgressWatch>);

impl EgressDesk {
    /// A desk over this.
    pub fn new(watch: Arc<dyn EgressWatch>) -> Self {
        Self(watch)
    }

    /// The rules that hold.
    pub fn rules(&self, _: Installation) -> EgressRules {
        self.0.rules()
    }

    /// The last attempts that were blocked, newest first.
    pub fn blocked(&self, _: Installation) -> Vec<BlockedAttempt> {
        self.0.blocked()
    }

    /// What the rules say of a URL, step by step. Names are looked up, and nothing is connected to.
    ///
    /// # Errors
    /// `InvalidField` (`url`) when it is empty or much too long to be shown again.
    pub async fn try_out(&self, _: Installation, url: &str) -> Answer<Trial> {
        let url = url.trim();
        if url.is_empty() || url.len() > 2 * URL_BYTES_MAX {
            let why = format!("a URL of at most {URL_BYTES_MAX} bytes is wanted");
            return Err(ControlError::field("url", why));
        }
        Ok(self.0.try_out(url).await)
    }
}
