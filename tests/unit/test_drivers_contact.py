"""When a device that was not reached is tried again, and what is said of it."""

from random import Random

from structlog.testing import capture_logs

from agent.drivers.contact import MISTAKEN_S, PACE, Contact, Lost, Mismatched
from tests.counterparts.hardware import DEVICE, events


def new_contact(seed: int = 1, changes: list[bool] | None = None) -> Contact:
    told = changes if changes is not None else []
    contact = Contact(DEVICE, "tcp://gate:1", rng=Random(seed), changed=lambda: told.append(contact.connected))
    return contact


async def test_first_retry_is_quick_and_none_is_long() -> None:
    waits = []
    for seed in range(300):
        contact = new_contact(seed)
        waits.append([contact.lost(Lost("gone")) for _ in range(12)])
    assert max(first for first, *_ in waits) <= 0.5
    assert 10 < max(last for *_, last in waits) <= 15
    assert len({round(last, 3) for *_, last in waits}) > 250, "no two gateways in step"
    assert PACE.cap_s == 15


async def test_mistake_of_a_person_is_not_tried_again_at_once() -> None:
    contact = new_contact()
    waits = [contact.lost(Mismatched("another device")) for _ in range(200)]
    assert MISTAKEN_S / 2 <= min(waits) < max(waits) <= MISTAKEN_S


async def test_change_is_told_once_and_as_it_is() -> None:
    changes: list[bool] = []
    contact = new_contact(changes=changes)
    contact.lost(Lost("gone"))
    contact.over()
    assert changes == []
    contact.made()
    contact.over()
    contact.over()
    contact.lost(Lost("gone"))
    assert changes == [True, False]


async def test_another_reason_is_news() -> None:
    contact = new_contact()
    with capture_logs() as logs:
        for reason in ("refused", "refused", "refused", "no way", "refused"):
            contact.lost(Lost(reason))
    assert [entry["reason"] for entry in events(logs, "device.failed")] == ["refused", "refused", "no way", "refused"]
