//! From layers to a [`Config`]: each setting read once, in the order of the list.
//!
//! A value that cannot be read is noted and its default takes its place, so that the rest is
//! checked too; the caller throws the result away when anything was noted.

use std::collections::HashSet;
use std::fmt::Display;
use std::time::Duration;

use figment::Figment;

use super::values::{boolean, log_filter, number, prefix, some_text, user_agent};
use super::{
    Admin, Api, Config, Delivery, Effective, Egress, Encryption, Endpoints, KeySource, Limits, Log,
    Mistake, Operator, Portal, RabbitMq, Retention, Shutdown, Storage, layers, settings,
};
use crate::domain::event::ApplicationName;

/// What `dev` adds to `egress.allow_cidrs`.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

pub(super) fn config(layers: &Figment, mistakes: &mut Vec<Mistake>) -> (Config, Vec<Effective>) {
    let mut read = Reader { layers, mistakes, effective: Vec::new() };
    let mut config = Config {
        data_dir: read.one("data_dir", some_text).into(),
        dev: read.one("dev", boolean),
        rabbitmq: RabbitMq {
            urls: read.list("rabbitmq.urls", str::parse),
            prefix: read.one("rabbitmq.prefix", prefix),
            prefetch: read.one("rabbitmq.prefetch", |text| number(text, &(1..=2_000))),
            results: read.one("rabbitmq.results", boolean),
        },
        storage: Storage { postgres: read.at_most_one("storage.postgres", str::parse) },
        encryption: Encryption { keys: read.list("encryption.keys", str::parse) },
        egress: Egress {
            allow_http: read.one("egress.allow_http", boolean),
            allow_cidrs: read.list("egress.allow_cidrs", cidr),
            deny_cidrs: read.list("egress.deny_cidrs", cidr),
            user_agent: read.one("egress.user_agent", user_agent),
        },
        delivery: Delivery {
            svix_headers: read.one("delivery.svix_headers", boolean),
            allow_unsigned: read.one("delivery.allow_unsigned", boolean),
        },
        limits: Limits {
            max_payload_bytes: read
                .one("limits.max_payload_bytes", |text| number(text, &(1_024..=16_777_216))),
            max_in_flight: read.one("limits.max_in_flight", |text| number(text, &(1..=65_536))),
            max_in_flight_per_host: read
                .one("limits.max_in_flight_per_host", |text| number(text, &(1..=65_536))),
            max_deliveries_in_memory: read
                .one("limits.max_deliveries_in_memory", |text| number(text, &(100..=1_000_000))),
            max_payload_bytes_in_memory: read.one("limits.max_payload_bytes_in_memory", |text| {
                number(text, &(16_777_216..=1_099_511_627_776))
            }),
            escrow_after: Duration::from_millis(
                read.one("limits.escrow_after_ms", |text| number(text, &(100..=60_000))),
            ),
        },
        api: Api {
            listen: read.one("api.listen", address),
            public_url: read.at_most_one("api.public_url", base_url),
            token_key: read.at_most_one("api.token_key", str::parse),
            requests_per_second: read
                .one("api.requests_per_second", |text| number(text, &(0..=65_535))),
        },
        portal: Portal {
            name: read.one("portal.name", some_text),
            embed_origins: read.list("portal.embed_origins", origin),
            accent: read.at_most_one("portal.accent", str::parse),
            logo: read.at_most_one("portal.logo", some_text),
        },
        operator: Operator {
            application: read.at_most_one("operator.application", |text| {
                some_text(text).map(|name| ApplicationName::from(name.as_str()))
            }),
        },
        endpoints: Endpoints {
            disable_after: match read
                .one("endpoints.disable_after_days", |text| number(text, &(0..=365)))
            {
                0 => None,
                days => Some(Duration::from_hours(24 * days)),
            },
        },
        retention: Retention {
            events: read.days("retention.events_days"),
            dead_letters: read.days("retention.dead_letters_days"),
        },
        admin: Admin { listen: read.one("admin.listen", address) },
        log: Log {
            format: read.one("log.format", str::parse),
            filter: read.one("log.filter", log_filter),
        },
        shutdown: Shutdown {
            grace: Duration::from_millis(
                read.one("shutdown.grace_ms", |text| number(text, &(0..=600_000))),
            ),
        },
    };
    if has_twins(&config.encryption.keys) {
        read.wrong("encryption.keys", "two keys have the same id");
    }
    if config.storage.postgres.is_some() && config.rabbitmq.urls.is_empty() {
        let what = "there is no broker (rabbitmq.urls), and without one the SQLite file is inbox and ladder as well";
        read.wrong("storage.postgres", what);
    }
    if config.dev {
        read.open_loopback(&mut config.egress);
    }
    let effective = read.effective;
    (config, effective)
}

