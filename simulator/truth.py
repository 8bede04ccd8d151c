"""What the office wants of a gateway's lists, in a file: the truth that a gateway is compared with, and put right by.

It keeps whom it wants where and on what terms, the revision that said so, and which reports of the gateway it has
heard. What it is about to say is written down first: whatever breaks then shows as a difference, and is said again.
"""

import fcntl
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from protocol.erasure import Eraser
from protocol.invites import Invitee
from protocol.vocabulary import Caution, Mode, Outcome, Permission, Reason, Status, Verdict
from simulator import exits
from simulator.batching import Batch, Offer
from simulator.exits import Failure
from simulator.heard import Heard, Life
from simulator.messages import Receipt, Result, State, Statuses

_KEPT = ("notes", "wifi", "units")
"""What an invitation that leaves it out does not change."""


class TruthError(Failure):
    """A file that holds no truth, or another gateway's."""

    exit_code = exits.USAGE


class TruthBusy(Failure):
    """Another command works with the same truth: what one of them learnt would be lost."""


class Wanted(NamedTuple):
    """One person at one device: the revision that spoke of them last, and what it said, by the wire's names."""

    revision: int
    said: Mapping[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether they have taken up the app."""
        return self.said.get("accepted") is True


@dataclass(slots=True)
class Intent:
    """What a batch is about to change, and how it stood before."""

    batch_id: str
    revision: int
    before: dict[tuple[str, str], Wanted | None] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    """Whom a replace leaves out, by device."""


class _Document(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")


class Removals(_Document):
    """What a replace would take away, by device, while the gateway holds it."""

    revision: int
    mobiles: dict[str, list[str]]


class _File(_Document):
    gateway_id: str
    revision: int = 0
    held: dict[str, Removals] = Field(default_factory=dict)
    doubt: bool = False
    epoch: str | None = None
    session: str | None = None
    through: int = 0
    beyond: list[tuple[int, int]] = Field(default_factory=list)
    devices: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)


class Truth:
    """One gateway's truth; `revision` is the newest that was ever said. Mobiles are in E.164 with their plus."""

    def __init__(self, path: Path, gateway_id: str) -> None:
        self.path = path
        self.gateway_id = gateway_id
        self.revision = 0
        self.devices: dict[str, dict[str, Wanted]] = {}
        self.held: dict[str, Removals] = {}
        """What waits for a confirmation, by batch: until then these people are wanted as before."""
        self.doubt = False
        """Word of the gateway may be lost for good: what no digest tells has to be looked at until both agree again."""
        self.heard = Heard()

    @classmethod
    def load(cls, path: Path, gateway_id: str) -> Self:
        """The truth in a file. Raises TruthError; FileNotFoundError where there is none."""
        try:
            file = _File.model_validate_json(path.read_bytes())
        except ValidationError as invalid:
            error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
            raise TruthError(f"{path} is no truth of a gateway's lists: {error['msg']}") from None
        if file.gateway_id != gateway_id:
            raise TruthError(
                f"{path} is what is wanted of {file.gateway_id!r}, not of {gateway_id!r}: name its own file"
            )
        truth = cls(path, gateway_id)
        truth.revision, truth.held, truth.doubt = file.revision, file.held, file.doubt
        truth.heard = Heard(file.epoch, file.session, file.through, file.beyond)
        for device_id, people in file.devices.items():
            truth.devices[device_id] = {
                mobile: Wanted(said.pop("revision", 0), said) for mobile, said in people.items()
            }
        return truth

    @classmethod
    def open(cls, path: Path, gateway_id: str) -> Self:
        """The truth in a file, an empty one where there is none yet. Raises TruthError."""
        try:
            return cls.load(path, gateway_id)
        except FileNotFoundError:
            return cls(path, gateway_id)

    @classmethod
    @contextmanager
    def kept(cls, path: Path, gateway_id: str, *, begin: bool) -> Iterator[Self]:
        """The truth in a file, for nobody else meanwhile; where there is none yet, it can only `begin`.

        Raises TruthError, TruthBusy, OSError.
        """
        if not begin and not path.exists():
            raise TruthError(f"there is no file {path}: `cloud invite --truth` makes it, with the first list")
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TruthBusy(f"another command is at work with {path}: try again when it is through") from None
            yield cls.open(path, gateway_id)
        finally:
            os.close(lock)

    def save(self) -> None:
        """Write it down, whole or not at all, and durably; it names people: nobody else may read it. Raises OSError."""
        file = {
            "gatewayId": self.gateway_id,
            "revision": self.revision,
            "held": {batch_id: each.model_dump(by_alias=True) for batch_id, each in self.held.items()},
            "doubt": self.doubt,
            "epoch": self.heard.epoch,
            "session": self.heard.session,
            "through": self.heard.through,
            "beyond": self.heard.spans(),
            "devices": {
                device_id: {mobile: {"revision": each.revision, **each.said} for mobile, each in people.items()}
                for device_id, people in self.devices.items()
            },
        }
        fresh = self.path.with_name(self.path.name + ".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(orjson.dumps(file))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # else a power cut brings the old one back, and the next sync what that one wanted
        finally:
            os.close(folder)

    def people(self, device_id: str) -> Mapping[str, Wanted]:
        """Whom the office wants at a device."""
        return self.devices.get(device_id, {})

    # ── What is said ──────────────────────────────────────────────────────────────────────────────────────────────────

    def intend(
        self,
        batch: Batch,
        offer: Offer,
        invitees: Mapping[str, Invitee],
        revoked: Collection[str],
        others: Iterable[str] = (),
    ) -> Intent:
        """From now on the office wants what a batch says: `invitees` by mobile, and nobody of `revoked`.

        A replace leaves out everybody it does not name, but Owners, and `others`: numbers in rows that were not sent.
        """
        intent = Intent(batch.batch_id, batch.revision)
        self.revision = max(self.revision, batch.revision)
        named = {*invitees, *revoked, *others}
        for device_id in offer.device_ids:
            people = self.devices.setdefault(device_id, {})
            for mobile, invitee in invitees.items():
                intent.before[device_id, mobile] = before = people.get(mobile)
                people[mobile] = Wanted(batch.revision, _said(invitee, offer, before))
            for mobile in revoked:
                intent.before[device_id, mobile] = people.pop(mobile, None)
            if offer.mode is Mode.REPLACE:
                gone = [mobile for mobile in people if mobile not in named and not _is_owner(people[mobile])]
                intent.before.update({(device_id, mobile): people.pop(mobile) for mobile in gone})
                intent.removed[device_id] = gone
        return intent

    def settle(self, intent: Intent, results: Iterable[tuple[str, str, Result | None]], *, held: bool) -> None:
        """What became of whom: mobile, device, result (None: all of the part was refused). The others stay wanted."""
        for mobile, device_id, result in results:
            before = intent.before.get((device_id, mobile))
            if result is None or result.outcome == Outcome.REJECTED:
                self._put_back(device_id, mobile, before)
            elif any(each.code == Caution.OWNER_KEPT for each in result.warnings):
                kept = before or self.devices[device_id][mobile]
                self.devices[device_id][mobile] = Wanted(intent.revision, {**kept.said, "permission": Permission.OWNER})
            elif result.status == Status.ACTIVE:
                self.accept(device_id, mobile)
        if held:
            self.held[intent.batch_id] = Removals(revision=intent.revision, mobiles=intent.removed)
            for device_id, mobiles in intent.removed.items():
                for mobile in mobiles:
                    self._put_back(device_id, mobile, intent.before[device_id, mobile])

    def accept(self, device_id: str, mobile: str) -> None:
        """They have taken up the app: nothing the office says takes that away from whoever stays on the list."""
        people = self.devices.get(device_id, {})
        if (wanted := people.get(mobile)) is not None and not wanted.accepted:
            people[mobile] = wanted._replace(said={**wanted.said, "accepted": True})

    def forget(self, mobile: str) -> None:
        """They are wanted nowhere any more, whatever waits for a word; what is said of others has not their number."""
        eraser = Eraser(int(mobile))
        for people in self.devices.values():
            people.pop(mobile, None)
            people.update(
                {each: wanted._replace(said=_without(eraser, wanted.said)) for each, wanted in people.items()}
            )
        for removals in self.held.values():
            for mobiles in removals.mobiles.values():
                if mobile in mobiles:
                    mobiles.remove(mobile)

    def _put_back(self, device_id: str, mobile: str, before: Wanted | None) -> None:
        if before is None:
            self.devices[device_id].pop(mobile, None)
        else:
            self.devices[device_id][mobile] = before

    # ── What is heard ─────────────────────────────────────────────────────────────────────────────────────────────────

    def meet(self, state: State) -> tuple[Life, int]:
        """The gateway says where it stands; whether its store is still the same, and how many reports are lost."""
        life = self.heard.begin(state.epoch, state.session, state.reports.newest)
        lost = self.heard.give_up(state.reports.oldest)
        self.doubt |= life is Life.NEW or lost > 0
        return life, lost

    def hear(self, report: Receipt | Statuses) -> None:
        """Note a report, and what it tells of people that no batch of ours tells anyhow."""
        if not self.heard.note(report.epoch, report.report_id):
            return
        if isinstance(report, Receipt):
            if report.outcome == Verdict.COMPLETE and report.batch_id in self.held:
                self._confirmed(self.held.pop(report.batch_id))
            return
        for result in report.results:
            if result.reason == Reason.ACCEPTED and result.mobile is not None:
                self.accept(result.device_id, result.mobile)

    def _confirmed(self, removals: Removals) -> None:
        for device_id, mobiles in removals.mobiles.items():
            people = self.devices.get(device_id, {})
            for mobile in mobiles:
                if mobile in people and people[mobile].revision < removals.revision:
                    del people[mobile]


def _said(invitee: Invitee, offer: Offer, before: Wanted | None) -> dict[str, Any]:
    """All that is wanted of somebody: the item's own words, then the batch's; and what stays where nothing is said."""
    terms = {
        "permission": offer.permission,
        "startDate": offer.start_date,
        "endDate": offer.end_date,
        "schedule": offer.schedule,
        "inviteExpiresAt": offer.invite_expires_at,
        "invitedBy": offer.invited_by,
    }
    said: dict[str, Any] = {**terms, **{name: value for name, value in invitee.items() if value is not None}}
    if before is not None:
        said = {**{name: before.said.get(name) for name in _KEPT}, **said}
        said["accepted"] = said.get("accepted") is True or before.accepted
    return {name: value for name, value in said.items() if name != "mobile" and value is not None}


def _without(eraser: Eraser, said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of somebody else; who was invited by the person was invited by nobody, as at the gateway."""
    left: dict[str, Any] = eraser.json(dict(said))
    return {name: value for name, value in left.items() if name != "invitedBy" or value == said[name]}


def _is_owner(wanted: Wanted) -> bool:
    return wanted.said.get("permission") == Permission.OWNER
