-- The first shape of the file.
--
-- Ids are their 20 bytes, times are milliseconds since 1970 (UTC), and every word below means what it
-- means in the program. No foreign keys: each would be one more look-up per row on the hot path, and
-- what they would guard is written in one transaction by one writer.
--
-- deliveries.state    0 pending, 1 waiting, 2 delivered, 3 dead, 4 cancelled   (below 2: unfinished)
-- deliveries.held_by  0 router, 1 ladder, 2 journal                            (of what waits)

-- Journal ------------------------------------------------------------------------------------------

-- seq is the order of acceptance. Rows that point at an event name its seq: they are appended where
-- the last ones were, instead of all over the tree as a hash would have it.
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE,
    application  BLOB    NOT NULL,
    type         TEXT    NOT NULL,
    event_id     TEXT,
    subject      TEXT,
    occurred_at  INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    deliver_at   INTEGER,
    expires_at   INTEGER,
    content_type TEXT,
    traceparent  TEXT,
    payload      BLOB    NOT NULL -- last: the other columns are read without it
) STRICT;

CREATE TABLE deliveries (
    event    INTEGER NOT NULL, -- events.seq
    endpoint BLOB    NOT NULL,
    turn     INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    held_by  INTEGER,
    due_at   INTEGER,
    PRIMARY KEY (event, endpoint),
    CHECK ((state = 1) = (held_by IS NOT NULL) AND (state = 1) = (due_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- What waits, by who holds it and from when on somebody else may claim it.
CREATE INDEX deliveries_waiting ON deliveries (held_by, due_at) WHERE state = 1;
-- What was never settled, oldest first. In and out within milliseconds, at the ends of the tree.
CREATE INDEX deliveries_pending ON deliveries (event) WHERE state = 0;
-- What an endpoint is owed and has not got. What is finished, nearly everything, is not in it.
CREATE INDEX deliveries_unfinished ON deliveries (endpoint) WHERE state < 2;

CREATE TABLE attempts (
    event       INTEGER NOT NULL, -- events.seq
    endpoint    BLOB    NOT NULL,
    id          BLOB    NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    url         TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    response    BLOB    NOT NULL,
    PRIMARY KEY (event, endpoint, id)
) STRICT, WITHOUT ROWID;

-- A copy of what people filter and look at, so that browsing joins nothing.
CREATE TABLE dead_letters (
    seq           INTEGER PRIMARY KEY,
    id            BLOB    NOT NULL UNIQUE,
    event         INTEGER NOT NULL, -- events.seq
    event_id      BLOB    NOT NULL, -- events.id
    endpoint      BLOB    NOT NULL,
    application   BLOB    NOT NULL,
    event_type    TEXT    NOT NULL,
    subject       TEXT,
    reason        TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    last_status   INTEGER NOT NULL,
    last_outcome  TEXT    NOT NULL,
    last_detail   TEXT    NOT NULL,
    payload_bytes INTEGER NOT NULL,
    died_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX dead_letters_by_time ON dead_letters (died_at);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (endpoint, died_at);
CREATE INDEX dead_letters_by_application ON dead_letters (application, died_at);

-- One row: moved in the same transaction as every change of a delivery's state, so that a scrape
-- counts nothing.
CREATE TABLE books (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    owed      INTEGER NOT NULL,
    pending   INTEGER NOT NULL,
    waiting   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    cancelled INTEGER NOT NULL
) STRICT;
INSERT INTO books VALUES (1, 0, 0, 0, 0, 0, 0);

-- Catalogue ----------------------------------------------------------------------------------------

-- One row: grows with each edit, by whichever process.
CREATE TABLE catalogue (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO catalogue VALUES (1, 0);

CREATE TABLE applications (
    id         BLOB    NOT NULL PRIMARY KEY,
    uid        TEXT,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX applications_uid ON applications (uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE event_types (
    name        TEXT    NOT NULL PRIMARY KEY,
    description TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    id            BLOB    NOT NULL PRIMARY KEY,
    application   BLOB    NOT NULL,
    uid           TEXT,
    description   TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    filter        TEXT    NOT NULL, -- JSON
    state         TEXT    NOT NULL,
    throttle_rate INTEGER,
    policy        TEXT    NOT NULL, -- JSON
    headers       BLOB,             -- JSON, sealed: they can hold credentials. NULL: none
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX endpoints_of ON endpoints (application) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX endpoints_uid ON endpoints (application, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;

-- Signing keys, newest first.
CREATE TABLE endpoint_keys (
    endpoint   BLOB    NOT NULL,
    position   INTEGER NOT NULL,
    key        BLOB    NOT NULL, -- sealed
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (endpoint, position)
) STRICT, WITHOUT ROWID;
