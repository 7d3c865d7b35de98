//! The database of a router that runs, opened beside it as the command line does.

use std::sync::Arc;

use posthaste::domain::application::Tenant;
use posthaste::domain::delivery::DeliveryKey;
use posthaste::domain::id::{EndpointId, EventId, OrganisationId};
use posthaste::storage::catalogue::Catalogue as _;
use posthaste::storage::journal::Ledger as _;
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::sqlite;
use posthaste::storage::vault::Vault;
use secrecy::SecretBox;

use super::clock;
use super::router::Posthaste;

/// The database, and the application `acme` in it. Secrets cannot be read with the key it has.
pub(crate) struct Store {
    tables: Sql,
    tenant: Tenant,
    path: std::path::PathBuf,
}

impl Store {
    /// The database of this data folder.
    pub(crate) async fn of(posthaste: &Posthaste) -> Self {
        let path = posthaste.folder().join("posthaste.db");
        let key = SecretBox::new(Box::new([7; 32]));
        let vault = Arc::new(Vault::new(vec![(1, key)]).expect("a keyring"));
        let settings = Settings::Sqlite(sqlite::Settings { path: path.clone() });
        let store = Sql::open(&settings, vault).expect("opens");
        let found = store.application(OrganisationId::DEFAULT, &"acme".into()).await;
        let tenant = found.expect("read").expect("it is there").tenant();
        Self { tables: store, tenant, path }
    }

    /// Asks for an attempt of an event, by the id that its requests have.
    pub(crate) async fn resend(&self, event: &str, endpoint: &str) {
        let key = DeliveryKey {
            event: event.parse::<EventId>().expect("an event's id"),
            endpoint: endpoint.parse().expect("an endpoint's id"),
        };
        let asked = self.tables.resend(self.tenant, key, clock()).await;
        assert_eq!(asked, Ok(true), "{event} to {endpoint}");
    }

    /// When the last attempt at an endpoint began that went to a URL with this end, in milliseconds since
    /// the epoch; 0 when there was none.
    pub(crate) fn last_attempt(&self, endpoint: &str, url: &str) -> u64 {
        let id: EndpointId = endpoint.parse().expect("an endpoint's id");
        let connection = rusqlite::Connection::open(&self.path).expect("opens");
        let sql = "SELECT coalesce(max(started_at), 0) FROM attempts \
                   WHERE endpoint = ?1 AND url LIKE '%' || ?2";
        let values = rusqlite::params![id.as_bytes().as_slice(), url];
        let at: i64 = connection.query_row(sql, values, |row| row.get(0)).expect(sql);
        u64::try_from(at).expect("after 1970")
    }

    /// When each attempt at an endpoint began, in milliseconds since the epoch, the first first.
    pub(crate) fn attempts_began(&self, endpoint: &str) -> Vec<u64> {
        let id: EndpointId = endpoint.parse().expect("an endpoint's id");
        let connection = rusqlite::Connection::open(&self.path).expect("opens");
        let sql = "SELECT started_at FROM attempts WHERE endpoint = ?1 ORDER BY started_at";
        let mut find = connection.prepare(sql).expect(sql);
        let values = rusqlite::params![id.as_bytes().as_slice()];
        let rows = find.query_map(values, |row| row.get::<_, i64>(0)).expect(sql);
        rows.map(|at| u64::try_from(at.expect("read")).expect("after 1970")).collect()
    }

    /// Changes something that nobody else would.
    pub(crate) fn change(&self, sql: &str) {
        let connection = rusqlite::Connection::open(&self.path).expect("opens");
        connection.execute(sql, []).expect(sql);
    }

    /// One number that the database knows.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(&self.path).expect("opens");
        connection.query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}
