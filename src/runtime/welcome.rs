//! What `serve` says to the person who started it: on the first start of a data folder where everything
//! is, a token, and what to try; after that a line.
//!
//! On standard output, because it is for people and happens once; the log is for what happens. With a log
//! for programs nobody is there to read it, and nothing is printed. Every command can be run as it is
//! shown, in another terminal: what they need to find the same data is set first.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock;
use super::serve::Lock;
use crate::config::{Config, LogFormat};
use crate::control::tokens::{Caller, ORGANISATION_SPAN, TokenKey};
use crate::domain::id::OrganisationId;

/// How long the first token holds where it is not shown on a terminal: a developer's morning, and little to
/// whoever finds the log.
const ONE_DAY: Duration = Duration::from_hours(24);

/// Where `posthaste listen` listens when nobody says.
const RECEIVER: &str = "http://127.0.0.1:8765/";

/// What there is to tell.
pub(super) struct Facts<'a> {
    /// Where the API is.
    pub(super) api: SocketAddr,
    /// Where metrics and probes are.
    pub(super) admin: SocketAddr,
    /// The settings.
    pub(super) config: &'a Config,
    /// What tokens are signed with.
    pub(super) tokens: &'a TokenKey,
}

impl Facts<'_> {
    /// Prints it. Whether somebody reads it is not our concern: a closed pipe, a full disk do not stop a
    /// router.
    pub(super) fn print(&self, lock: &mut Lock) {
        if self.config.log.format == LogFormat::Json {
            return;
        }
        let program = std::env::args_os().next().map_or_else(|| "posthaste".into(), PathBuf::from);
        let text = if lock.is_first_start().unwrap_or(false) {
            // What is not a terminal may be kept for years where others read it.
            let span = if std::io::stdout().is_terminal() { ORGANISATION_SPAN } else { ONE_DAY };
            let shown = self.config.dev || span == ORGANISATION_SPAN;
            let caller = Caller::Organisation(OrganisationId::DEFAULT);
            let token = shown.then(|| self.tokens.token(&caller, clock::now(), span));
            let folder = std::path::absolute(&self.config.data_dir);
            let folder = folder.unwrap_or_else(|_| self.config.data_dir.clone());
            self.first(&quoted(&program), &folder, token.as_deref())
        } else {
            self.later(&quoted(&program))
        };
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    fn first(&self, program: &str, folder: &Path, token: Option<&str>) -> String {
        let mut text = String::new();
        let api = reachable(self.api);
        let shown = quoted(folder);
        let mut line = |words: &str| writeln!(text, "{words}").expect("a string takes it all");
        line(concat!(
            "posthaste ",
            env!("CARGO_PKG_VERSION"),
            " is routing, for the first time here."
        ));
        line("");
        line(&format!("  API      http://{api}/api/v1"));
        line(&format!("  console  http://{api}/console, by the same token"));
        line(&format!("  metrics  http://{}/metrics", reachable(self.admin)));
        line(&format!("  data     {shown}"));
        line("           with its keys: whoever can read this folder can read every secret");
        line(&format!("  events   over HTTP{}", self.broker()));
        line("");
        if let Some(token) = token {
            line("A token for the API (`posthaste token create` makes more):");
            line("");
            line(&format!("  {token}"));
        } else {
            line(
                "`posthaste token create` makes a token for the API; none is shown where a log may keep it.",
            );
        }
        line("");
        line("To try it, in another terminal:");
        line("");
        line(&format!("  export POSTHASTE_DATA_DIR={shown}{}", self.dev()));
        line(&format!("  {program} app create Acme --uid acme"));
        if self.receives_here() {
            line(&format!("  {program} endpoint create --app acme --url {RECEIVER}"));
            line(&format!("  {program} listen --show-body &"));
        } else {
            line(&format!(
                "  {program} endpoint create --app acme --url https://example.com/webhooks"
            ));
        }
        line(&format!("  curl -s http://{api}/api/v1/app/acme/msg \\"));
        line(&format!("    -H \"Authorization: Bearer $({program} token create)\" \\"));
        line("    -H 'Content-Type: application/json' \\");
        line("    -d '{\"eventType\": \"job.completed\", \"payload\": {\"job\": 1}}'");
        line("");
        if !self.receives_here() {
            line(
                "Put a URL of yours for example.com. To receive on this machine, start with --dev, which",
            );
            line("allows http and loopback, and run `posthaste listen`.");
            line("");
        }
        text
    }

    fn later(&self, program: &str) -> String {
        let api = reachable(self.api);
        format!(
            "posthaste is routing; API http://{api}/api/v1, console http://{api}/console, \
             `{program} token create` for a token\n"
        )
    }

    fn broker(&self) -> String {
        let urls = self.config.rabbitmq.urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        if urls.is_empty() { String::new() } else { format!(", and from {}", urls.join(", ")) }
    }

    /// What else a command has to know.
    fn dev(&self) -> &'static str {
        if self.config.dev { " POSTHASTE_DEV=true" } else { "" }
    }

    /// Whether an endpoint may be on this machine.
    fn receives_here(&self) -> bool {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let egress = &self.config.egress;
        self.config.dev
            && egress.allow_http
            && !egress.deny_cidrs.iter().any(|range| range.contains(&here))
    }
}

/// The address that somebody on this machine can use.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;

    use super::*;
    use crate::config::{Sources, load};

    fn first(environment: &[(&str, &str)]) -> String {
        let environment =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (config, _) = load(&Sources { environment, ..Sources::default() }).expect("settings");
        let tokens = TokenKey::new(SecretBox::new(Box::new([1; 32])));
        let (api, admin) = ("0.0.0.0:8071".parse(), "127.0.0.1:9464".parse());
        let facts = Facts {
            api: api.expect("an address"),
            admin: admin.expect("an address"),
            config: &config,
            tokens: &tokens,
        };
        facts.first("posthaste", Path::new("/home/a b/data"), Some("eyJ"))
    }

    #[test]
    fn the_first_start_says_where_everything_is_and_what_to_try() {
        let text = first(&[("POSTHASTE_DEV", "true")]);
        for part in [
            "  API      http://127.0.0.1:8071/api/v1\n",
            "  metrics  http://127.0.0.1:9464/metrics\n",
            "  data     '/home/a b/data'\n",
            "  events   over HTTP\n",
            "\n  eyJ\n",
            "  export POSTHASTE_DATA_DIR='/home/a b/data' POSTHASTE_DEV=true\n",
            "  posthaste endpoint create --app acme --url http://127.0.0.1:8765/\n",
            "  posthaste listen --show-body &\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn it_shows_no_receiver_that_may_not_be_called_and_no_password() {
        let text = first(&[("POSTHASTE_RABBITMQ__URLS", "amqp://me:hunter2@mq.example")]);
        assert!(!text.contains("8765"), "{text}");
        assert!(text.contains("https://example.com/webhooks"), "{text}");
        assert!(text.contains("over HTTP, and from amqp://me:***@mq.example"), "{text}");
    }
}
