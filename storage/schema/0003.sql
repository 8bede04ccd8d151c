-- Whose word a batch is: the key that signed it; signer 0 is nobody. The word of a signer who is not trusted any more
-- counts as older than anything, and its batches as unknown: so revisions and names of batches are unique no longer.
CREATE TABLE signers (
    signer     INTEGER PRIMARY KEY,
    thumbprint TEXT    UNIQUE,
    trusted    INTEGER NOT NULL
) STRICT;
INSERT INTO signers (signer, thumbprint, trusted) VALUES (0, NULL, 1);

CREATE TABLE known (
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
INSERT INTO known SELECT batch, batch_id, revision, 0, parts, mode, device_ids, applied, touched_at, stage, unnamed
FROM batches;
DROP TABLE batches;
ALTER TABLE known RENAME TO batches;
CREATE INDEX batches_batch_id ON batches (batch_id);
CREATE INDEX batches_revision ON batches (revision);

-- Seals: eight bytes of BLAKE2b over what a row says, by the function `seal` of storage.seals. SQLite does not notice
-- when a memory card gives back other bits than it was given.
ALTER TABLE users ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
UPDATE users SET seal = seal(device, mobile, status, accepted, permission, starts_at, ends_at, schedule, name, notes,
    units, wifi, deadline);
ALTER TABLE codes ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
UPDATE codes SET seal = seal(code, device, digits, name, mobile, made_at, expires_at, entry, exit, entered_at, left_at);
ALTER TABLE devices ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET seal = seal(device, device_id);

-- Who spoke of a device last, and whose its last completed replace was.
ALTER TABLE devices ADD COLUMN revised_by INTEGER NOT NULL DEFAULT 0 REFERENCES signers;
ALTER TABLE devices ADD COLUMN replaced_by INTEGER NOT NULL DEFAULT 0 REFERENCES signers;
CREATE VIEW lists AS
SELECT device, device_id, revision * revised.trusted AS revision, replaced * replacing.trusted AS replaced
FROM devices
JOIN signers AS revised ON revised.signer = revised_by
JOIN signers AS replacing ON replacing.signer = replaced_by;
