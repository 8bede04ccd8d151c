"""What became of one item on one device, as the store decides it and as a report tells it."""

from dataclasses import replace
from typing import Any, NamedTuple

from protocol.erasure import WORDS
from protocol.validate import ItemFault, Roll
from protocol.vocabulary import Caution, Fault, Outcome

_CAUTIONED = {Caution.UNASSIGNED_RANGE: "mobile", Caution.OWNER_KEPT: "permission"}


class Result(NamedTuple):
    """What became of one item on one device."""

    outcome: Outcome
    status: str | None
    fault: ItemFault | None = None
    cautions: tuple[tuple[Caution, str], ...] = ()

    def wordless(self) -> "Result":
        """The same without words, which may repeat what was written."""
        fault = None if self.fault is None else replace(self.fault, message=WORDS)
        return Result(self.outcome, self.status, fault, tuple((code, WORDS) for code, _ in self.cautions))


def unknown_device(roll: Roll, device_id: str) -> list[Result]:
    """The results of a device this gateway does not have: they cost the other devices nothing."""
    fault = ItemFault(Fault.UNKNOWN_DEVICE, "deviceIds", f"this gateway has no device {device_id}")
    return [Result(Outcome.REJECTED, None, fault)] * roll.items


def result_extras(result: Result) -> dict[str, Any]:
    """The parts of a result that only some have, as the wire names them."""
    extras: dict[str, Any] = {}
    if result.fault is not None:
        extras["error"] = {"code": result.fault.code, "field": result.fault.field, "message": result.fault.message}
    if result.cautions:
        extras["warnings"] = [
            {"code": code, "field": _CAUTIONED[code], "message": words} for code, words in result.cautions
        ]
    return extras
