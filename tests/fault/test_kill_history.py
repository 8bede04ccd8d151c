"""The judge of the kills: it is content with a true history, and with none that was tampered with."""

import json
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from tests.counterparts.cloud import GATE, PANEL, Document, Message
from tests.fault import history

SENT = history.stream(Random(7), 12)


class Account:
    """What a gateway without fault would have said and held, had it taken the parts one by one."""

    def __init__(self) -> None:
        self.reports: dict[tuple[str, int], Message] = {}
        judge = history.Judge()
        applied: Counter[str] = Counter()
        seen = set()
        for part in SENT:
            name = {"batchId": part["batchId"], "part": part["part"]}
            if (part["batchId"], part["part"]) in seen:
                self._say("receipts", {**name, "outcome": "replayed", "counts": {}})
                continue
            seen.add((part["batchId"], part["part"]))
            outcomes = list(judge.apply(part))
            counts = Counter(outcome for *_, outcome in outcomes)
            results = [{"item": item, "deviceId": device, "outcome": outcome} for item, device, outcome in outcomes]
            self._say("receipts", {**name, "outcome": "applied", "counts": counts})
            self._say("statuses", {**name, "results": results})
            applied[part["batchId"]] += 1
            if applied[part["batchId"]] == part["parts"]:
                self._say("receipts", {**name, "part": None, "outcome": "complete", "counts": {}})
        self.users = [
            {"deviceId": device, "revision": revision, "status": "Pending", **user}
            for (device, _), (revision, user) in judge.rows.items()
            if user is not None
        ]
        self.digests = {device: self._digest(device) for device in (GATE, PANEL)}

    def _say(self, leaf: str, says: Document) -> None:
        self.reports["e", len(self.reports) + 1] = Message(leaf, json.dumps(says).encode(), says, retained=False)

    def _digest(self, device: str) -> str:
        words = [
            sha256(f"{user['mobile']}|{user['revision']}".encode()).hexdigest()[:16]
            for user in self.users
            if user["deviceId"] == device
        ]
        return f"{sum(int(word, 16) for word in words) % 2**64:016x}"

    def anomalies(self) -> list[str]:
        return history.anomalies(SENT, self.reports, self.users, self.digests)

    def said(self, leaf: str, outcome: str | None = None) -> Document:
        return next(
            message.says
            for message in self.reports.values()
            if message.leaf == leaf and message.says.get("outcome") == outcome
        )


def test_true_history_has_no_anomaly() -> None:
    assert Account().anomalies() == []


def a_report_lost(account: Account) -> None:
    del account.reports["e", 5]


def another_epoch(account: Account) -> None:
    account.reports["f", 1] = account.reports["e", 1]


def applied_twice(account: Account) -> None:
    account.said("receipts", "replayed")["outcome"] = "applied"


def never_complete(account: Account) -> None:
    account.said("receipts", "complete")["outcome"] = "incomplete"


def a_result_missing(account: Account) -> None:
    account.said("statuses")["results"].pop()


def a_result_twice(account: Account) -> None:
    results = account.said("statuses")["results"]
    results.append(results[0])


def another_outcome(account: Account) -> None:
    account.said("statuses")["results"][0]["outcome"] = "unchanged"


def a_wrong_count(account: Account) -> None:
    account.said("receipts", "applied")["counts"]["added"] += 1


def a_batch_nobody_sent(account: Account) -> None:
    account.said("receipts", "complete")["batchId"] = "made up"


def a_user_lost(account: Account) -> None:
    account.users.pop()


def a_user_back_from_the_dead(account: Account) -> None:
    account.users.append({**account.users[0], "mobile": "+27829999999"})


def an_older_name(account: Account) -> None:
    account.users[0]["userName"] = "Somebody"


def an_older_revision(account: Account) -> None:
    account.users[0]["revision"] -= 1


def a_digest_astray(account: Account) -> None:
    account.digests[GATE] = account.digests[PANEL]


@pytest.mark.parametrize(
    "tamper",
    [
        a_report_lost,
        another_epoch,
        applied_twice,
        never_complete,
        a_result_missing,
        a_result_twice,
        another_outcome,
        a_wrong_count,
        a_batch_nobody_sent,
        a_user_lost,
        a_user_back_from_the_dead,
        an_older_name,
        an_older_revision,
        a_digest_astray,
    ],
)
def test_history_tampered_with_is_an_anomaly(tamper: Callable[[Account], None]) -> None:
    account = Account()
    tamper(account)
    assert account.anomalies()
