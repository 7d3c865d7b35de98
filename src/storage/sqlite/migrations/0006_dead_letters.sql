-- Dead letters as those look for them who look after them, and attempts as they want to see them.

-- How many dead letters of a kind there are: for one endpoint, for one reason, with one last status and one
-- last outcome. A row for each kind that there is; its number is in each of its dead letters. Counted by the
-- triggers below, so that whoever lays one down or lifts one counts, whether they know of it or not.
CREATE TABLE dead_letter_groups (
    number       INTEGER PRIMARY KEY,
    organisation BLOB    NOT NULL,
    application  BLOB    NOT NULL,
    endpoint     BLOB    NOT NULL,
    reason       TEXT    NOT NULL,
    last_status  INTEGER NOT NULL,
    last_outcome TEXT    NOT NULL,
    letters      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dead_letter_groups_by_endpoint
    ON dead_letter_groups (endpoint, application, reason, last_status, last_outcome);
-- Largest last: what an operator wants to see first is at the end.
CREATE INDEX dead_letter_groups_of_organisation ON dead_letter_groups (organisation, letters);
CREATE INDEX dead_letter_groups_of_application ON dead_letter_groups (application, letters);

-- Whether a name led inside or nowhere is nothing that its tenant is told (domain::dead_letter::told).
UPDATE dead_letters SET last_outcome = 'dns' WHERE last_outcome = 'target_not_allowed';
INSERT INTO dead_letter_groups (organisation, application, endpoint, reason, last_status, last_outcome, letters)
    SELECT coalesce(a.organisation, x'0e742e11ccb09c5d83318eb6a87fb7b67d1ddab0'),
           d.application, d.endpoint, d.reason, d.last_status, d.last_outcome, count(*)
    FROM dead_letters d LEFT JOIN applications a ON a.id = d.application
    GROUP BY d.endpoint, d.application, d.reason, d.last_status, d.last_outcome;

-- Numbers are never used again: a replay is about those up to one of them, also when that one has gone.
CREATE TABLE dead_letters_by_kind (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB    NOT NULL UNIQUE,
    event         INTEGER NOT NULL, -- events.seq
    event_id      BLOB    NOT NULL, -- events.id
    endpoint      BLOB    NOT NULL,
    application   BLOB    NOT NULL,
    organisation  BLOB    NOT NULL,
    kind          INTEGER NOT NULL, -- dead_letter_groups.number
    event_type    TEXT    NOT NULL,
    producer_id   TEXT,             -- events.event_id
    subject       TEXT,
    reason        TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    last_status   INTEGER NOT NULL,
    last_outcome  TEXT    NOT NULL, -- as its tenant is told it
    last_detail   TEXT    NOT NULL,
    payload_bytes INTEGER NOT NULL,
    died_at       INTEGER NOT NULL,
    expires_at    INTEGER           -- events.expires_at
) STRICT;
INSERT INTO dead_letters_by_kind
    SELECT d.seq, d.id, d.event, d.event_id, d.endpoint, d.application, g.organisation, g.number,
           d.event_type, e.event_id, d.subject, d.reason, d.attempts, d.last_status, d.last_outcome, d.last_detail,
           d.payload_bytes, d.died_at, e.expires_at
    FROM dead_letters d JOIN dead_letter_groups g USING (endpoint, application, reason, last_status, last_outcome)
    LEFT JOIN events e ON e.seq = d.event;
DROP TABLE dead_letters;
ALTER TABLE dead_letters_by_kind RENAME TO dead_letters;

-- Every list is newest first, so the moment stands at the end of each; seq, behind it, tells those of one
-- moment apart.
CREATE INDEX dead_letters_by_time ON dead_letters (died_at);
CREATE INDEX dead_letters_by_organisation ON dead_letters (organisation, died_at);
CREATE INDEX dead_letters_by_application ON dead_letters (application, died_at);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (endpoint, died_at);
-- By reason, status and error: the few kinds that match are walked together.
CREATE INDEX dead_letters_of_kind ON dead_letters (kind, died_at);
CREATE INDEX dead_letters_by_type ON dead_letters (application, event_type, died_at);
CREATE INDEX dead_letters_about ON dead_letters (organisation, subject, application, died_at)
    WHERE subject IS NOT NULL;

CREATE TRIGGER dead_letter_laid_down AFTER INSERT ON dead_letters BEGIN
    UPDATE dead_letter_groups SET letters = letters + 1 WHERE number = NEW.kind;
END;
CREATE TRIGGER dead_letter_lifted AFTER DELETE ON dead_letters BEGIN
    UPDATE dead_letter_groups SET letters = letters - 1 WHERE number = OLD.kind;
    DELETE FROM dead_letter_groups WHERE number = OLD.kind AND letters = 0;
END;

-- The names of headers with what is the same in many requests, each form once, as the policies are. What an
-- endpoint has set for itself has its name alone in it.
CREATE TABLE header_forms (
    number INTEGER PRIMARY KEY, -- derived from what it says
    form   TEXT    NOT NULL     -- JSON
) STRICT;

-- The attempts anew, with what is known of their requests in front of the response: what stands behind it
-- costs reading it.
CREATE TABLE attempts_by_phase (
    event         INTEGER NOT NULL, -- events.seq
    endpoint      BLOB    NOT NULL,
    id            BLOB    NOT NULL,
    number        INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,
    dns_ms        INTEGER, -- NULL here and in the next three: it did not go through that, or did not come to it
    connect_ms    INTEGER,
    tls_ms        INTEGER,
    first_byte_ms INTEGER,
    outcome       TEXT    NOT NULL,
    status        INTEGER NOT NULL,
    by_hand       INTEGER NOT NULL DEFAULT 0, -- 1: a person asked for it
    form          INTEGER, -- header_forms.number
    varied        TEXT,    -- values of headers that are its own, each on a line
    url           TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    response      BLOB    NOT NULL,
    PRIMARY KEY (event, endpoint, id)
) STRICT, WITHOUT ROWID;
INSERT INTO attempts_by_phase
    SELECT event, endpoint, id, number, started_at, duration_ms, NULL, NULL, NULL, NULL, outcome, status,
           by_hand, NULL, NULL, url, detail, response
    FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_by_phase RENAME TO attempts;
CREATE INDEX attempts_at ON attempts (endpoint, id);
