"""Whether what is kept of a set of users is what their rows say: its counts, and a digest, which has a revision in it.

No seal covers who spoke of somebody last, and when. A revision that has rotted upwards would keep on the list whoever
is revoked. (Those of tombstones are in no digest.)
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from protocol.digest import MODULUS
from protocol.vocabulary import Status
from storage.database import Reader
from storage.origins import Origin

_SLICE: Final = 2_000
_TOLD: Final = """
SELECT origin, revision, pending, active, expired, gone, digest, status, mobile
FROM users JOIN origins USING (origin) JOIN batches USING (batch)
"""  # one statement, and so one moment, whatever is written meanwhile


def false_sum(reader: Reader) -> str | None:
    """What does not add up, in words; None where everything does. Raises StorageFault; some 3 µs a user."""
    tallies: dict[tuple[int, ...], Origin] = {}
    rows = reader.scan(_TOLD)
    while some := list(islice(rows, _SLICE)):
        for (kept, status), mobiles in _alike(some):
            number, revision, *_ = kept
            tallies.setdefault(kept, Origin(number, 0, 0, revision)).join(status, mobiles)
    if all(_kept(tally) == (*kept[2:6], kept[6] % MODULUS) for kept, tally in tallies.items()):
        return None
    return "what is kept of a set of users is not what their rows say"


def _alike(rows: list[tuple[Any, ...]]) -> Iterator[tuple[tuple[tuple[int, ...], str | None], list[int]]]:
    alike: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
    for *kept, status, mobile in rows:
        alike.setdefault((tuple(kept), status), []).append(mobile)
    yield from alike.items()


def _kept(tally: Origin) -> tuple[int, ...]:
    counts = [tally.counts.get(status, 0) for status in (Status.PENDING, Status.ACTIVE, Status.EXPIRED, None)]
    return (*counts, tally.digest)
