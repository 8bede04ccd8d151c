"""Which modules are mutated, and the tests of their own that must notice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "protocol/signatures.py": ("unit/test_signatures.py", "property/test_signed.py"),
    "protocol/keys.py": ("unit/test_signatures.py", "unit/test_trusted_keys.py", "unit/test_keyring.py"),
    "protocol/base64url.py": ("unit/test_signatures.py", "property/test_signed.py"),
    "protocol/nesting.py": ("unit/test_nesting.py", "property/test_signed.py"),
    "protocol/digest.py": ("unit/test_digest.py",),
    "protocol/access.py": ("unit/test_gate_rules.py", "property/test_gate_rules.py"),
    "protocol/schedule.py": ("unit/test_schedule.py", "unit/test_gate_rules.py"),
    "protocol/codes.py": ("unit/test_codes.py",),
    "protocol/tries.py": ("unit/test_codes.py",),
    "protocol/moment.py": ("unit/test_moment.py",),
    "agent/clock.py": ("unit/test_clock.py", "unit/test_clock_steps.py", "unit/test_clock_running.py"),
    "agent/timekeeping.py": (
        "unit/test_timekeeping.py",
        "unit/test_clock.py",
        "unit/test_clock_steps.py",
        "unit/test_clock_running.py",
    ),
    "agent/floor.py": ("unit/test_floor.py", "unit/test_clock.py", "unit/test_clock_running.py"),
    "agent/chrony.py": ("unit/test_chrony.py",),
    "storage/seals.py": ("database/test_seals.py",),
    "storage/grants.py": ("database/test_grants.py", "database/test_seals.py"),
    "storage/resync.py": ("database/test_resync.py",),
    "storage/forgotten.py": ("database/test_forgotten.py",),
    "storage/signers.py": ("database/test_signers.py",),
}
"""Module to files below tests/, the fastest first. None of them starts a broker or another program."""
