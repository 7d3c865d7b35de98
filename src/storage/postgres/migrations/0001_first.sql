-- expand: the first shape of the database
--
-- The tables are those of the SQLite file, by the same names, with the same columns; what each is for is said there
-- (`sqlite/migrations`). Numbers and truths are bigint (0 and 1), ids, hashes and payloads bytea; what is compared or
-- ordered is compared as bytes, whatever the database's language. Three things are otherwise:
--
-- The large tables are partitioned by day: events by their seq, deliveries and attempts by their event's. A seq begins
-- with its day, so that all that belongs to one day's events lies in three tables of its own, which go as a whole.
--
-- Whether an id is known, and which seq it has, is asked of event_ids alone, which is not partitioned: a unique index
-- over partitions would have to have their key in it.
--
-- The books are many rows, of which each connection that writes moves one: the account is their sum.

-- What the shared SQL calls by SQLite's names.
CREATE FUNCTION json_each(list text) RETURNS TABLE (value text) LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_array_elements_text(list::jsonb) $$;
CREATE FUNCTION json_remove(document text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (document::jsonb - substr(path, 3))::text $$;
CREATE FUNCTION json_array_length(document text, path text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_array_length(document::jsonb -> substr(path, 3))::bigint $$;
CREATE FUNCTION unhex(digits text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(digits, 'hex') $$;
CREATE FUNCTION instr(whole text, part text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT strpos(whole, part)::bigint $$;

CREATE SEQUENCE event_numbers;

-- The day (since 1970, UTC) by the server's clock, and a number that grows.
CREATE FUNCTION next_event() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp())::bigint / 86400) * 1000000000000
           + nextval('event_numbers') % 1000000000000
$$;

CREATE TABLE event_ids (
    id  bytea  NOT NULL PRIMARY KEY,
    seq bigint NOT NULL
);

CREATE TABLE events (
    seq          bigint NOT NULL DEFAULT next_event() PRIMARY KEY,
    id           bytea  NOT NULL,
    application  bytea  NOT NULL,
    type         text   COLLATE "C" NOT NULL,
    event_id     text   COLLATE "C",
    subject      text   COLLATE "C",
    occurred_at  bigint NOT NULL,
    received_at  bigint NOT NULL,
    deliver_at   bigint,
    expires_at   bigint,
    content_type text   COLLATE "C",
    traceparent  text   COLLATE "C",
    channels     text   COLLATE "C",
    webhook_url  text   COLLATE "C",
    webhook_mode text   COLLATE "C",
    attributes   text   COLLATE "C",
    payload      bytea  NOT NULL
) PARTITION BY RANGE (seq);
CREATE INDEX events_of ON events (application, seq);
CREATE INDEX events_about ON events (application, subject, seq) WHERE subject IS NOT NULL;

-- An event whose id is known already is not written: the statement counts the rows that were.
CREATE FUNCTION know_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO event_ids (id, seq) VALUES (NEW.id, NEW.seq) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER events_known BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION know_event();
CREATE FUNCTION forget_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM event_ids WHERE id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER events_forgotten AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION forget_event();

CREATE TABLE deliveries (
    event    bigint NOT NULL,
    endpoint bytea  NOT NULL,
    turn     bigint NOT NULL,
    attempts bigint NOT NULL,
    state    bigint NOT NULL CHECK (state BETWEEN 0 AND 7),
    held_by  bigint,
    due_at   bigint,
    policy   bigint,
    replay   bigint,
    PRIMARY KEY (event, endpoint),
    CHECK ((state = 1) = (held_by IS NOT NULL) AND (state = 1) = (due_at IS NOT NULL))
) PARTITION BY RANGE (event);
CREATE INDEX deliveries_waiting ON deliveries (held_by, due_at) WHERE state = 1;
CREATE INDEX deliveries_pending ON deliveries (event) WHERE state = 0;
CREATE INDEX deliveries_unfinished ON deliveries (endpoint) WHERE state < 2;
CREATE INDEX deliveries_to ON deliveries (endpoint, event);
CREATE INDEX deliveries_untried ON deliveries (replay)
    WHERE replay IS NOT NULL AND state = 1 AND attempts = 0 AND due_at < 253402128000000;
CREATE INDEX deliveries_live ON deliveries (due_at) WHERE state = 1 AND held_by = 2 AND replay IS NULL;

CREATE TABLE attempts (
    event         bigint NOT NULL,
    endpoint      bytea  NOT NULL,
    id            bytea  NOT NULL,
    number        bigint NOT NULL,
    started_at    bigint NOT NULL,
    duration_ms   bigint NOT NULL,
    dns_ms        bigint,
    connect_ms    bigint,
    tls_ms        bigint,
    first_byte_ms bigint,
    outcome       text   COLLATE "C" NOT NULL,
    status        bigint NOT NULL,
    by_hand       bigint NOT NULL DEFAULT 0,
    form          bigint,
    varied        text   COLLATE "C",
    url           text   COLLATE "C" NOT NULL,
    detail        text   COLLATE "C" NOT NULL,
    response      bytea  NOT NULL,
    PRIMARY KEY (event, endpoint, id)
) PARTITION BY RANGE (event);
CREATE INDEX attempts_at ON attempts (endpoint, id);

-- What no day has room for: nothing is ever refused for want of a partition.
CREATE TABLE events_of_no_day PARTITION OF events DEFAULT;
CREATE TABLE deliveries_of_no_day PARTITION OF deliveries DEFAULT;
CREATE TABLE attempts_of_no_day PARTITION OF attempts DEFAULT;

-- Makes a day's three tables, unless they are there. Made beside the others and then attached, which keeps nobody from
-- reading or writing meanwhile. Where something of that day lies in the tables of no day, it goes on lying there.
CREATE FUNCTION make_day(day bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE part text; made text;
BEGIN
    IF to_regclass('events_' || day) IS NOT NULL THEN RETURN false; END IF;
    FOREACH part IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        made := part || '_' || day;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', made, part);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       part, made, day * 1000000000000, (day + 1) * 1000000000000);
    END LOOP;
    RETURN true;
EXCEPTION WHEN check_violation THEN RETURN false;
END $$;
SELECT make_day(extract(epoch FROM now())::bigint / 86400 + ahead) FROM generate_series(0, 7) AS ahead;

CREATE TABLE dead_letter_groups (
    number       bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    organisation bytea  NOT NULL,
    application  bytea  NOT NULL,
    endpoint     bytea  NOT NULL,
    reason       text   COLLATE "C" NOT NULL,
    last_status  bigint NOT NULL,
    last_outcome text   COLLATE "C" NOT NULL,
    letters      bigint NOT NULL
);
CREATE UNIQUE INDEX dead_letter_groups_by_endpoint
    ON dead_letter_groups (endpoint, application, reason, last_status, last_outcome);
CREATE INDEX dead_letter_groups_of_organisation ON dead_letter_groups (organisation, letters);
CREATE INDEX dead_letter_groups_of_application ON dead_letter_groups (application, letters);

CREATE TABLE dead_letters (
    seq           bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id            bytea  NOT NULL UNIQUE,
    event         bigint NOT NULL,
    event_id      bytea  NOT NULL,
    endpoint      bytea  NOT NULL,
    application   bytea  NOT NULL,
    organisation  bytea  NOT NULL,
    kind          bigint NOT NULL,
    event_type    text   COLLATE "C" NOT NULL,
    producer_id   text   COLLATE "C",
    subject       text   COLLATE "C",
    reason        text   COLLATE "C" NOT NULL,
    attempts      bigint NOT NULL,
    last_status   bigint NOT NULL,
    last_outcome  text   COLLATE "C" NOT NULL,
    last_detail   text   COLLATE "C" NOT NULL,
    payload_bytes bigint NOT NULL,
    died_at       bigint NOT NULL,
    expires_at    bigint
);
CREATE INDEX dead_letters_by_time ON dead_letters (died_at);
CREATE INDEX dead_letters_by_organisation ON dead_letters (organisation, died_at);
CREATE INDEX dead_letters_by_application ON dead_letters (application, died_at);
CREATE INDEX dead_letters_by_endpoint ON dead_letters (endpoint, died_at);
CREATE INDEX dead_letters_of_kind ON dead_letters (kind, died_at);
CREATE INDEX dead_letters_by_type ON dead_letters (application, event_type, died_at);
CREATE INDEX dead_letters_about ON dead_letters (organisation, subject, application, died_at)
    WHERE subject IS NOT NULL;
CREATE INDEX dead_letters_about_event ON dead_letters (event); -- whether a day may go as a whole

CREATE FUNCTION count_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE dead_letter_groups SET letters = letters + 1 WHERE number = NEW.kind;
    RETURN NULL;
END $$;
CREATE TRIGGER dead_letter_laid_down AFTER INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION count_dead_letter();
CREATE FUNCTION uncount_dead_letter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE dead_letter_groups SET letters = letters - 1 WHERE number = OLD.kind;
    DELETE FROM dead_letter_groups WHERE number = OLD.kind AND letters = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER dead_letter_lifted AFTER DELETE ON dead_letters FOR EACH ROW EXECUTE FUNCTION uncount_dead_letter();

CREATE TABLE books (
    one       bigint PRIMARY KEY CHECK (one BETWEEN 1 AND 64),
    owed      bigint NOT NULL DEFAULT 0,
    pending   bigint NOT NULL DEFAULT 0,
    waiting   bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    dead      bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    discarded bigint NOT NULL DEFAULT 0,
    dropped   bigint NOT NULL DEFAULT 0,
    unknown   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10); -- each row in a page of its own: who moves one does not meet who moves another
INSERT INTO books (one) SELECT generate_series(1, 64);

CREATE TABLE catalogue (
    one     bigint PRIMARY KEY CHECK (one = 1),
    version bigint NOT NULL
);
INSERT INTO catalogue VALUES (1, 0);

CREATE TABLE applications (
    id            bytea  NOT NULL PRIMARY KEY,
    uid           text   COLLATE "C",
    name          text   COLLATE "C" NOT NULL,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    deleted_at    bigint,
    organisation  bytea  NOT NULL DEFAULT '\x0e742e11ccb09c5d83318eb6a87fb7b67d1ddab0',
    throttle_rate bigint,
    metadata      text   COLLATE "C" NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX applications_uid ON applications (organisation, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX applications_of ON applications (organisation, id) WHERE deleted_at IS NULL;

CREATE TABLE settings (
    application      bytea  NOT NULL PRIMARY KEY,
    default_url      text   COLLATE "C",
    default_id       bytea  NOT NULL,
    default_url_when text   COLLATE "C" NOT NULL,
    delivery         text   COLLATE "C" NOT NULL,
    policy           text   COLLATE "C" NOT NULL,
    schema_mode      text   COLLATE "C" NOT NULL,
    attributes       text   COLLATE "C" NOT NULL,
    updated_at       bigint,
    revision         bigint NOT NULL DEFAULT 0
);

CREATE TABLE recalls (
    application bytea  NOT NULL PRIMARY KEY,
    version     bigint NOT NULL
);

CREATE TABLE event_types (
    organisation bytea  NOT NULL,
    name         text   COLLATE "C" NOT NULL,
    description  text   COLLATE "C" NOT NULL,
    archived     bigint NOT NULL,
    deprecated   bigint NOT NULL,
    schemas      text   COLLATE "C",
    feature_flag text   COLLATE "C",
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL,
    PRIMARY KEY (organisation, name)
);

CREATE TABLE endpoints (
    id               bytea  NOT NULL PRIMARY KEY,
    application      bytea  NOT NULL,
    uid              text   COLLATE "C",
    description      text   COLLATE "C" NOT NULL,
    url              text   COLLATE "C" NOT NULL,
    filter           text   COLLATE "C" NOT NULL,
    state            text   COLLATE "C" NOT NULL,
    throttle_rate    bigint,
    policy           text   COLLATE "C" NOT NULL,
    headers          bytea,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    deleted_at       bigint,
    version          bigint NOT NULL DEFAULT 1,
    metadata         text   COLLATE "C" NOT NULL DEFAULT '{}',
    channels         text   COLLATE "C" NOT NULL DEFAULT '[]',
    disabled_because text   COLLATE "C",
    auth             bytea
);
CREATE INDEX endpoints_of ON endpoints (application, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX endpoints_uid ON endpoints (application, uid)
    WHERE uid IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE endpoint_keys (
    endpoint   bytea  NOT NULL,
    position   bigint NOT NULL,
    key        bytea  NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    scheme     text   COLLATE "C" NOT NULL DEFAULT 'v1',
    PRIMARY KEY (endpoint, position)
);

CREATE TABLE policies (
    version bigint PRIMARY KEY,
    policy  text   COLLATE "C" NOT NULL
);
CREATE TABLE header_forms (
    number bigint PRIMARY KEY,
    form   text   COLLATE "C" NOT NULL
);

CREATE TABLE failing (
    endpoint  bytea  NOT NULL PRIMARY KEY,
    since     bigint NOT NULL,
    last_at   bigint NOT NULL,
    attempts  bigint NOT NULL,
    warned_at bigint
);

CREATE TABLE tidings (
    seq         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind        text   COLLATE "C" NOT NULL,
    application bytea  NOT NULL,
    endpoint    bytea  NOT NULL,
    event       bytea,
    details     text   COLLATE "C" NOT NULL,
    at          bigint NOT NULL
);

CREATE TABLE resends (
    number   bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    event    bigint NOT NULL,
    endpoint bytea  NOT NULL,
    due_at   bigint NOT NULL
);
CREATE INDEX resends_due ON resends (due_at);
CREATE UNIQUE INDEX resends_of ON resends (event, endpoint);

CREATE TABLE inbox (
    event bigint NOT NULL PRIMARY KEY
);
CREATE TABLE quarantine (
    event  bigint NOT NULL PRIMARY KEY,
    reason text   COLLATE "C" NOT NULL,
    detail text   COLLATE "C" NOT NULL,
    at     bigint NOT NULL
);
CREATE TABLE requests (
    key   bytea  NOT NULL PRIMARY KEY,
    event bigint NOT NULL,
    at    bigint NOT NULL
);
CREATE INDEX requests_by_time ON requests (at);

CREATE TABLE replays (
    seq          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id           bytea  NOT NULL UNIQUE,
    organisation bytea  NOT NULL,
    scope        text   COLLATE "C" NOT NULL,
    application  bytea,
    endpoint     bytea,
    filter       text   COLLATE "C",
    event_type   text   COLLATE "C",
    since        bigint,
    until        bigint,
    recipient    bytea,
    rate         bigint NOT NULL,
    state        text   COLLATE "C" NOT NULL,
    because      text   COLLATE "C",
    place        bigint NOT NULL,
    last         bigint NOT NULL,
    matched      bigint,
    offered      bigint NOT NULL DEFAULT 0,
    skipped      bigint NOT NULL DEFAULT 0,
    tried        bigint NOT NULL DEFAULT 0,
    judged       bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    delivered    bigint NOT NULL DEFAULT 0,
    dead         bigint NOT NULL DEFAULT 0,
    actor        text   COLLATE "C" NOT NULL,
    reason       text   COLLATE "C",
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL,
    ended_at     bigint
);
CREATE INDEX replays_active ON replays (state, organisation) WHERE state IN ('running', 'paused');
CREATE INDEX replays_of ON replays (organisation, id);
CREATE INDEX replays_ended ON replays (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE replay_endpoints (
    endpoint bytea  NOT NULL PRIMARY KEY,
    replay   bigint NOT NULL
);
CREATE INDEX replay_endpoints_of ON replay_endpoints (replay);

CREATE TABLE offers (
    event    bigint NOT NULL,
    endpoint bytea  NOT NULL,
    turn     bigint NOT NULL,
    replay   bigint NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (event, endpoint, turn)
);
CREATE INDEX offers_of ON offers (replay);

CREATE FUNCTION count_taken_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE replays SET tried = tried + 1 WHERE seq = OLD.replay;
    RETURN NULL;
END $$;
CREATE TRIGGER offered_taken_back AFTER UPDATE OF state ON deliveries FOR EACH ROW
    WHEN (NEW.state = 4 AND OLD.state = 1 AND OLD.attempts = 0 AND OLD.replay IS NOT NULL)
    EXECUTE FUNCTION count_taken_back();

-- With the steps that each router's program knows (a setting of its session): which shape it needs.
CREATE TABLE routers (
    id      bytea  NOT NULL PRIMARY KEY,
    version bigint NOT NULL,
    seen_at bigint NOT NULL,
    shape   bigint NOT NULL DEFAULT coalesce(nullif(current_setting('posthaste.shape', true), '')::bigint, 1)
);

CREATE TABLE answers (
    key     bytea  NOT NULL PRIMARY KEY,
    request bytea  NOT NULL,
    status  bigint NOT NULL,
    body    bytea  NOT NULL,
    at      bigint NOT NULL
);
CREATE INDEX answers_by_time ON answers (at);

CREATE TABLE audit (
    seq          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    organisation bytea  NOT NULL,
    at           bigint NOT NULL,
    actor        text   COLLATE "C" NOT NULL,
    action       text   COLLATE "C" NOT NULL,
    object       text   COLLATE "C" NOT NULL,
    status       bigint,
    details      text   COLLATE "C"
);
CREATE INDEX audit_of ON audit (organisation, seq);

CREATE TABLE inspectors (
    application bytea  NOT NULL PRIMARY KEY,
    token_hash  bytea  NOT NULL UNIQUE,
    token       bytea  NOT NULL,
    made_at     bigint NOT NULL
);
CREATE TABLE inspected (
    seq         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    application bytea  NOT NULL,
    id          bytea  NOT NULL,
    at          bigint NOT NULL,
    method      text   COLLATE "C" NOT NULL,
    path        text   COLLATE "C" NOT NULL,
    headers     text   COLLATE "C" NOT NULL,
    truncated   bigint NOT NULL,
    body        bytea  NOT NULL
);
CREATE INDEX inspected_at ON inspected (application, seq);
CREATE INDEX inspected_by_age ON inspected (at);

CREATE TABLE portal_links (
    hash         bytea  NOT NULL PRIMARY KEY,
    organisation bytea  NOT NULL,
    application  bytea,
    capabilities bigint NOT NULL,
    flags        text   COLLATE "C" NOT NULL,
    label        text   COLLATE "C",
    expires_at   bigint NOT NULL,
    until        bigint NOT NULL
);
CREATE INDEX portal_links_until ON portal_links (until);
CREATE INDEX portal_links_of ON portal_links (application);

CREATE TABLE sessions (
    hash         bytea  NOT NULL PRIMARY KEY,
    organisation bytea  NOT NULL,
    application  bytea,
    capabilities bigint NOT NULL,
    flags        text   COLLATE "C" NOT NULL,
    label        text   COLLATE "C",
    expires_at   bigint NOT NULL,
    seen_at      bigint NOT NULL
);
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE INDEX sessions_of ON sessions (application);

CREATE TABLE rollups (
    whose     bytea  NOT NULL,
    at        bigint NOT NULL,
    delivered bigint NOT NULL,
    failed    bigint NOT NULL,
    given_up  bigint NOT NULL,
    d0 bigint NOT NULL, d1 bigint NOT NULL, d2 bigint NOT NULL, d3 bigint NOT NULL, d4 bigint NOT NULL,
    d5 bigint NOT NULL, d6 bigint NOT NULL, d7 bigint NOT NULL, d8 bigint NOT NULL, d9 bigint NOT NULL,
    PRIMARY KEY (whose, at)
);
CREATE INDEX rollups_at ON rollups (at);
