"""Tests that boot a machine: some minutes and root, so only `make machine` collects them."""

import os

collect_ignore_glob = [] if os.environ.get("MACHINE") else ["test_*.py"]
