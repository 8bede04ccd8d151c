"""Reports: nothing is lost between a run and the wire, and no message is larger than brokers take."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.messages import StatusesMessage
from protocol.reports import MAX_MESSAGE, Run, chunked, packed, statuses_payload, unpacked
from protocol.vocabulary import Fault, Outcome, Reason, Status
from tests.oracle.items import Document

texts = st.text(st.characters(codec="utf-8"), max_size=80)
identifiers = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=64)
numbers = st.integers(10**6, 10**15 - 1)
mobiles = st.lists(numbers, min_size=1, max_size=40) | st.lists(st.none() | numbers, min_size=1, max_size=3)
sayings: st.SearchStrategy[Document] = st.fixed_dictionaries(
    {"code": st.sampled_from(list(Fault)), "field": st.none() | texts, "message": texts}
)
cautions: st.SearchStrategy[Document] = st.fixed_dictionaries(
    {"code": st.just("unassigned_range"), "field": st.none() | texts, "message": texts}
)
runs = st.builds(
    Run,
    identifiers | st.just("1234567890123456"),
    st.none() | st.integers(0, 99_000),
    st.sampled_from(list(Outcome)),
    st.none() | st.sampled_from(list(Status)),
    mobiles,
    st.none() | st.sampled_from(list(Reason)),
    st.none() | sayings,
    st.none() | st.lists(cautions, min_size=1, max_size=2),
    st.none() | st.integers(1, 2**53 - 1),
)
batches = st.none() | st.tuples(identifiers, st.integers(1, 10_000), st.integers(1, 2**53 - 1))


def results(run: Run) -> list[Document]:
    """One by one, as the contract writes them."""
    said: list[Document] = []
    for place, mobile in enumerate(run.mobiles):
        result: Document = {"item": None if run.first is None else run.first + place, "deviceId": run.device_id}
        result |= {"mobile": None if mobile is None else f"+{mobile}", "outcome": run.outcome, "status": run.status}
        extras = {"revision": run.revision, "reason": run.reason, "error": run.error, "warnings": run.warnings}
        said.append(result | {name: extra for name, extra in extras.items() if extra is not None})
    return said


@settings(max_examples=50)
@given(batches, st.lists(runs, max_size=12), st.sampled_from([1500, 4000, MAX_MESSAGE]))
def test_every_result_arrives_once_in_messages_of_a_bounded_size(
    batch: tuple[str, int, int] | None, said: list[Run], limit: int
) -> None:
    payloads = [
        statuses_payload("gw-1", "k3f9", 2**53, 2**53, batch, unpacked(packed(chunk))) for chunk in chunked(said, limit)
    ]
    arrived = [result for payload in payloads for result in json.loads(payload)["results"]]
    assert arrived == [result for run in said for result in results(run)]
    for payload in payloads:
        assert len(payload) <= limit or len(json.loads(payload)["results"]) == 1
        StatusesMessage.model_validate_json(payload)


@settings(max_examples=50)
@given(identifiers, st.none() | sayings, st.none() | st.integers(0, 90_000))
def test_very_many_results_alike_never_make_a_message_too_large(
    device: str, error: Document | None, first: int | None
) -> None:
    run = Run(device, first, Outcome.REJECTED, Status.PENDING, range(10**15 - 3000, 10**15), None, error)
    for chunk in chunked([run]):
        assert len(statuses_payload("g" * 64, "k3f9", 2**53, 2**53, None, chunk)) <= MAX_MESSAGE
