"""Whether all a gateway said, and the list it holds, are one history of the parts it was sent.

The judge is a list in plain Python: parts are applied to it one after the other, each once, in the order in which the
gateway receipted them. Whatever the gateway says otherwise is an anomaly: something was lost, done twice, or made up.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from random import Random
from typing import Any

from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document, Message, mobile, part
from tests.counterparts.waiting import until

POOL = 600
"""How many people the parts of a stream speak of."""


def stream(rng: Random, batches: int, *, people: int = 40) -> list[Document]:
    """The parts of so many batches over the same people: invitations, changes and revocations, mixed, some twice."""
    parts = [
        each for revision in range(1, batches + 1) for each in _batch(rng, revision, rng.sample(range(POOL), people))
    ]
    # Not much later than it was meant to be, as where a cloud or a broker sends several at a time.
    placed = [(place + rng.uniform(0, 12), each) for place, each in enumerate(parts)]
    placed += [(place + rng.uniform(0, 24), each) for place, each in rng.sample(placed, len(placed) // 5)]
    return [each for _, each in sorted(placed, key=itemgetter(0))]


def _batch(rng: Random, revision: int, chosen: Sequence[int]) -> Iterator[Document]:
    count = rng.randint(1, 3)
    devices = rng.choice([[GATE], [GATE, PANEL]])
    for number in range(count):
        named = chosen[number::count]
        gone = rng.randint(0, len(named) // 3)
        yield part(
            f"batch-{revision}",
            revision,
            [_invitee(rng, each) for each in named[gone:]],
            part=number + 1,
            parts=count,
            deviceIds=devices,
            revocations=[{"mobile": mobile(each)} for each in named[:gone]],
        )


def _invitee(rng: Random, number: int) -> Document:
    name, permission = rng.choice(["Sam", "Alex"]), rng.choice(["Full", "Always"])
    return {"mobile": mobile(number), "userName": name, "permission": permission}


@dataclass(slots=True)
class Judge:
    """The list as it must be, by device and mobile: the revision that spoke last, and the user, None once revoked."""

    rows: dict[tuple[str, str], tuple[int, Document | None]] = field(default_factory=dict)

    def apply(self, sent: Document) -> Iterator[tuple[int, str, str]]:
        """Item, device and the outcome it must have."""
        items = [*sent["invitees"], *sent["revocations"]]
        for device in sent["deviceIds"]:
            for number, item in enumerate(items):
                user = dict(item) if number < len(sent["invitees"]) else None
                if user is not None and device == PANEL:
                    user["permission"] = None
                yield number, device, self._one((device, item["mobile"]), sent["revision"], user)

    def _one(self, key: tuple[str, str], revision: int, user: Document | None) -> str:
        before_revision, before = self.rows.get(key, (0, None))
        if before_revision > revision:
            return "superseded"
        self.rows[key] = (revision, user)
        if user is None:
            return "absent" if before is None else "revoked"
        if before is None:
            return "added"
        return "unchanged" if before == user else "updated"


def anomalies(
    sent: Sequence[Document],
    reports: Mapping[tuple[str, int], Message],
    users: Sequence[Document],
    digests: Mapping[str, str],
) -> list[str]:
    """What does not fit, in words; empty where all is well.

    ``sent`` are parts of ``stream``, ``reports`` all that came, ``users`` the list at the end, ``digests`` by device.
    """
    parts = {(each["batchId"], each["part"]): each for each in sent}
    said = [message for _, message in sorted(reports.items())]
    receipts = [message.says for message in said if message.leaf == "receipts"]
    results = _results(message.says for message in said if message.leaf == "statuses")
    judge = Judge()
    return [
        *_numbers(reports),
        *_receipts(parts, receipts),
        *_outcomes(parts, receipts, results, judge),
        *_list(judge, users),
        *_digests(judge, digests),
    ]


def _results(statuses: Iterator[Document]) -> dict[tuple[str, int], list[Document]]:
    results: dict[tuple[str, int], list[Document]] = defaultdict(list)
    for each in statuses:
        results[each["batchId"], each["part"]] += each["results"]
    return results


def _numbers(reports: Mapping[tuple[str, int], Message]) -> Iterator[str]:
    epochs = {epoch for epoch, _ in reports}
    if len(epochs) != 1:
        yield f"the store had {len(epochs)} epochs: {sorted(epochs)}"
    numbers = sorted(number for _, number in reports)
    if gaps := sorted(set(range(1, (numbers or [0])[-1] + 1)).difference(numbers)):
        yield f"reports are missing: {gaps}"


def _receipts(parts: Mapping[tuple[str, int], Document], receipts: Sequence[Document]) -> Iterator[str]:
    said: dict[tuple[str, int | None], list[str]] = defaultdict(list)
    for each in receipts:
        said[each["batchId"], each["part"]].append(each["outcome"])
    for key in parts:
        if (outcomes := said.pop(key, [])) != ["applied", *["replayed"] * (len(outcomes) - 1)]:
            yield f"part {key} was receipted {outcomes}"
    for batch_id in dict.fromkeys(batch_id for batch_id, _ in parts):
        if (outcomes := said.pop((batch_id, None), [])) not in (["complete"], ["incomplete", "complete"]):
            yield f"batch {batch_id} was receipted {outcomes}"
    for unknown, outcomes in said.items():
        yield f"{unknown}, which nobody sent, was receipted {outcomes}"


def _outcomes(
    parts: Mapping[tuple[str, int], Document],
    receipts: Sequence[Document],
    results: Mapping[tuple[str, int], Sequence[Document]],
    judge: Judge,
) -> Iterator[str]:
    """Every (part, item, device) has exactly the result of one application, and the counts are of these."""
    for receipt in receipts:
        key = (receipt["batchId"], receipt["part"])
        if receipt["outcome"] != "applied" or key not in parts:
            continue
        expected = Counter(judge.apply(parts[key]))
        found = Counter((each["item"], each["deviceId"], each["outcome"]) for each in results.get(key, ()))
        if expected != found:
            missed, made_up = sorted((expected - found).elements()), sorted((found - expected).elements())
            yield f"part {key}: {missed} expected, {made_up} said"
        if receipt["counts"] != Counter(outcome for *_, outcome in expected.elements()):
            yield f"part {key} counted {receipt['counts']}"
    for key in results.keys() - parts.keys():
        yield f"{key}, which nobody sent, has results"


def _list(judge: Judge, users: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    expected = {
        (device, number): (
            revision,
            user["userName"],
            user["permission"],
            "Active" if user.get("accepted") else "Pending",
        )
        for (device, number), (revision, user) in judge.rows.items()
        if user is not None
    }
    found = {
        (user["deviceId"], user["mobile"]): (user["revision"], user["userName"], user["permission"], user["status"])
        for user in users
    }
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            yield f"user {key} is {found.get(key)}, and should be {expected.get(key)}"


def _digests(judge: Judge, digests: Mapping[str, str]) -> Iterator[str]:
    for device, said in digests.items():
        words = [
            sha256(f"{number}|{revision}".encode()).digest()[:8]
            for (listed_on, number), (revision, user) in judge.rows.items()
            if listed_on == device and user is not None
        ]
        digest = f"{sum(map(int.from_bytes, words)) % 2**64:016x}"
        if digest != said:
            yield f"device {device} has the digest {said}, and should have {digest}"


async def check(agent: Agent, cloud: Cloud, sent: Sequence[Document]) -> None:
    """Wait until every part is accounted for and nothing is left to be sent; then there must be no anomaly."""
    await cloud.settles(*sent)
    await until(lambda: not cloud.missing() and cloud.state["outbox"] == 0, within_s=30, what="the last report")
    await until(lambda: cloud.state["reports"]["newest"] == len(cloud.reports), what="a state after the last report")
    digests = {device["deviceId"]: device["digest"] for device in cloud.state["devices"]}
    assert anomalies(sent, cloud.reports, await agent.users(), digests) == []
