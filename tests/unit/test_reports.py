"""What is said on the wire, to the byte."""

import json

import pytest

from protocol.messages import ReceiptMessage, StatusesMessage
from protocol.reports import (
    MAX_MESSAGE,
    Receipt,
    Run,
    chunked,
    packed,
    packed_receipt,
    receipt_payload,
    statuses_payload,
    unpacked,
)
from protocol.vocabulary import Outcome, Reason, Refusal, Status, Verdict

GATE = "1234567890123456"
HEAD = b'"gatewayId":"gw-1","revision":%b,"part":%b,"parts":%b,"epoch":"k3f9","reportId":8811,"at":1795300001234,'
RECEIPTS = {
    b'{"batchId":"b-1",%b"outcome":"applied","counts":{"added":998,"rejected":2},"error":null,"missingParts":[]}'
    % (HEAD % (b"42", b"1", b"3")): Receipt(Verdict.APPLIED, "b-1", 42, 1, 3, {"added": 998, "rejected": 2}),
    b'{"batchId":"b-1",%b"outcome":"incomplete","counts":{},"error":null,"missingParts":[2,3]}'
    % (HEAD % (b"42", b"null", b"3")): Receipt(Verdict.INCOMPLETE, "b-1", 42, None, 3, missing=[2, 3]),
    b'{"batchId":"b-1",%b"outcome":"held","counts":{"added":1},"error":null,"missingParts":[],"removals":40}'
    % (HEAD % (b"42", b"null", b"1")): Receipt(Verdict.HELD, "b-1", 42, None, 1, {"added": 1}, removals=40),
    b'{"batchId":null,%b"outcome":"rejected","counts":{},"error":{"code":"not_json","message":"no"},"missingParts":[],'
    b'"payloadSha256":"aa","repeated":7}' % (HEAD % (b"null", b"null", b"null")): Receipt(
        Verdict.REJECTED, None, None, None, None, error=Refusal.NOT_JSON, message="no", payload_sha256="aa", repeated=7
    ),
}
ADDED = Run(GATE, 0, Outcome.ADDED, Status.PENDING, [27824511234, 447911123456])
BAD = Run(
    GATE, 2, Outcome.REJECTED, None, [None], error={"code": "invalid_mobile", "field": "mobile", "message": '"?"'}
)
DOUBTFUL = Run(
    GATE, 3, Outcome.ADDED, Status.ACTIVE, [27999999999],
    warnings=[{"code": "unassigned_range", "field": "mobile", "message": "odd"}],
)  # fmt: skip
LISTED = Run(GATE, None, Outcome.LISTED, Status.ACTIVE, [27824511234], revision=42)
END = Run(GATE, None, Outcome.LISTED, None, [])
GONE = Run("482913", None, Outcome.CHANGED, None, [27824511234], Reason.NOT_IN_LIST)
STATUSES = {
    b'{"gatewayId":"gw-1","epoch":"k3f9","reportId":8812,"at":1795300001234,"batchId":"b-1","part":1,"revision":42,'
    b'"results":['
    b'{"item":0,"deviceId":"1234567890123456","mobile":"+27824511234","outcome":"added","status":"Pending"},'
    b'{"item":1,"deviceId":"1234567890123456","mobile":"+447911123456","outcome":"added","status":"Pending"},'
    b'{"item":2,"deviceId":"1234567890123456","mobile":null,"outcome":"rejected","status":null,'
    b'"error":{"code":"invalid_mobile","field":"mobile","message":"\\"?\\""}},'
    b'{"item":3,"deviceId":"1234567890123456","mobile":"+27999999999","outcome":"added","status":"Active",'
    b'"warnings":[{"code":"unassigned_range","field":"mobile","message":"odd"}]}]}': (
        ("b-1", 1, 42),
        [ADDED, BAD, DOUBTFUL],
    ),
    b'{"gatewayId":"gw-1","epoch":"k3f9","reportId":8812,"at":1795300001234,"batchId":null,"part":null,"revision":null,'
    b'"results":[{"item":null,"deviceId":"482913","mobile":"+27824511234","outcome":"changed","status":null,'
    b'"reason":"not_in_list"}]}': (None, [GONE]),
    b'{"gatewayId":"gw-1","epoch":"k3f9","reportId":8812,"at":1795300001234,"batchId":null,"part":null,"revision":null,'
    b'"results":[{"item":null,"deviceId":"1234567890123456","mobile":"+27824511234","outcome":"listed",'
    b'"status":"Active","revision":42}]}': (None, [LISTED]),
    b'{"gatewayId":"gw-1","epoch":"k3f9","reportId":8812,"at":1795300001234,"batchId":null,"part":null,"revision":null,'
    b'"end":true,"results":[{"item":null,"deviceId":"1234567890123456","mobile":"+27824511234","outcome":"listed",'
    b'"status":"Active","revision":42}]}': (None, [LISTED, END]),
    b'{"gatewayId":"gw-1","epoch":"k3f9","reportId":8812,"at":1795300001234,"batchId":null,"part":null,"revision":null,'
    b'"end":true,"results":[]}': (None, [END]),
}


@pytest.mark.parametrize(("wire", "receipt"), RECEIPTS.items())
def test_receipt_is_written_like_this(wire: bytes, receipt: Receipt) -> None:
    assert receipt_payload("gw-1", "k3f9", 8811, 1795300001234, packed_receipt(receipt)) == wire
    read = ReceiptMessage.model_validate_json(wire)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(wire)


@pytest.mark.parametrize(("wire", "said"), STATUSES.items())
def test_statuses_are_written_like_this(wire: bytes, said: tuple[tuple[str, int, int] | None, list[Run]]) -> None:
    batch, runs = said
    stored = unpacked(packed(runs))
    assert statuses_payload("gw-1", "k3f9", 8812, 1795300001234, batch, stored) == wire
    read = StatusesMessage.model_validate_json(wire)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(wire)


def test_receipt_names_every_missing_part_of_the_largest_batch_in_one_message() -> None:
    receipt = Receipt(Verdict.INCOMPLETE, "\x7f" * 64, 42, None, 10_000, missing=range(2, 10_001))
    payload = receipt_payload("gw-1", "k3f9", 2**53, 2**53, packed_receipt(receipt))
    assert len(payload) < MAX_MESSAGE


def test_nothing_to_say_is_no_message() -> None:
    assert list(chunked([])) == []


def test_end_of_a_listing_goes_into_its_last_message() -> None:
    mobiles = list(range(27820000000, 27820003000))
    chunks = list(chunked([LISTED._replace(mobiles=mobiles), END]))
    assert [[run.ends for run in chunk] for chunk in chunks] == [*[[False]] * (len(chunks) - 1), [False, True]]


def test_run_is_cut_where_a_message_is_full_and_goes_on_with_its_next_item() -> None:
    mobiles = list(range(27820000000, 27820005000))
    chunks = list(chunked([Run(GATE, 10, Outcome.ADDED, Status.PENDING, mobiles)]))
    assert len(chunks) > 4
    runs = [run for chunk in chunks for run in chunk]
    assert [mobile for run in runs for mobile in run.mobiles] == mobiles
    items = [item for run in runs for item in range(run.first or 0, (run.first or 0) + len(run.mobiles))]
    assert items == list(range(10, 5010))
