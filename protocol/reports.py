"""Report: receipts and per-user statuses, packed small for the store and written out in full for the wire.

Most results of a part are alike, so they are kept as runs: one outcome for consecutive items of one device. A run costs
its numbers and little else, and the wire form of the same run is the same bytes every time it is sent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import orjson

from protocol.vocabulary import Outcome, Reason, Refusal, Verdict

MAX_MESSAGE = 96 * 1024
"""Bytes of a message that every broker and cloud quota takes (AWS IoT: 128 KB with topic and properties)."""

_HEAD_ROOM = 1024
_PLAIN_RESULT = len(',{"item":,"deviceId":"","mobile":"+","outcome":"","status":""}') + 5 + 15


ERASED: Final = 0
"""In place of a number that was erased; no number is this."""


class Run(NamedTuple):
    """Consecutive results of one device that differ only in item and mobile (E.164 digits)."""

    device_id: str
    first: int | None
    """The first item's number; None for later changes, which no item names."""
    outcome: Outcome
    status: str | None
    """A Status; None where the user is not on the list."""
    mobiles: Sequence[int | None]
    reason: Reason | None = None
    error: Mapping[str, Any] | None = None
    warnings: Sequence[Mapping[str, Any]] | None = None
    revision: int | None = None
    """Of the batch that spoke last, where the users are listed."""

    @property
    def ends(self) -> bool:
        """Whether a listing ends here: with a run of nobody, so that an empty one has an end too."""
        return self.outcome == Outcome.LISTED and not self.mobiles

    def wire_bytes(self) -> int:
        """An upper bound of what the run takes on the wire."""
        each = _PLAIN_RESULT + len(orjson.dumps(self.device_id)) + len(self.outcome) + len(self.status or "null")
        extras = [extra for extra in (self.reason, self.error, self.warnings, self.revision) if extra is not None]
        return len(self.mobiles) * (each + (len(orjson.dumps(extras)) + 40 if extras else 0))


def chunked(runs: Iterable[Run], limit: int = MAX_MESSAGE) -> Iterator[list[Run]]:
    """The runs in order, cut so that each chunk fits a message of `limit` bytes."""
    chunk: list[Run] = []
    room = limit - _HEAD_ROOM
    for run in runs:
        rest: Run | None = run
        while rest is not None:
            size = rest.wire_bytes()
            if size <= room:
                chunk.append(rest)
                room -= size
                break
            fitting = room * len(rest.mobiles) // size
            if fitting == 0 and not chunk:
                fitting = 1
            if fitting:
                head, rest = _split(rest, fitting)
                chunk.append(head)
            yield chunk
            chunk, room = [], limit - _HEAD_ROOM
    if chunk:
        yield chunk


def _split(run: Run, count: int) -> tuple[Run, Run | None]:
    head = run._replace(mobiles=run.mobiles[:count])
    if count >= len(run.mobiles):
        return head, None
    return head, run._replace(mobiles=run.mobiles[count:], first=None if run.first is None else run.first + count)


def packed(runs: Sequence[Run]) -> bytes:
    """Runs as the store keeps them."""
    return orjson.dumps(runs, default=list)


def unpacked(body: bytes) -> list[Run]:
    """The runs of a packed body."""
    return [Run(*fields) for fields in orjson.loads(body)]


def statuses_payload(
    gateway_id: str,
    epoch: str,
    report_id: int,
    at: int,
    batch: tuple[str, int, int] | None,
    runs: Sequence[Run],
) -> bytes:
    """One `statuses` message. `batch` is (batchId, part, revision), or None where no part is answered."""
    batch_id, part, revision = batch or (None, None, None)
    head = {
        "gatewayId": gateway_id,
        "epoch": epoch,
        "reportId": report_id,
        "at": at,
        "batchId": batch_id,
        "part": part,
        "revision": revision,
    }
    if any(run.ends for run in runs):
        head["end"] = True
    results = ",".join([result for run in runs for result in _results(run)])
    return b'%b,"results":[%b]}' % (orjson.dumps(head)[:-1], results.encode())


def _results(run: Run) -> list[str]:
    """The results of a run as JSON. Written by hand because it is the hot path; the models say what it must equal."""
    device = orjson.dumps(run.device_id).decode()
    status = f'"{run.status}"' if run.status else "null"
    tail = f',"outcome":"{run.outcome}","status":{status}'
    if run.revision is not None:
        tail += f',"revision":{run.revision}'
    for name, extra in (("reason", run.reason), ("error", run.error), ("warnings", run.warnings)):
        if extra is not None:
            tail += f',"{name}":{orjson.dumps(extra).decode()}'
    head = f',"deviceId":{device},"mobile":'
    items = repeat("null", len(run.mobiles)) if run.first is None else range(run.first, run.first + len(run.mobiles))
    if None in run.mobiles or ERASED in run.mobiles:
        return [
            f'{{"item":{item}{head}{_told(mobile, tail)}}}' for item, mobile in zip(items, run.mobiles, strict=True)
        ]
    return [f'{{"item":{item}{head}"+{mobile}"{tail}}}' for item, mobile in zip(items, run.mobiles, strict=True)]


def _told(mobile: int | None, tail: str) -> str:
    if mobile == ERASED:
        return f'null{tail},"erased":true'
    return f"null{tail}" if mobile is None else f'"+{mobile}"{tail}'


class Receipt(NamedTuple):
    """What became of a part, or of a batch (`part` None)."""

    verdict: Verdict
    batch_id: str | None
    revision: int | None
    part: int | None
    parts: int | None
    counts: Mapping[str, int] = {}
    error: Refusal | None = None
    message: str | None = None
    missing: Sequence[int] = ()
    removals: int | None = None
    """Users a replace removed, or (`held`) would remove."""
    payload_sha256: str | None = None
    repeated: int | None = None


def packed_receipt(receipt: Receipt) -> bytes:
    """A receipt as the store keeps it."""
    return orjson.dumps(receipt, default=list)


def receipt_payload(gateway_id: str, epoch: str, report_id: int, at: int, body: bytes) -> bytes:
    """One `receipts` message from a packed receipt."""
    receipt = Receipt(*orjson.loads(body))
    document: dict[str, Any] = {
        "batchId": receipt.batch_id,
        "gatewayId": gateway_id,
        "revision": receipt.revision,
        "part": receipt.part,
        "parts": receipt.parts,
        "epoch": epoch,
        "reportId": report_id,
        "at": at,
        "outcome": receipt.verdict,
        "counts": receipt.counts,
        "error": None if receipt.error is None else {"code": receipt.error, "message": receipt.message},
        "missingParts": receipt.missing,
    }
    rare = {"removals": receipt.removals, "payloadSha256": receipt.payload_sha256, "repeated": receipt.repeated}
    return orjson.dumps(document | {name: value for name, value in rare.items() if value is not None})
