"""The judge of the killed gate: it is content with a true history, and with none that was tampered with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.counterparts.cloud import GATE, PANEL
from tests.fault.gate_history import Row, anomalies


class Account:
    """Residents, somebody at the panel, and commands: some cut short before anybody knew how it ended."""

    def __init__(self) -> None:
        self.requests = [(GATE, "r1"), (PANEL, "p1"), (GATE, "r2"), (PANEL, "p2")]
        self.commands = ["c1", "c2", "c3", "c4"]
        self.told = {GATE: ["r1", f"{PANEL}-2", f"{GATE}-3", "r2", f"{GATE}-6", f"{PANEL}-7"], PANEL: []}
        self.rows = [
            Row(1, GATE, "r1", 1, None, actuated=True),
            Row(2, PANEL, "p1", 2, None, actuated=None),
            Row(3, GATE, "c1", 3, None, actuated=True),
            Row(4, GATE, "r2", 4, None, actuated=None),
            Row(5, GATE, "c2", 5, None, actuated=None),
            Row(6, GATE, "c3", 6, None, actuated=False),
            Row(7, GATE, "c4", None, "device_offline", actuated=None),
            Row(8, PANEL, "p2", None, "device_offline", actuated=None),
            Row(9, PANEL, "p2", 7, None, actuated=True),
        ]
        self.events: list[dict[str, Any]] = []
        rows, self.rows = self.rows, []
        for row in rows:
            self.record(row)
        self.replies: list[dict[str, Any]] = [
            {"commandId": "c1", "outcome": "done", "error": None},
            {"commandId": "c2", "outcome": "failed", "error": {"code": "interrupted"}},
            {"commandId": "c2", "outcome": "failed", "error": {"code": "interrupted"}},
            {"commandId": "c2", "outcome": "refused", "error": {"code": "repeated"}},
            {"commandId": "c3", "outcome": "failed", "error": {"code": "not_actuated"}},
            {"commandId": "c4", "outcome": "refused", "error": {"code": "device_offline"}},
        ]

    def record(self, row: Row) -> None:
        """One more event, which the cloud hears too."""
        self.rows.append(row)
        said = {"eventId": row.number, "deviceId": row.device_id, "note": row.request}
        self.events.append({**said, "reason": row.reason, "actuated": row.actuated})

    def anomalies(self) -> list[str]:
        return anomalies(self.requests, self.commands, self.told, self.rows, self.events, self.replies)


def test_true_history_has_no_anomaly() -> None:
    assert Account().anomalies() == []


def told_twice(account: Account) -> None:
    account.told[GATE].append("r1")


def command_carried_out_twice(account: Account) -> None:
    account.told[GATE].append(f"{GATE}-8")


def command_carried_out_and_recorded_twice(account: Account) -> None:
    account.told[GATE].append(f"{GATE}-8")
    account.record(Row(10, GATE, "c1", 8, None, actuated=True))


def command_denied_and_carried_out(account: Account) -> None:
    account.told[GATE].append(f"{GATE}-8")
    account.record(Row(10, GATE, "c4", 8, None, actuated=True))


def request_carried_out_twice(account: Account) -> None:
    account.told[GATE].append(f"{PANEL}-8")
    account.record(Row(10, PANEL, "p1", 8, None, actuated=True))


def movement_without_event(account: Account) -> None:
    account.told[GATE].append(f"{PANEL}-9")


def request_without_event(account: Account) -> None:
    account.requests.append((GATE, "r3"))


def event_nobody_asked_for(account: Account) -> None:
    del account.requests[0]


def event_recorded_twice(account: Account) -> None:
    account.record(replace(account.rows[1], number=10))


def movement_of_a_denied_request(account: Account) -> None:
    account.rows[0] = replace(account.rows[0], reason="device_offline", actuated=None)
    account.events[0] |= {"reason": "device_offline", "actuated": None}


def resident_denied(account: Account) -> None:
    account.rows[7] = replace(account.rows[7], reason="clock_unknown")
    account.events[7]["reason"] = "clock_unknown"


def movement_made_up(account: Account) -> None:
    account.rows[4] = replace(account.rows[4], actuated=True)
    account.events[4]["actuated"] = True
    account.replies[1:4] = [{"commandId": "c2", "outcome": "done", "error": None}]


def one_intent_for_two(account: Account) -> None:
    account.rows[3] = replace(account.rows[3], intent=1)


def number_left_out(account: Account) -> None:
    account.rows[8] = replace(account.rows[8], number=10)
    account.events[8]["eventId"] = 10


def event_never_told(account: Account) -> None:
    del account.events[3]


def event_told_otherwise(account: Account) -> None:
    account.events[3]["actuated"] = True


def command_never_answered(account: Account) -> None:
    del account.replies[0]


def command_only_repeated(account: Account) -> None:
    account.replies[0] = {"commandId": "c1", "outcome": "refused", "error": {"code": "repeated"}}


def command_answered_in_two_ways(account: Account) -> None:
    account.replies.append({"commandId": "c2", "outcome": "done", "error": None})


def failure_called_done(account: Account) -> None:
    account.replies[4] = {"commandId": "c3", "outcome": "done", "error": None}


@pytest.mark.parametrize(
    "tamper",
    [
        told_twice,
        command_carried_out_twice,
        command_carried_out_and_recorded_twice,
        command_denied_and_carried_out,
        request_carried_out_twice,
        movement_without_event,
        request_without_event,
        event_nobody_asked_for,
        event_recorded_twice,
        movement_of_a_denied_request,
        resident_denied,
        movement_made_up,
        one_intent_for_two,
        number_left_out,
        event_never_told,
        event_told_otherwise,
        command_never_answered,
        command_only_repeated,
        command_answered_in_two_ways,
        failure_called_done,
    ],
)
def test_history_tampered_with_is_an_anomaly(tamper: Callable[[Account], None]) -> None:
    account = Account()
    tamper(account)
    assert account.anomalies()
