"""What the naive gateway remembers: a row for each person of a device, and the batches."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.items import Document, Terms


@dataclass
class Row:
    """One person on one device; `status` None is a tombstone."""

    batch: str
    revision: int
    status: str | None = None
    accepted: bool = False
    terms: Terms = field(default_factory=Terms)
    name: str | None = None
    notes: str | None = None
    units: list[str] | None = None
    wifi: bool = True
    until: int | None = None
    """When the status ends by itself."""
    invited_by: str | None = None
    changed_at: int = 0

    def content(self) -> tuple[Any, ...]:
        """What makes two rows the same user."""
        return self.status, self.accepted, self.terms, self.name, self.notes, self.units, self.wifi, self.until


@dataclass
class Batch:
    """A batch of which at least one part was applied."""

    header: Document
    touched_at: int = 0
    parts: dict[int, Document] = field(default_factory=dict)
    counts: dict[int, Counter[str]] = field(default_factory=dict)
    stage: str = "open"
    unnamed: int = 0
    spared: set[tuple[str, str]] = field(default_factory=set)
    net: Counter[str] = field(default_factory=Counter)
    """By device: users it added, less users it revoked by name."""
