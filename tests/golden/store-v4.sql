BEGIN TRANSACTION;
CREATE TABLE additions (
    batch  INTEGER NOT NULL REFERENCES batches,
    device INTEGER NOT NULL REFERENCES devices,
    added  INTEGER NOT NULL,
    PRIMARY KEY (batch, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE "batches" (
    batch      INTEGER PRIMARY KEY,
    batch_id   TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    signer     INTEGER NOT NULL REFERENCES signers,
    parts      INTEGER NOT NULL,
    mode       TEXT    NOT NULL CHECK (mode IN ('merge', 'replace')),
    device_ids TEXT    NOT NULL,
    applied    INTEGER NOT NULL,          -- how many of its parts
    touched_at INTEGER NOT NULL,          -- when the last of them came
    stage      TEXT    NOT NULL CHECK (stage IN ('open', 'incomplete', 'held', 'complete')),
    unnamed    INTEGER NOT NULL           -- rejected rows that name nobody: whom they meant must not be removed
) STRICT;
INSERT INTO "batches" VALUES(1,'0192f6d2-6f0c-7c2e-9a5d-0b9f4f1f7a10',42,0,1,'merge','["1234567890123456"]',1,1795300001234,'complete',0);
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
, seal INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "codes" VALUES(1,2,'0042','Plumber',27849998888,1795300001234,1795343201234,'1234567890123456','1234567890123456',1795300001236,NULL,3420372012215796823);
CREATE TABLE devices (
    device    INTEGER PRIMARY KEY,
    device_id TEXT    NOT NULL UNIQUE,
    revision  INTEGER NOT NULL DEFAULT 0, -- the newest revision that spoke of it
    replaced  INTEGER NOT NULL DEFAULT 0  -- the revision of its last completed replace
, seal INTEGER NOT NULL DEFAULT 0, revised_by INTEGER NOT NULL DEFAULT 0 REFERENCES signers, replaced_by INTEGER NOT NULL DEFAULT 0 REFERENCES signers) STRICT;
INSERT INTO "devices" VALUES(1,'1234567890123456',42,0,4000606583444877490,0,0);
INSERT INTO "devices" VALUES(2,'482913',0,0,-8500519962479863788,0,0);
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
, erased INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "events" VALUES(1,1795300001234,1,'r-1',7,27824511234,'David Mokoena','bluetooth','trigger',NULL,'late','synced',NULL,1,NULL,0);
INSERT INTO "events" VALUES(2,1795300001235,1,'r-2',NULL,27831112222,NULL,'wifi','open','revoked',NULL,'holdover',NULL,NULL,NULL,0);
INSERT INTO "events" VALUES(3,1795300001236,2,'r-3',8,27849998888,'Plumber','keypad','trigger',NULL,NULL,'synced','1234567890123456',0,'motor stalled',0);
CREATE TABLE forgotten (
    device   INTEGER NOT NULL,
    hash     INTEGER NOT NULL,            -- by the function `hashed` of storage.forgotten
    signer   INTEGER NOT NULL REFERENCES signers,
    revision INTEGER NOT NULL,            -- what this signer's word has to be newer than
    PRIMARY KEY (device, hash, signer)
) STRICT, WITHOUT ROWID;
INSERT INTO "forgotten" VALUES(0,7210987654321098765,0,42);
INSERT INTO "forgotten" VALUES(1,-3,0,41);
CREATE TABLE orders (
    command_id TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "orders" VALUES('c-1',1795300061234);
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
INSERT INTO "origins" VALUES(1,1,1,X'5DF6D36CE99056E99C2686F377CEAFF7022C790CF5DD6BA41CFD66E2167DA351','+27824511234',1,1,0,1,-2090113723379516923);
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
INSERT INTO "parts" VALUES(1,1,X'5DF6D36CE99056E99C2686F377CEAFF7022C790CF5DD6BA41CFD66E2167DA351',1795300001234,'{"added":2,"rejected":1,"absent":1}',2,2);
CREATE TABLE replies (
    reply INTEGER PRIMARY KEY AUTOINCREMENT,
    body  BLOB NOT NULL
) STRICT;
CREATE TABLE reports (
    report INTEGER PRIMARY KEY,
    kind   TEXT    NOT NULL CHECK (kind IN ('receipt', 'statuses')),
    at     INTEGER NOT NULL,
    batch  INTEGER,
    part   INTEGER,
    body   BLOB    NOT NULL
) STRICT;
INSERT INTO "reports" VALUES(1,'receipt',1795300001234,1,1,X'5B226170706C696564222C2230313932663664322D366630632D376332652D396135642D306239663466316637613130222C34322C312C312C7B226164646564223A322C2272656A6563746564223A312C22616273656E74223A317D2C6E756C6C2C6E756C6C2C5B5D2C6E756C6C2C6E756C6C2C6E756C6C5D');
INSERT INTO "reports" VALUES(2,'statuses',1795300001234,1,1,X'5B5B2231323334353637383930313233343536222C302C226164646564222C22416374697665222C5B32373832343531313233345D2C6E756C6C2C6E756C6C2C6E756C6C5D2C5B2231323334353637383930313233343536222C312C226164646564222C2250656E64696E67222C5B3434373931313132333435365D2C6E756C6C2C6E756C6C2C6E756C6C5D2C5B2231323334353637383930313233343536222C322C2272656A6563746564222C6E756C6C2C5B6E756C6C5D2C6E756C6C2C7B22636F6465223A22696E76616C69645F6D6F62696C65222C226669656C64223A226D6F62696C65222C226D657373616765223A22273038322034352720697320746F6F2073686F727420666F722061206E756D62657220696E20536F7574682041667269636120282B323729227D2C6E756C6C5D2C5B2231323334353637383930313233343536222C332C22616273656E74222C6E756C6C2C5B32373833313131323232325D2C6E756C6C2C6E756C6C2C6E756C6C5D5D');
INSERT INTO "reports" VALUES(3,'receipt',1795300001234,1,NULL,X'5B22636F6D706C657465222C2230313932663664322D366630632D376332652D396135642D306239663466316637613130222C34322C6E756C6C2C312C7B226164646564223A322C2272656A6563746564223A312C22616273656E74223A317D2C6E756C6C2C6E756C6C2C5B5D2C6E756C6C2C6E756C6C2C6E756C6C5D');
CREATE TABLE resends (
    resend INTEGER PRIMARY KEY AUTOINCREMENT,
    after  INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
, kind TEXT NOT NULL DEFAULT 'reports' CHECK (kind IN ('reports', 'events'))) STRICT;
INSERT INTO "resends" VALUES(1,3,1,2,'events');
CREATE TABLE signers (
    signer     INTEGER PRIMARY KEY,
    thumbprint TEXT    UNIQUE,
    trusted    INTEGER NOT NULL
) STRICT;
INSERT INTO "signers" VALUES(0,NULL,1);
INSERT INTO "signers" VALUES(1,'stolen',0);
INSERT INTO "signers" VALUES(2,'kept',0);
CREATE TABLE spared (
    batch  INTEGER NOT NULL REFERENCES batches,
    device INTEGER NOT NULL REFERENCES devices,
    mobile INTEGER NOT NULL,
    PRIMARY KEY (batch, device, mobile)
) STRICT, WITHOUT ROWID;
CREATE TABLE store (
    store        INTEGER PRIMARY KEY CHECK (store = 1),
    epoch        TEXT    NOT NULL,
    sent         INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0, events_sent INTEGER NOT NULL DEFAULT 0, events_acknowledged INTEGER NOT NULL DEFAULT 0, events_lost INTEGER NOT NULL DEFAULT 0, intents INTEGER NOT NULL DEFAULT 0, unswept INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "store" VALUES(1,'k3f9aa01',0,0,2,1,4,0,0);
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
    deadline   INTEGER, seal INTEGER NOT NULL DEFAULT 0,                   -- when the status ends by itself
    PRIMARY KEY (device, mobile)
) STRICT, WITHOUT ROWID;
INSERT INTO "users" VALUES(1,27824511234,1,1795300001234,'Active',1,'Always',NULL,NULL,NULL,'David Mokoena','Unit 4',NULL,1,NULL,1505803397608761866);
INSERT INTO "users" VALUES(1,27831112222,1,1795300001234,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,-8300909299017265817);
INSERT INTO "users" VALUES(1,447911123456,1,1795300001234,'Pending',0,'Always',NULL,NULL,NULL,'Zoë Botha',NULL,NULL,1,NULL,4159653688005590973);
CREATE INDEX origins_device ON origins (device);
CREATE INDEX origins_batch ON origins (batch);
CREATE INDEX users_deadline ON users (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX reports_batch ON reports (batch) WHERE batch IS NOT NULL;
CREATE INDEX batches_batch_id ON batches (batch_id);
CREATE INDEX batches_revision ON batches (revision);
CREATE VIEW lists AS
SELECT device, device_id, revision * revised.trusted AS revision, replaced * replacing.trusted AS replaced
FROM devices
JOIN signers AS revised ON revised.signer = revised_by
JOIN signers AS replacing ON replacing.signer = replaced_by;
CREATE INDEX users_gone ON users (changed_at) WHERE status IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('resends',1);
INSERT INTO "sqlite_sequence" VALUES('codes',1);
COMMIT;
