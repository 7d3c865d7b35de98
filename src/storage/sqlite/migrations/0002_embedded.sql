-- What the file needs to be inbox and ladder as well, and to be kept from growing for ever.

-- Events that were published and are not routed yet, by events.seq: what ingest has still to take.
CREATE TABLE inbox (
    event INTEGER NOT NULL PRIMARY KEY
) STRICT;

-- Events that nobody can route (their application is gone), with the reason. They owe nothing.
CREATE TABLE quarantine (
    event  INTEGER NOT NULL PRIMARY KEY, -- events.seq
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- What requests with an idempotency key published, where the event's own id does not tell: so that a
-- request that is repeated is told from another that uses its event id again.
CREATE TABLE requests (
    key   BLOB    NOT NULL PRIMARY KEY, -- hash of application and key
    event INTEGER NOT NULL,             -- events.seq
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_time ON requests (at);

-- Dead letters that were put away for good.
ALTER TABLE books ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;

-- One row at most, for a moment: written to see whether there is room, when a write has failed.
CREATE TABLE room (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    filler BLOB    NOT NULL
) STRICT;
