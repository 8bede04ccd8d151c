"""Messages as a cloud writes them, with whatever a test does not care about left to sensible defaults."""

from typing import Any

import orjson

from tests.oracle.histories import GATE
from tests.oracle.items import Document

DAVID, THANDI, ZOE, SIPHO = "+27824511234", "+27831112222", "+447911123456", "+26771234567"


def person(mobile: Any = DAVID, name: Any = "David", **more: Any) -> Document:
    """An invitee."""
    return {"userName": name, "mobile": mobile} | more


def gone(mobile: Any = DAVID) -> Document:
    """A revocation."""
    return {"mobile": mobile}


def document(batch: str = "b1", revision: int = 1, *invitees: Any, **more: Any) -> Document:
    """One part: of a merge on the gate for everybody, always, unless `more` says otherwise."""
    header: Document = {"batchId": batch, "gatewayId": "gw-1", "revision": revision, "deviceIds": [GATE]}
    return header | {"permission": "Always", "invitees": list(invitees)} | more


def part(batch: str = "b1", revision: int = 1, *invitees: Any, **more: Any) -> bytes:
    """The same as bytes."""
    return orjson.dumps(document(batch, revision, *invitees, **more))


def crowd(count: int, first: int = 0) -> list[Document]:
    """So many people with numbers of their own."""
    return [person(f"+2782{number:07}", f"Person {number}") for number in range(first, first + count)]
