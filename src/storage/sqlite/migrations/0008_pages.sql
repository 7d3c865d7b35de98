-- What the pages need: who is let in, and what charts are drawn from.

-- Links that open once, and sessions, by the hash of their secrets.
--
-- application   NULL: an operator's
-- capabilities  the bits of `Capabilities`
-- flags         JSON, a list of texts
CREATE TABLE portal_links (
    hash         BLOB    NOT NULL PRIMARY KEY,
    organisation BLOB    NOT NULL,
    application  BLOB,
    capabilities INTEGER NOT NULL,
    flags        TEXT    NOT NULL,
    label        TEXT,
    expires_at   INTEGER NOT NULL, -- the session's
    until        INTEGER NOT NULL  -- the link's
) STRICT, WITHOUT ROWID;
CREATE INDEX portal_links_until ON portal_links (until);
CREATE INDEX portal_links_of ON portal_links (application);

CREATE TABLE sessions (
    hash         BLOB    NOT NULL PRIMARY KEY,
    organisation BLOB    NOT NULL,
    application  BLOB,
    capabilities INTEGER NOT NULL,
    flags        TEXT    NOT NULL,
    label        TEXT,
    expires_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE INDEX sessions_of ON sessions (application);

-- How many requests ended how, by five minutes, of an endpoint, an application or an organisation: `whose` is its
-- id. d0 to d9: how many took how long (`rollups::DURATIONS_MS`).
CREATE TABLE rollups (
    whose     BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    given_up  INTEGER NOT NULL,
    d0 INTEGER NOT NULL, d1 INTEGER NOT NULL, d2 INTEGER NOT NULL, d3 INTEGER NOT NULL, d4 INTEGER NOT NULL,
    d5 INTEGER NOT NULL, d6 INTEGER NOT NULL, d7 INTEGER NOT NULL, d8 INTEGER NOT NULL, d9 INTEGER NOT NULL,
    PRIMARY KEY (whose, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_at ON rollups (at);
