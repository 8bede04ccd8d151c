-- People who are not on any list any more and whose number is not kept either: a keyed hash of it, which an older
-- invite meets. Device 0 is every device, also one that comes later.
CREATE TABLE forgotten (
    device   INTEGER NOT NULL,
    hash     INTEGER NOT NULL,            -- by the function `hashed` of storage.forgotten
    signer   INTEGER NOT NULL REFERENCES signers,
    revision INTEGER NOT NULL,            -- what this signer's word has to be newer than
    PRIMARY KEY (device, hash, signer)
) STRICT, WITHOUT ROWID;

-- Tombstones by their age: in the end a keyed hash takes their place.
CREATE INDEX users_gone ON users (changed_at) WHERE status IS NULL;

ALTER TABLE events ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;

-- Whether somebody was erased from the store and files beside it are still to be swept.
ALTER TABLE store ADD COLUMN unswept INTEGER NOT NULL DEFAULT 0;
