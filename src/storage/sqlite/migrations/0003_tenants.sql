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
