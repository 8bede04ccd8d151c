"""One-time codes of the intercoms: given out, taken back and listed when the cloud asks."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from agent.clock import Clock
from agent.config import Device
from agent.vault import Vault
from protocol.codes import OneTimeCode, issue
from protocol.commands import CommandMessage, Unusable
from protocol.mobile import Numbers, e164
from protocol.mobile import Unusable as NoNumber
from protocol.vocabulary import ClockState, Command, CommandRefusal, Kind
from storage import codes
from storage.database import Transaction

_HOUR_MS: Final = 3_600_000
_WORDS: Final = {
    CommandRefusal.SCHEMA: "code: four digits",
    CommandRefusal.CODE_LIMIT: "as many codes are out as this intercom may have; revoke one, or wait for one to end",
    CommandRefusal.CODE_TAKEN: "code: these digits are out already; leave them out to have others drawn",
}


class Codebook:
    """Carries out `issue_code`, `revoke_code` and `codes`. A code keeps the settings it was given out with."""

    def __init__(
        self, devices: Mapping[str, Device], vault: Vault, clock: Clock, numbers: Numbers, rng: Random
    ) -> None:
        self._devices = devices
        self._vault = vault
        self._clock = clock
        self._numbers = numbers
        self._rng = rng

    async def answer(self, transaction: Transaction, command: CommandMessage) -> dict[str, Any]:
        """Carry out one command; what the cloud is told. Raises Unusable."""
        panel = self._panel(command)
        match command.command:
            case Command.ISSUE_CODE:
                return await self._issue(transaction, command, panel)
            case Command.REVOKE_CODE:
                return await self._revoke(transaction, command, panel)
            case _:
                earliest = self._clock.moment().earliest
                live = codes.live(self._vault.reader, panel.id)
                return {"codes": [_told(code) for code in live if not code.spent and code.expires_at > earliest]}

    async def _issue(self, transaction: Transaction, command: CommandMessage, panel: Device) -> dict[str, Any]:
        moment = self._clock.moment()
        if moment.state is ClockState.UNKNOWN:
            raise Unusable(CommandRefusal.CLOCK_UNKNOWN, "this gateway does not know the time, nor when a code ends")
        if command.mobile is None or command.user_name is None:
            raise Unusable(CommandRefusal.SCHEMA, "mobile and userName: a code is given to one named person")
        number = self._numbers.read(command.mobile)
        if isinstance(number, NoNumber):
            raise Unusable(CommandRefusal.SCHEMA, f"mobile: {number.message}")
        entry = self._gate(command.entry_device_id or panel.codes_entry or panel.opens, "entryDeviceId")
        way_out = self._gate(command.exit_device_id or panel.codes_exit or entry, "exitDeviceId")
        live = codes.live(self._vault.reader, panel.id)
        digits = issue(live, command.code, panel.codes_max, moment, self._rng)
        if isinstance(digits, CommandRefusal):
            raise Unusable(digits, _WORDS[digits])
        code = await codes.issue(
            transaction,
            self._vault.devices[panel.id].number,
            digits=digits,
            name=command.user_name,
            mobile=number if isinstance(number, int) else number.e164,
            made_at=moment.best,
            expires_at=moment.best + panel.codes_hours * _HOUR_MS,
            entry=entry,
            exit=way_out,
        )
        return _told(code)

    async def _revoke(self, transaction: Transaction, command: CommandMessage, panel: Device) -> dict[str, Any]:
        if command.code is None:
            raise Unusable(CommandRefusal.SCHEMA, "code: revoke_code names it")
        if not await codes.revoke(transaction, self._vault.devices[panel.id].number, command.code):
            raise Unusable(CommandRefusal.UNKNOWN_CODE, "no such code is out at this intercom")
        return {"code": command.code}

    def _panel(self, command: CommandMessage) -> Device:
        device = self._devices.get(command.device_id or "")
        if device is None:
            raise Unusable(CommandRefusal.UNKNOWN_DEVICE, f"this gateway has no device {command.device_id!r}")
        if device.kind is not Kind.INTERCOM:
            raise Unusable(CommandRefusal.UNKNOWN_DEVICE, f"{device.id} is a Fluss+: only an intercom takes codes")
        return device

    def _gate(self, device_id: str | None, field: str) -> str:
        device = self._devices.get(device_id or "")
        if device is None or device.kind is not Kind.FLUSS:
            raise Unusable(CommandRefusal.UNKNOWN_DEVICE, f"{field}: {device_id!r} is no Fluss+ of this gateway")
        return device.id


def _told(code: OneTimeCode) -> dict[str, Any]:
    """A code as the wire names it."""
    return {
        "codeId": code.number,
        "code": code.digits,
        "userName": code.name,
        "mobile": e164(code.mobile),
        "issuedAt": code.made_at,
        "expiresAt": code.expires_at,
        "entryDeviceId": code.entry,
        "exitDeviceId": code.exit,
        "enteredAt": code.entered_at,
        "leftAt": code.left_at,
    }
