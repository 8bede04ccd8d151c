"""What the naive gateway says, in order."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tests.oracle.items import Document


class Voice:
    """`reports` are as on the wire, but for their numbers and words; `resends` are parts whose statuses go again."""

    def __init__(self, gateway_id: str) -> None:
        self.gateway_id = gateway_id
        self.reports: list[Document] = []
        self.resends: list[tuple[str, int]] = []

    def receipt(self, outcome: str, part: Document, counts: Mapping[str, int], now: int, **more: Any) -> None:
        """What became of a part, or of a batch (a header without a part)."""
        header = {name: part.get(name) for name in ("batchId", "revision", "part", "parts")}
        told = {"gatewayId": self.gateway_id, "at": now, "outcome": outcome, "counts": dict(counts)}
        self.reports.append({"error": None, "missingParts": []} | header | told | more)

    def refused(self, part: Any, code: str, now: int, payload: bytes) -> None:
        """Nothing of a part was applied; the hash says which bytes are meant."""
        header = part if isinstance(part, dict) else {}
        self.receipt("rejected", header, {}, now, error=code, payloadSha256=sha256(payload).hexdigest())

    def statuses(self, part: Document, results: list[Document], now: int) -> None:
        """What became of the people of a part, or (an empty part) of people later."""
        if results:
            header = {name: part.get(name) for name in ("batchId", "part", "revision")}
            self.reports.append({"gatewayId": self.gateway_id, "at": now, "results": results} | header)

    def changes(self, results: list[Document], now: int) -> None:
        """Later changes of status, which no part names."""
        self.statuses({}, results, now)


def change(device: str, mobile: str, status: str | None, reason: str) -> Document:
    """One later change of status."""
    result = {"item": None, "deviceId": device, "mobile": mobile, "outcome": "changed"}
    return result | {"status": status, "reason": reason}
