-- What platforms need: settings by application, URLs that events name, and deliveries that end otherwise.
--
-- deliveries.state    5 dropped, 6 unknown    (beside those of the first step)

-- What an application has set for all that it sends. Its signing keys are in endpoint_keys, under an id
-- that is derived from its own.
CREATE TABLE settings (
    application      BLOB    NOT NULL PRIMARY KEY,
    default_url      TEXT,
    default_id       BLOB    NOT NULL, -- whom is owed what goes there: derived from the application
    default_url_when TEXT    NOT NULL, -- no_match, no_override
    delivery         TEXT    NOT NULL, -- on, hold, off
    policy           TEXT    NOT NULL, -- JSON
    schema_mode      TEXT    NOT NULL, -- off, warn, enforce
    attributes       TEXT    NOT NULL, -- JSON
    updated_at       INTEGER,
    revision         INTEGER NOT NULL DEFAULT 0 -- counts its writes: nobody writes over what they have not read
) STRICT, WITHOUT ROWID;

-- What an endpoint says of its policy itself. Until here it was always the whole of it, and what is as the
-- defaults have it was most likely nobody's word: it is the application's to say now.
UPDATE endpoints SET policy = json_remove(policy, '$.timeoutMs')
    WHERE json_extract(policy, '$.timeoutMs') = 15000;
UPDATE endpoints SET policy = json_remove(policy, '$.maxInFlight')
    WHERE json_extract(policy, '$.maxInFlight') = 32;
UPDATE endpoints SET policy = json_remove(policy, '$.retry')
    WHERE json_extract(policy, '$.retry') = json('{"kind":"schedule","delaysMs":[5000,300000,1800000,7200000,18000000,36000000,50400000,72000000,86400000],"jitter":0.2}');

-- Applications that let their deliveries go on, until all that they held back is offered.
CREATE TABLE recalls (
    application BLOB    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL -- of the catalogue, at the edit
) STRICT, WITHOUT ROWID;

-- Every policy that an attempt was made by, whole. Few: one for each way that somebody wants to be called.
CREATE TABLE policies (
    version INTEGER PRIMARY KEY, -- derived from what it says
    policy  TEXT    NOT NULL     -- JSON
) STRICT;

-- Events, with what is new in front of the payload: what stands behind it costs reading it.
CREATE TABLE events_with_urls (
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
    webhook_url  TEXT, -- a URL that the event names for itself
    webhook_mode TEXT, -- override, add
    attributes   TEXT, -- JSON, of a CloudEvent; NULL: none
    payload      BLOB    NOT NULL
) STRICT;
INSERT INTO events_with_urls
    SELECT seq, id, application, type, event_id, subject, occurred_at, received_at, deliver_at,
           expires_at, content_type, traceparent, channels, NULL, NULL, NULL, payload
    FROM events;
DROP TABLE events;
ALTER TABLE events_with_urls RENAME TO events;
CREATE INDEX events_of ON events (application, seq);
-- What happened to a job: its id is the subject.
CREATE INDEX events_about ON events (application, subject, seq) WHERE subject IS NOT NULL;

-- Deliveries, with two more ways to end and the policy of the last attempt.
CREATE TABLE deliveries_by_policy (
    event    INTEGER NOT NULL, -- events.seq
    endpoint BLOB    NOT NULL,
    turn     INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
    held_by  INTEGER,
    due_at   INTEGER,
    policy   INTEGER, -- policies.version; NULL: never attempted
    PRIMARY KEY (event, endpoint),
    CHECK ((state = 1) = (held_by IS NOT NULL) AND (state = 1) = (due_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO deliveries_by_policy
    SELECT event, endpoint, turn, attempts, state, held_by, due_at, NULL FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_by_policy RENAME TO deliveries;
CREATE INDEX deliveries_waiting ON deliveries (held_by, due_at) WHERE state = 1;
CREATE INDEX deliveries_pending ON deliveries (event) WHERE state = 0;
CREATE INDEX deliveries_unfinished ON deliveries (endpoint) WHERE state < 2;
CREATE INDEX deliveries_to ON deliveries (endpoint, event);

ALTER TABLE books ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;

-- Targets for development: at most one for each application, recognised by the hash of its token.
CREATE TABLE inspectors (
    application BLOB    NOT NULL PRIMARY KEY,
    token_hash  BLOB    NOT NULL UNIQUE,
    token       BLOB    NOT NULL, -- sealed, to be shown again
    made_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What has come to them, the last of each and for a day.
CREATE TABLE inspected (
    seq         INTEGER PRIMARY KEY,
    application BLOB    NOT NULL,
    id          BLOB    NOT NULL,
    at          INTEGER NOT NULL,
    method      TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    headers     TEXT    NOT NULL, -- JSON, credentials masked
    truncated   INTEGER NOT NULL,
    body        BLOB    NOT NULL
) STRICT;
CREATE INDEX inspected_at ON inspected (application, seq);
CREATE INDEX inspected_by_age ON inspected (at);
