-- Organisations, and what owners keep with their things.
--
-- What was there before is the default organisation's: org_23rb8YdGqMT0qIzpgGwdXfHirMu.

ALTER TABLE applications ADD COLUMN organisation BLOB NOT NULL
    DEFAULT x'0e742e11ccb09c5d83318eb6a87fb7b67d1ddab0';
ALTER TABLE applications ADD COLUMN throttle_rate INTEGER;
ALTER TABLE applications ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'; -- JSON
DROP INDEX applications_uid;
CREATE UNIQUE INDEX applications_uid ON applications (organisation, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX applications_of ON applications (organisation, id) WHERE deleted_at IS NULL;

ALTER TABLE endpoints ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE endpoints ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'; -- JSON
DROP INDEX endpoints_of;
CREATE INDEX endpoints_of ON endpoints (application, id) WHERE deleted_at IS NULL;

CREATE TABLE listed_event_types (
    organisation BLOB    NOT NULL,
    name         TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    archived     INTEGER NOT NULL,
    deprecated   INTEGER NOT NULL,
    schemas      TEXT, -- JSON
    feature_flag TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (organisation, name)
) STRICT, WITHOUT ROWID;
INSERT INTO listed_event_types
    SELECT x'0e742e11ccb09c5d83318eb6a87fb7b67d1ddab0', name, description, 0, 0, NULL, NULL,
           created_at, updated_at
    FROM event_types;
DROP TABLE event_types;
ALTER TABLE listed_event_types RENAME TO event_types;

ALTER TABLE endpoints ADD COLUMN channels TEXT NOT NULL DEFAULT '[]'; -- JSON
ALTER TABLE endpoints ADD COLUMN disabled_because TEXT;               -- asked, gone, failing
ALTER TABLE endpoints ADD COLUMN auth BLOB;                           -- JSON, sealed
UPDATE endpoints SET disabled_because = 'asked' WHERE state = 'disabled';
ALTER TABLE endpoint_keys ADD COLUMN scheme TEXT NOT NULL DEFAULT 'v1'; -- v1, v1a

-- Events, with channels in front of the payload: what stands behind it costs reading it. An empty
-- payload is one that was expunged; no event has one.
CREATE TABLE events_with_channels (
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
    channels     TEXT, -- JSON; NULL: none
    payload      BLOB    NOT NULL
) STRICT;
INSERT INTO events_with_channels
    SELECT seq, id, application, type, event_id, subject, occurred_at, received_at, deliver_at,
           expires_at, content_type, traceparent, NULL, payload
    FROM events;
DROP TABLE events;
ALTER TABLE events_with_channels RENAME TO events;
CREATE INDEX events_of ON events (application, seq);

-- What tenants look through: an endpoint's deliveries by event, and its attempts by time (ids grow).
CREATE INDEX deliveries_to ON deliveries (endpoint, event);
-- The attempts anew, with by_hand in front of the response: what stands behind it costs reading it.
CREATE TABLE attempts_by_hand_too (
    event       INTEGER NOT NULL, -- events.seq
    endpoint    BLOB    NOT NULL,
    id          BLOB    NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    by_hand     INTEGER NOT NULL DEFAULT 0, -- 1: a person asked for it
    url         TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    response    BLOB    NOT NULL,
    PRIMARY KEY (event, endpoint, id)
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_by_hand_too
    SELECT event, endpoint, id, number, started_at, duration_ms, outcome, status, 0, url, detail,
           response
    FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_by_hand_too RENAME TO attempts;
CREATE INDEX attempts_at ON attempts (endpoint, id);

-- Endpoints that have failed since their last success, and since when.
CREATE TABLE failing (
    endpoint  BLOB    NOT NULL PRIMARY KEY,
    since     INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    warned_at INTEGER
) STRICT, WITHOUT ROWID;

-- What operators are to be told of and were not yet: each becomes an event of theirs.
CREATE TABLE tidings (
    seq         INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL, -- endpoint.disabled, message.attempt.exhausted, …
    application BLOB    NOT NULL, -- whom it is about
    endpoint    BLOB    NOT NULL,
    event       BLOB,             -- events.id
    details     TEXT    NOT NULL, -- JSON
    at          INTEGER NOT NULL
) STRICT;

-- Work on many deliveries that goes on behind the answer: recover, replay what was missed.
CREATE TABLE tasks (
    id          BLOB    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL, -- endpoint.recover, endpoint.replay
    application BLOB    NOT NULL,
    endpoint    BLOB    NOT NULL,
    since       INTEGER NOT NULL,
    until       INTEGER,
    place       INTEGER NOT NULL, -- events.seq: done up to here
    last        INTEGER NOT NULL, -- events.seq: not beyond this
    moved       INTEGER NOT NULL, -- deliveries offered so far
    state       TEXT    NOT NULL, -- running, finished, failed
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_running ON tasks (id) WHERE state = 'running';

-- Attempts that people have asked for and that were not made yet. Numbers are never used again: who
-- comes late with an old one must not take another's away.
CREATE TABLE resends (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    event    INTEGER NOT NULL, -- events.seq
    endpoint BLOB    NOT NULL,
    due_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX resends_due ON resends (due_at);
CREATE UNIQUE INDEX resends_of ON resends (event, endpoint); -- asked for twice is one attempt

-- Which version of the catalogue each router has adopted, and when it last said so.
CREATE TABLE routers (
    id      BLOB    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What requests with an idempotency key were answered, to be answered again.
CREATE TABLE answers (
    key     BLOB    NOT NULL PRIMARY KEY, -- hash of caller, method, path and key
    request BLOB    NOT NULL,             -- hash of the body
    status  INTEGER NOT NULL,
    body    BLOB    NOT NULL,             -- sealed
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers (at);

-- Who did what: begun before it is done, ended with its status.
CREATE TABLE audit (
    seq          INTEGER PRIMARY KEY,
    organisation BLOB    NOT NULL,
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    object       TEXT    NOT NULL,
    status       INTEGER -- NULL: not ended, or we ended before it did
) STRICT;
CREATE INDEX audit_of ON audit (organisation, seq);
