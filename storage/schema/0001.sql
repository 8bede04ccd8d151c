-- Times are epoch milliseconds, UTC. Mobiles are E.164 digits without the plus.

-- One row: the store's own name (new whenever it was made or rebuilt), how far the outbox has gone,
-- and the latest moment it has seen, before which no clock of this board can be right.
CREATE TABLE store (
    store        INTEGER PRIMARY KEY CHECK (store = 1),
    epoch        TEXT    NOT NULL,
    sent         INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    latest       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE devices (
    device    INTEGER PRIMARY KEY,
    device_id TEXT    NOT NULL UNIQUE,
    revision  INTEGER NOT NULL DEFAULT 0, -- the newest revision that spoke of it
    replaced  INTEGER NOT NULL DEFAULT 0  -- the revision of its last completed replace
) STRICT;

-- The ledger: which batches and parts were applied.
CREATE TABLE batches (
    batch      INTEGER PRIMARY KEY,
    batch_id   TEXT    NOT NULL UNIQUE,
    revision   INTEGER NOT NULL UNIQUE,
    parts      INTEGER NOT NULL,
    mode       TEXT    NOT NULL CHECK (mode IN ('merge', 'replace')),
    device_ids TEXT    NOT NULL,
    applied    INTEGER NOT NULL,          -- how many of its parts
    touched_at INTEGER NOT NULL,          -- when the last of them came
    stage      TEXT    NOT NULL CHECK (stage IN ('open', 'incomplete', 'held', 'complete')),
    unnamed    INTEGER NOT NULL           -- rejected rows that name nobody: whom they meant must not be removed
) STRICT;

CREATE TABLE parts (
    batch        INTEGER NOT NULL REFERENCES batches,
    part         INTEGER NOT NULL,
    content      BLOB    NOT NULL,
    applied_at   INTEGER NOT NULL,
    counts       TEXT    NOT NULL,
    first_report INTEGER NOT NULL,        -- its statuses in the outbox; last before first means none
    last_report  INTEGER NOT NULL,
    PRIMARY KEY (batch, part)
) STRICT, WITHOUT ROWID;

-- Users named in a rejected row of a replace: they stay as they were.
CREATE TABLE spared (
    batch  INTEGER NOT NULL REFERENCES batches,
    device INTEGER NOT NULL REFERENCES devices,
    mobile INTEGER NOT NULL,
    PRIMARY KEY (batch, device, mobile)
) STRICT, WITHOUT ROWID;

-- How many users each open replace put on a device: its removals are measured against the list before it.
CREATE TABLE additions (
    batch  INTEGER NOT NULL REFERENCES batches,
    device INTEGER NOT NULL REFERENCES devices,
    added  INTEGER NOT NULL,
    PRIMARY KEY (batch, device)
) STRICT, WITHOUT ROWID;

-- What last spoke of a set of users of one device: one part of one batch. A list that is sent again unchanged moves
-- the origin to the newer batch and leaves its users' rows alone.
CREATE TABLE origins (
    origin     INTEGER PRIMARY KEY,
    device     INTEGER NOT NULL REFERENCES devices,
    batch      INTEGER NOT NULL REFERENCES batches,
    body       BLOB,                      -- the content of the part; NULL where its users come from several
    invited_by TEXT,
    pending    INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    expired    INTEGER NOT NULL,
    gone       INTEGER NOT NULL,
    digest     INTEGER NOT NULL           -- of its users at its batch's revision, tombstones aside; a signed 64-bit word
) STRICT;
CREATE INDEX origins_device ON origins (device);
CREATE INDEX origins_batch ON origins (batch);

-- The allowed-user list. A status of NULL is a tombstone: number and origin only.
CREATE TABLE users (
    device     INTEGER NOT NULL REFERENCES devices,
    mobile     INTEGER NOT NULL,
    origin     INTEGER NOT NULL REFERENCES origins,
    changed_at INTEGER NOT NULL,
    status     TEXT CHECK (status IN ('Pending', 'Active', 'Expired')),
    accepted   INTEGER NOT NULL,
    permission TEXT,                      -- NULL on an intercom
    starts_at  INTEGER,
    ends_at    INTEGER,
    schedule   TEXT,
    name       TEXT,
    notes      TEXT,
    units      TEXT,
    wifi       INTEGER NOT NULL,
    deadline   INTEGER,                   -- when the status ends by itself
    PRIMARY KEY (device, mobile)
) STRICT, WITHOUT ROWID;
CREATE INDEX users_deadline ON users (deadline) WHERE deadline IS NOT NULL;

-- The outbox. (epoch, report) is contiguous and never repeats with other content.
CREATE TABLE reports (
    report INTEGER PRIMARY KEY,
    kind   TEXT    NOT NULL CHECK (kind IN ('receipt', 'statuses')),
    at     INTEGER NOT NULL,
    batch  INTEGER,
    part   INTEGER,
    body   BLOB    NOT NULL
) STRICT;
CREATE INDEX reports_batch ON reports (batch) WHERE batch IS NOT NULL;

-- Reports asked for again, each range to be sent after the report `after`.
CREATE TABLE resends (
    resend INTEGER PRIMARY KEY AUTOINCREMENT,
    after  INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
) STRICT;

CREATE TABLE replies (
    reply INTEGER PRIMARY KEY AUTOINCREMENT,
    body  BLOB NOT NULL
) STRICT;
