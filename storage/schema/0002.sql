-- The clock keeps its floor in a file of its own.
ALTER TABLE store DROP COLUMN latest;

-- How far the access log has gone.
ALTER TABLE store ADD COLUMN events_sent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN events_acknowledged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN events_lost INTEGER NOT NULL DEFAULT 0; -- that the disk did not let us store
ALTER TABLE store ADD COLUMN intents INTEGER NOT NULL DEFAULT 0;     -- through this one, their events are forgotten

-- The access log. Numbers are contiguous from 1. No index: it would cost the card another page with each event, and a
-- whole log is read in the time that a person takes to look up.
CREATE TABLE events (
    event    INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    device   INTEGER NOT NULL REFERENCES devices,
    request  TEXT    NOT NULL,
    intent   INTEGER,                     -- the synced intent that it is the end of; NULL where nothing was to move
    mobile   INTEGER,
    name     TEXT,
    channel  TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    reason   TEXT,                        -- NULL: allowed
    note     TEXT,
    clock    TEXT    NOT NULL,
    opened   TEXT,                        -- the Fluss+ that was moved, where it is another device
    actuated INTEGER,                     -- NULL: nothing was to move, or nobody knows
    error    TEXT
) STRICT;

-- Events can be asked for again as reports can.
ALTER TABLE resends ADD COLUMN kind TEXT NOT NULL DEFAULT 'reports' CHECK (kind IN ('reports', 'events'));

-- Commands that must not be carried out twice, kept for as long as one could come again and not be too old.
CREATE TABLE orders (
    command_id TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One-time codes of intercoms, until they expire; spent ones too, so that they can be told from wrong ones.
CREATE TABLE codes (
    code       INTEGER PRIMARY KEY AUTOINCREMENT,
    device     INTEGER NOT NULL REFERENCES devices,
    digits     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    mobile     INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    entry      TEXT    NOT NULL,          -- the Fluss+ that opens on the way in, and on the way out
    exit       TEXT    NOT NULL,
    entered_at INTEGER,
    left_at    INTEGER
) STRICT;
