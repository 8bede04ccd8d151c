"""Whether what has no seal can still be used: rows that nobody decides by, but that the daemon has to read.

A report that has rotted would end the daemon whenever it comes to be sent.
"""

from dataclasses import asdict
from typing import Final

import orjson
from pydantic import TypeAdapter

from protocol.events import Event
from protocol.reports import receipt_payload, statuses_payload, unpacked
from storage.database import Reader
from storage.events import events, span
from storage.ledger import BATCHES, batch_of

_SLICE: Final = 200
_REPORTS: Final = "SELECT kind, body FROM reports"
_JSON: Final = "SELECT counts FROM parts UNION ALL SELECT body FROM replies"

_event: TypeAdapter[Event] = TypeAdapter(Event)


def illegible(reader: Reader) -> str | None:
    """What cannot be used, in words; None where everything can. Raises StorageFault."""
    try:
        for kind, body in reader.scan(_REPORTS):
            if kind == "receipt":
                receipt_payload("", "", 0, 0, body)
            else:
                statuses_payload("", "", 0, 0, None, unpacked(body))
        where = span(reader)
        for first in range(where.oldest, where.newest + 1, _SLICE):
            read_events(reader, first, first + _SLICE - 1)
        for row in reader.scan(BATCHES):
            batch_of(row)
        for (text,) in reader.scan(_JSON):
            orjson.loads(text)
    except (ValueError, TypeError):  # never the words: they may be about somebody
        return "a report, an event or a batch cannot be read any more"
    return None


def read_events(reader: Reader, first: int, last: int) -> list[Event]:
    """The events between two numbers; raises StorageFault, and ValueError where one is none any more."""
    return [_event.validate_python(asdict(each.event)) for each in events(reader, first, last, last - first + 1)]
