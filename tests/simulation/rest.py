"""Whether everything has come to rest: all is told, everybody has heard it, and the list is what it should be."""

from typing import Any

from tests.simulation.books import Books
from tests.simulation.cloud import Cloud
from tests.simulation.office import Office


def unrest(books: Books, cloud: Cloud, office: Office) -> str | None:
    """What is still to be done, in words; None where all is quiet and the cloud knows everything."""
    if unsettled := [sent.name for sent in office.unsettled()]:
        return f"nobody knows what became of {unsettled}"
    for kind, kept in books.keeping.kept.items():
        if missed := [number for number in kept if number not in cloud.heard(kind)]:
            return f"the cloud has not heard {kind} {missed[:10]}"
    if owed := books.owed_again & books.keeping.kept["reports"].keys():
        return f"not said again after a replay: {sorted(owed)}"
    for number, payload in cloud.heard("reports").items():
        if books.reports.get(number) != payload:
            return f"the cloud has heard a report {number} that was never stored"
    return _untold(books, cloud.state)


def _untold(books: Books, state: dict[str, Any]) -> str | None:
    """What the state document should say and does not."""
    if not state:
        return "there is no state"
    expected = {"online": True, "storage": "ok", "clock": "synced", "outbox": 0, "held": books.model.held()}
    for name, value in expected.items():
        if state[name] != value:
            return f"the state says {name} {state[name]}, not {value}"
    for device in state["devices"]:
        if device["digest"] != books.model.digest(device["deviceId"]):
            return f"the state has the digest {device['digest']} of {device['deviceId']}"
        if not device["connected"]:
            return f"{device['deviceId']} is not connected"
    return None
