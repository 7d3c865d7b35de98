//! Which router a command talks to, and as whom.
//!
//! Named with `--server` and `--token`; or else the one that serves this machine's data folder, as whom the
//! folder's key can make a token for: an operator's, made for each request and good for minutes. The
//! folder is looked at again before each request, so that a watch finds a router that was started anew,
//! on another port.

use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{Broken, Refusal};
use crate::cli::exit::Usage;
use crate::config::Config;
use crate::control::tokens::Caller;
use crate::domain::id::OrganisationId;
use crate::runtime::serving::{self, Found};
use crate::runtime::{assemble, clock};

/// How long a token holds that is made for one request: its deadline, and clocks that are apart.
const TOKEN_SPAN: Duration = Duration::from_mins(5);

#[derive(Debug, Args)]
#[command(next_help_heading = "Which router")]
pub(in super::super) struct ServerArgs {
    /// The router to talk to, by its http:// or https:// URL [default: whoever serves the data folder]
    #[arg(long, global = true, env = "POSTHASTE_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The token to ask with [default: one made with the data folder's key]
    #[arg(
        long,
        global = true,
        env = "POSTHASTE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        value_parser = token
    )]
    token: Option<Token>,
}

/// A token that `Debug` does not show.
#[derive(Debug, Clone)]
struct Token(SecretString);

#[expect(clippy::unnecessary_wraps, reason = "clap's form of a parser")]
fn token(text: &str) -> Result<Token, String> {
    Ok(Token(text.trim().to_owned().into()))
}

impl ServerArgs {
    /// The router that is meant. The settings are read only where they say which it is.
    ///
    /// # Errors
    /// When a server is named without a token, or not by a URL; as `load`.
    pub(in super::super) fn server(
        &self,
        load: impl FnOnce() -> anyhow::Result<Config>,
    ) -> anyhow::Result<Server> {
        let token = self.token.clone().filter(|token| !token.0.expose_secret().is_empty());
        match self.server.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                let base = base(text)?;
                let Some(Token(token)) = token else {
                    return Err(Usage(format!(
                        "--server {text}: a token is wanted with it: --token or POSTHASTE_TOKEN, as \
                         `posthaste token create` makes on the router's machine"
                    ))
                    .into());
                };
                Ok(Server::Named(Door { base, token }))
            }
            None => {
                Ok(Server::Folder { config: Box::new(load()?), token: token.map(|token| token.0) })
            }
        }
    }
}

/// The URL of a router; what people copy of it, with the API's path behind it, is understood.
fn base(text: &str) -> Result<Url, Usage> {
    let trimmed = text.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/api/v1").unwrap_or(trimmed);
    let parsed = Url::parse(trimmed).ok();
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    parsed.filter(plain).ok_or_else(|| {
        Usage(format!(
            "--server: `{text}` is not a router's URL: http:// or https:// with a host is accepted, as \
             https://posthaste.example or http://127.0.0.1:8071"
        ))
    })
}

/// A router, by name or by its folder.
#[derive(Debug)]
pub(in super::super) enum Server {
    /// The one that was named.
    Named(Door),
    /// Whoever serves the data folder.
    Folder {
        /// The folder, and its key.
        config: Box<Config>,
        /// To ask with instead of one of the folder's own.
        token: Option<SecretString>,
    },
}

/// Where to ask, and as whom.
#[derive(Debug, Clone)]
pub(in super::super) struct Door {
    /// In front of `/api/v1`.
    pub(super) base: Url,
    /// Who asks.
    pub(super) token: SecretString,
}

impl Server {
    /// Whether it is spoken to over TLS. The folder's own is on this machine.
    pub(super) fn wants_tls(&self) -> bool {
        match self {
            Self::Named(door) => door.base.scheme() == "https",
            Self::Folder { .. } => false,
        }
    }

    /// Where it is now.
    ///
    /// # Errors
    /// `Unreachable` when nobody serves the folder.
    pub(super) fn door(&self) -> Result<Door, Refusal> {
        match self {
            Self::Named(door) => Ok(door.clone()),
            Self::Folder { config, token } => {
                let found = serving::find(config);
                match found.map_err(|error| Refusal::Strange(format!("{error:#}")))? {
                    Found::Here(serving) => {
                        let base = Url::parse(&serving.api).map_err(|error| {
                            Refusal::Strange(format!("serving.json: {}: {error}", serving.api))
                        })?;
                        let token = token.clone().map_or_else(|| minted(config), Ok)?;
                        Ok(Door { base, token })
                    }
                    Found::Nobody(Some(last)) => Err(nobody(&last.api)),
                    Found::Nobody(None) => Err(Refusal::Unreachable(format!(
                        "no router runs on the data folder {}: start it with `posthaste serve`, or name \
                         one with --server",
                        config.data_dir.display()
                    ))),
                }
            }
        }
    }

    /// Why there was no answer, in a sentence.
    pub(super) fn unanswered(&self, door: &Door, broken: &Broken) -> Refusal {
        let (Broken::Never(why) | Broken::Off(why)) = broken;
        let base = door.base.as_str().trim_end_matches('/');
        match self {
            Self::Named(_) => Refusal::Unreachable(format!("no router answers at {base} ({why})")),
            Self::Folder { .. } => Refusal::Unreachable(format!(
                "no router answers at {base} ({why}): start it with `posthaste serve`, or name one with \
                 --server"
            )),
        }
    }

    /// Whose fault a token is that does not hold.
    pub(super) fn whose_token(&self) -> &'static str {
        match self {
            Self::Named(_) | Self::Folder { token: Some(_), .. } => {
                "it was made with another key, or has expired; `posthaste token create` makes one on the \
                 router's machine"
            }
            Self::Folder { token: None, .. } => {
                "the router was started with another key than api.token_key names here"
            }
        }
    }
}

fn nobody(api: &str) -> Refusal {
    Refusal::Unreachable(format!(
        "no router answers at {api}: start it with `posthaste serve`, or name one with --server"
    ))
}

/// A token of an operator, as `posthaste token create` makes.
fn minted(config: &Config) -> Result<SecretString, Refusal> {
    let key = assemble::token_key(config)
        .map_err(|error| Refusal::Strange(format!("no token can be made: {error:#}")))?;
    let caller = Caller::Organisation(OrganisationId::DEFAULT);
    Ok(key.token(&caller, clock::now(), TOKEN_SPAN).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_named_by_its_url_with_or_without_the_apis_path() {
        for (text, read) in [
            ("http://127.0.0.1:8071", "http://127.0.0.1:8071/"),
            ("https://posthaste.example/", "https://posthaste.example/"),
            ("https://x.example/hooks/api/v1/", "https://x.example/hooks"),
        ] {
            assert_eq!(base(text).expect(text).as_str(), read, "{text}");
        }
        for text in
            ["posthaste.example", "ftp://x.example", "https://me:pw@x.example", "https://x?a=b"]
        {
            let said = base(text).expect_err(text).to_string();
            assert!(said.contains("is not a router's URL: http://"), "{said}");
        }
    }

    #[test]
    fn a_server_without_a_token_is_a_mistake_of_whoever_asks() {
        let args = ServerArgs { server: Some("https://x.example".into()), token: None };
        let error = args.server(|| panic!("no settings are read")).expect_err("no token");
        assert!(error.is::<Usage>() && error.to_string().contains("--token"), "{error}");
    }
}
