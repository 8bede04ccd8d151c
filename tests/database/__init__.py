"""Real SQLite files: statements, transactions, migrations."""
