"""The store: the user list, the ledger of parts and the outbox, in one SQLite file. The only SQL of the project."""
