-- Replays: deliveries that are offered again, by a filter and at a rate, and which of them offered what.

-- Numbers are never used again: a delivery remembers by which of them it was last offered, also when that
-- one is forgotten.
CREATE TABLE replays (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- what deliveries.replay and offers.replay name
    id           BLOB    NOT NULL UNIQUE,
    organisation BLOB    NOT NULL,
    scope        TEXT    NOT NULL, -- dead_letters, given_up, missing, delivered
    application  BLOB,             -- whose, when it is about one's
    endpoint     BLOB,             -- for which, when it is about one's
    filter       TEXT,             -- of dead letters: JSON
    event_type   TEXT,             -- of an endpoint's: a pattern
    since        INTEGER,          -- of an endpoint's: of events received from here on
    until        INTEGER,          -- of an endpoint's: of events received before this
    recipient    BLOB,             -- to this endpoint, and not to those that the deliveries were for
    rate         INTEGER NOT NULL, -- deliveries a second
    state        TEXT    NOT NULL, -- running, paused, finished, cancelled, failed
    because      TEXT,
    place        INTEGER NOT NULL, -- dead_letters.seq or events.seq: done up to here
    last         INTEGER NOT NULL, -- the same: not beyond this
    matched      INTEGER,          -- NULL: nobody counted
    offered      INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    tried        INTEGER NOT NULL DEFAULT 0, -- of the offered ones: the first attempt has ended, or there is none
    judged       INTEGER NOT NULL DEFAULT 0, -- first attempts that ended lately, since it was begun or resumed
    failed       INTEGER NOT NULL DEFAULT 0, -- of these: that failed
    delivered    INTEGER NOT NULL DEFAULT 0,
    dead         INTEGER NOT NULL DEFAULT 0, -- given up once more
    actor        TEXT    NOT NULL,
    reason       TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT;
CREATE INDEX replays_active ON replays (state, organisation) WHERE state IN ('running', 'paused');
CREATE INDEX replays_of ON replays (organisation, id);
CREATE INDEX replays_ended ON replays (ended_at) WHERE ended_at IS NOT NULL;

-- Endpoints that an active replay offers to: nobody else does meanwhile.
CREATE TABLE replay_endpoints (
    endpoint BLOB    NOT NULL PRIMARY KEY,
    replay   INTEGER NOT NULL -- replays.seq
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_endpoints_of ON replay_endpoints (replay);

-- Which replay offered a delivery at which turn.
CREATE TABLE offers (
    event    INTEGER NOT NULL, -- events.seq
    endpoint BLOB    NOT NULL,
    turn     INTEGER NOT NULL,
    replay   INTEGER NOT NULL, -- replays.seq
    at       INTEGER NOT NULL,
    PRIMARY KEY (event, endpoint, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX offers_of ON offers (replay);

-- By which replay a delivery was last offered; NULL: by none.
ALTER TABLE deliveries ADD COLUMN replay INTEGER;
-- What was offered and waits for its first attempt; not what waits for a person (domain: Timestamp::NEVER), for
-- which no replay waits. Of what no replay has offered nothing is in it.
CREATE INDEX deliveries_untried ON deliveries (replay)
    WHERE replay IS NOT NULL AND state = 1 AND attempts = 0 AND due_at < 253402128000000;
-- What the journal holds of live traffic, by when it is due: claimed alone while a router has little room, however
-- much is on offer beside it.
CREATE INDEX deliveries_live ON deliveries (due_at) WHERE state = 1 AND held_by = 2 AND replay IS NULL;
-- What was offered and is taken back before its first attempt has had it: whoever takes it back counts it,
-- whether they know of replays or not.
CREATE TRIGGER offered_taken_back AFTER UPDATE OF state ON deliveries
WHEN NEW.state = 4 AND OLD.state = 1 AND OLD.attempts = 0 AND OLD.replay IS NOT NULL BEGIN
    UPDATE replays SET tried = tried + 1 WHERE seq = OLD.replay;
END;

-- deliveries.state    7 discarded    (beside those of the first and the fourth step). What is on the disk is the
-- same whichever numbers are allowed, so the condition alone is written anew, and not the rows: "Making Other
-- Kinds Of Table Schema Changes" in SQLite's manual. The column above has told other connections to read it.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (state BETWEEN 0 AND 6)', 'CHECK (state BETWEEN 0 AND 7)')
    WHERE type = 'table' AND name = 'deliveries';
PRAGMA writable_schema = RESET;

-- What was begun as a task goes on as a replay, where it was: those that have ended as well, so that who asks
-- for one is answered. They were as fast as could be.
INSERT INTO replays (id, organisation, scope, application, endpoint, since, until, rate, state, place, last,
                     offered, tried, actor, created_at, updated_at, ended_at)
    SELECT t.id, a.organisation,
           CASE t.kind WHEN 'endpoint.recover' THEN 'given_up' ELSE 'missing' END,
           t.application, t.endpoint, t.since, t.until, 1000, t.state, t.place, t.last,
           t.moved, t.moved, 'unknown', t.created_at, t.updated_at,
           CASE t.state WHEN 'running' THEN NULL ELSE t.updated_at END
    FROM tasks t JOIN applications a ON a.id = t.application
    ORDER BY t.id;
-- Several tasks of one endpoint could run beside each other, replays cannot: the first goes on.
UPDATE replays AS r
    SET state = 'failed', ended_at = updated_at,
        because = 'another one was running for its endpoint: begin it once more when that has ended'
    WHERE state = 'running' AND EXISTS (SELECT 1 FROM replays f
                                        WHERE f.endpoint = r.endpoint AND f.state = 'running' AND f.seq < r.seq);
INSERT INTO replay_endpoints
    SELECT endpoint, seq FROM replays WHERE state = 'running' ORDER BY seq;
DROP TABLE tasks;