struct Reader<'a> {
    layers: &'a Figment,
    mistakes: &'a mut Vec<Mistake>,
    effective: Vec<Effective>,
}

impl Reader<'_> {
    fn one<T: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let (value, origin) = self.look_up(key);
        let read = layers::scalar(&value)
            .ok_or_else(|| "it is a list or a table".to_owned())
            .and_then(|text| parse(&text));
        let read = read.unwrap_or_else(|what| {
            self.wrong(key, &what);
            parse(row(key).default).expect("each default is accepted")
        });
        self.effective.push(Effective { key, value: read.to_string(), origin });
        read
    }

    fn list<T: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let (value, origin) = self.look_up(key);
        let Some(texts) = layers::list(&value) else {
            self.wrong(key, "it is neither a list nor a text");
            return Vec::new();
        };
        let mut items = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Ok(item) => items.push(item),
                Err(what) => self.wrong(key, &what),
            }
        }
        self.effective.push(Effective { key, value: joined(&items), origin });
        items
    }

    fn at_most_one<T: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let mut items = self.list(key, parse);
        if items.len() > 1 {
            self.wrong(key, "there are several");
        }
        items.pop()
    }

    fn days(&mut self, key: &'static str) -> Duration {
        let days: u32 = self.one(key, |text| number(text, &(1..=3_650)));
        Duration::from_hours(24 * u64::from(days))
    }

    fn look_up(&self, key: &str) -> (figment::value::Value, String) {
        // A section that is a scalar hides its settings; that is reported as an unknown setting.
        let value = self.layers.find_value(key).unwrap_or_else(|_| row(key).default.into());
        let origin = layers::origin(self.layers, &value);
        (value, origin)
    }

    fn wrong(&mut self, key: &'static str, what: &str) {
        let (_, origin) = self.look_up(key);
        let what = format!("{what}; accepted: {}", row(key).accepted);
        let mistake = Mistake { key: key.into(), origin, what };
        if !self.mistakes.iter().any(|known| known.key == key) {
            self.mistakes.push(mistake);
        }
    }

    fn open_loopback(&mut self, egress: &mut Egress) {
        egress.allow_http = true;
        for range in LOOPBACK {
            let range = range.parse().expect("an address range");
            if !egress.allow_cidrs.contains(&range) {
                egress.allow_cidrs.push(range);
            }
        }
        for row in &mut self.effective {
            match row.key {
                "egress.allow_http" => row.value = "true".into(),
                "egress.allow_cidrs" => row.value = joined(&egress.allow_cidrs),
                _ => continue,
            }
            row.origin = "dev".into();
        }
    }
}

fn row(key: &str) -> &'static settings::Setting {
    settings::setting(key).expect("each key that is read has a row")
}

fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port"))
}

/// A URL that paths are put behind. No user either: links with it go to tenants.
fn base_url(text: &str) -> Result<url::Url, String> {
    let wrong = || format!("`{text}` is not the URL of a server");
    let url = text.parse::<url::Url>().map_err(|_| wrong())?;
    let whole = matches!(url.scheme(), "http" | "https") && url.has_host();
    let more = url.query().is_some() || url.fragment().is_some();
    let user = !url.username().is_empty() || url.password().is_some();
    if whole && !more && !user { Ok(url) } else { Err(wrong()) }
}

fn origin(text: &str) -> Result<url::Url, String> {
    let wrong = || "an origin as https://app.example.com is wanted".to_owned();
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let named = url.has_host() && url.username().is_empty() && url.password().is_none();
    (bare && named && matches!(url.scheme(), "http" | "https")).then_some(url).ok_or_else(wrong)
}

fn cidr(text: &str) -> Result<ipnet::IpNet, String> {
    // A bare address is a range of one.
    text.parse::<ipnet::IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from))
        .map_err(|_| format!("`{text}` is not an address range"))
}

fn joined<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn has_twins(keys: &[KeySource]) -> bool {
    let mut seen = HashSet::new();
    !keys.iter().all(|key| seen.insert(&key.id))
}
