//! The one list of settings: what reads them, checks them and documents them starts here.

/// One row of the list.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key: `section.name`, as in the file; `POSTHASTE_SECTION__NAME` in the environment.
    pub key: &'static str,
    /// The default as text; the items of a list have commas between them.
    pub default: &'static str,
    /// Which values are accepted.
    pub accepted: &'static str,
    /// What it decides, in one sentence.
    pub doc: &'static str,
}

impl Setting {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase())
    }
}

/// What every variable of ours begins with.
pub const PREFIX: &str = "POSTHASTE_";

/// The row of that key.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Why a setting is not safe with this value outside a developer's machine, if it is not.
pub(super) fn danger(key: &str, value: &str) -> Option<&'static str> {
    let is_public = || value.parse().is_ok_and(|at: std::net::SocketAddr| !at.ip().is_loopback());
    match key {
        "dev" if value == "true" => {
            Some("Tenants can have this machine's own addresses called, and over plain http.")
        }
        "egress.allow_http" if value == "true" => {
            Some("Payloads and credentials can go over networks in the clear.")
        }
        "egress.allow_cidrs" if !value.is_empty() => Some(
            "Tenants can have these networks called: keep it to receivers that are meant for them.",
        ),
        "delivery.allow_unsigned" if value == "true" => {
            Some("Endpoints can ask for requests that nobody can tell from forged ones.")
        }
        "api.public_url" if value.starts_with("http:") => {
            Some("Tokens and sessions go over networks in the clear: https is wanted.")
        }
        "api.requests_per_second" if value == "0" => {
            Some("One caller can take all that the API has to give.")
        }
        "admin.listen" if is_public() => {
            Some("Metrics and probes are for whoever reaches this address: they ask for no token.")
        }
        _ => None,
    }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "data_dir",
        default: "./posthaste-data",
        accepted: "a folder; it is made when it is missing",
        doc: "Where the SQLite file with catalogue and journal lies, and the key file made on \
              first start.",
    },
    Setting {
        key: "dev",
        default: "false",
        accepted: "true or false",
        doc: "For a developer's machine: endpoints may have http URLs and loopback addresses.",
    },
    Setting {
        key: "rabbitmq.urls",
        default: "",
        accepted: "amqp:// or amqps:// URLs, as a list or with commas between them, or nothing",
        doc: "Nodes of the RabbitMQ cluster, tried in turn. Without any there is no broker: events \
              come in over HTTP, and what waits is kept in the SQLite file.",
    },
    Setting {
        key: "rabbitmq.prefix",
        default: "posthaste",
        accepted: "1 to 64 letters, digits, `-`, `_` and `.`, not beginning with `amq.`",
        doc: "What the name of every exchange and queue begins with.",
    },
    Setting {
        key: "rabbitmq.prefetch",
        default: "1000",
        accepted: "1 to 2000",
        doc: "Events that one router may hold unacknowledged (quorum queues allow no more than \
              2000).",
    },
    Setting {
        key: "rabbitmq.results",
        default: "false",
        accepted: "true or false",
        doc: "Whether the outcome of each delivery is published to `<prefix>.results` for \
              producers.",
    },
    Setting {
        key: "storage.postgres",
        default: "",
        accepted: "a postgres:// URL with a database, as postgres://user:password@host:5432/posthaste, or nothing",
        doc: "The PostgreSQL database with catalogue and journal, which several routers may share; none means the \
              SQLite file in data_dir. It wants rabbitmq.urls: without a broker, what waits is kept in the file.",
    },
    Setting {
        key: "encryption.keys",
        default: "",
        accepted: "`id:file:/path` or `id:env:NAME`, as a list or with commas between them; ids \
                   are numbers, each used once",
        doc: "Keys that seal endpoints' secrets: all open, the first seals; none means the file \
              secret.key in data_dir, made with mode 0600 on first start.",
    },
    Setting {
        key: "egress.allow_http",
        default: "false",
        accepted: "true or false",
        doc: "Whether endpoints may have http URLs; https is always accepted.",
    },
    Setting {
        key: "egress.allow_cidrs",
        default: "",
        accepted: "address ranges as 10.1.0.0/16 or fd00::/8, as a list or with commas between \
                   them",
        doc: "Ranges that endpoints may lie in although the built-in rules forbid them.",
    },
    Setting {
        key: "egress.deny_cidrs",
        default: "",
        accepted: "address ranges as 10.1.0.0/16 or fd00::/8, as a list or with commas between \
                   them",
        doc: "Ranges that are never called, also when egress.allow_cidrs has them.",
    },
    Setting {
        key: "egress.user_agent",
        default: concat!("posthaste/", env!("CARGO_PKG_VERSION")),
        accepted: "1 to 256 printable ASCII characters",
        doc: "The user-agent header of every request.",
    },
    Setting {
        key: "delivery.svix_headers",
        default: "false",
        accepted: "true or false",
        doc: "Whether each request carries svix-id, svix-timestamp and svix-signature too, with the \
              values of webhook-id, webhook-timestamp and webhook-signature: for receivers that verify \
              by those names.",
    },
    Setting {
        key: "delivery.allow_unsigned",
        default: "false",
        accepted: "true or false",
        doc: "Whether endpoints may have requests without a signature (`signing.scheme` none); an endpoint \
              that says so where it is not allowed gets signed ones.",
    },
    Setting {
        key: "limits.max_payload_bytes",
        default: "1048576",
        accepted: "1024 to 16777216",
        doc: "Largest payload that is accepted; larger ones are refused, or quarantined when they come from the broker.",
    },
    Setting {
        key: "limits.max_in_flight",
        default: "1024",
        accepted: "1 to 65536",
        doc: "Requests on the way at the same time, over all endpoints of one router.",
    },
    Setting {
        key: "limits.max_in_flight_per_host",
        default: "256",
        accepted: "1 to 65536",
        doc: "Those of them that may be to one host, over all endpoints and tenants: a quarter of all, and \
              eight endpoints' worth, so that many endpoints at one host neither overrun it nor keep \
              everybody else out.",
    },
    Setting {
        key: "limits.max_deliveries_in_memory",
        default: "20000",
        accepted: "100 to 1000000",
        doc: "Deliveries that one router keeps in memory; beyond it, it takes no more from its inbox.",
    },
    Setting {
        key: "limits.max_payload_bytes_in_memory",
        default: "268435456",
        accepted: "16777216 to 1099511627776",
        doc: "Bytes of the payloads of those deliveries; beyond it, it takes no more from its inbox.",
    },
    Setting {
        key: "limits.escrow_after_ms",
        default: "2000",
        accepted: "100 to 60000, milliseconds",
        doc: "How long an event may stay unacknowledged because of its endpoints: what is still on its way or in line by \
              then is put on record as held by the router, and the event is acknowledged.",
    },
    Setting {
        key: "api.listen",
        default: "127.0.0.1:8071",
        accepted: "an address and a port, as 127.0.0.1:8071 or [::]:8071",
        doc: "Where the HTTP API is served.",
    },
    Setting {
        key: "api.public_url",
        default: "",
        accepted: "an http or https URL without query, as https://hooks.example.com, or nothing",
        doc: "What tenants reach this server by: links for them begin with it; none means \
              http:// and the address of api.listen.",
    },
    Setting {
        key: "api.token_key",
        default: "",
        accepted: "`file:/path` or `env:NAME`, or nothing",
        doc: "The key that API tokens are signed with, 32 bytes in base64; none means the file \
              token.key in data_dir, made with mode 0600 on first start.",
    },
    Setting {
        key: "api.requests_per_second",
        default: "200",
        accepted: "0 to 65535; 0 for no limit",
        doc: "Requests that one organisation or application may make per second through one router, and one \
              session of the pages, and twice as many at once; publishing is not counted.",
    },
    Setting {
        key: "portal.name",
        default: "posthaste",
        accepted: "some text",
        doc: "What the tenants' portal and the operators' console are called on their pages.",
    },
    Setting {
        key: "portal.embed_origins",
        default: "",
        accepted: "origins as https://app.example.com, as a list or with commas between them, or nothing",
        doc: "Sites that may show the tenants' portal in a frame; none may show the console.",
    },
    Setting {
        key: "portal.accent",
        default: "",
        accepted: "a colour as #1d4f8f, or nothing",
        doc: "The colour of links and buttons in the tenants' portal; made darker or lighter where it could not \
              be read.",
    },
    Setting {
        key: "portal.logo",
        default: "",
        accepted: "a PNG file of at most 64 KiB, or nothing",
        doc: "The logo of the tenants' portal, shown 24 pixels high; read at start.",
    },
    Setting {
        key: "operator.application",
        default: "",
        accepted: "the id or uid of an application of the default organisation, or nothing",
        doc: "Where operators are told of endpoints that are disabled or failing and of deliveries that \
              are given up, failing or recovered: each is an event of this application.",
    },
    Setting {
        key: "endpoints.disable_after_days",
        default: "5",
        accepted: "0 to 365; 0 is never",
        doc: "How long an endpoint may do nothing but fail (twenty attempts at least) before it is \
              disabled; its owner's operator is warned behind an hour.",
    },
    Setting {
        key: "retention.events_days",
        default: "30",
        accepted: "1 to 3650",
        doc: "How long finished events are kept, with payloads, deliveries and attempts; within this \
              time an event that is published again is recognised.",
    },
    Setting {
        key: "retention.dead_letters_days",
        default: "90",
        accepted: "1 to 3650",
        doc: "How long dead letters are kept, from when they were given up.",
    },
    Setting {
        key: "admin.listen",
        default: "127.0.0.1:9464",
        accepted: "an address and a port, as 127.0.0.1:9464 or [::]:9464",
        doc: "Where metrics and probes are served; keep it off public networks.",
    },
    Setting {
        key: "log.format",
        default: "text",
        accepted: "text or json",
        doc: "Log lines for people or for programs.",
    },
    Setting {
        key: "log.filter",
        default: "info",
        accepted: "directives as `info` or `warn,posthaste::pipeline=debug`",
        doc: "Which log lines are written.",
    },
    Setting {
        key: "shutdown.grace_ms",
        default: "30000",
        accepted: "0 to 600000",
        doc: "How long requests on the way may take to end after a stop was asked for.",
    },
];
