"""Scenario files: TOML that tells a day at a gate, read into a Scenario, or every mistake in it at once."""

import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from protocol.mobile import Numbers
from protocol.vocabulary import Kind
from simulator import exits
from simulator.exits import Failure
from simulator.scenario import Accept, Fixture, Scenario, Step
from simulator.scenario_people import Guest, GuestBook
from simulator.scenario_steps import Cast, Standing, deed_of, moment
from simulator.scenario_tables import DeviceTable, FileTable, Mistake, closest, mistakes_of, place_of

_FLUSS_DIGITS: Final = 16
_SUFFIX: Final = ".toml"


class ScenarioError(Failure):
    """A file that tells no story; the message names it, and for every mistake the place, the key and the cure."""

    exit_code = exits.CONFIG


def shipped() -> Mapping[str, Traversable]:
    """The scenarios that come with this program, files by name."""
    files = sorted(_folder().iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(_SUFFIX): file for file in files if file.name.endswith(_SUFFIX)}


def read_shipped(name: str) -> Scenario:
    """One that comes with this program. KeyError for a name that none has."""
    return _read(shipped()[name], _folder())


def read_path(path: Path) -> Scenario:
    """The scenario in somebody's own file, lists beside it. Raises ScenarioError, OSError."""
    return _read(path, path.parent)


def _folder() -> Traversable:
    return resources.files("simulator").joinpath("scenarios")


def _read(file: Traversable, folder: Traversable) -> Scenario:
    try:
        document = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise ScenarioError(f"{file.name} is not TOML: {broken}") from None
    try:
        tables = FileTable.model_validate(document)
    except ValidationError as invalid:
        raise _error(file.name, mistakes_of(invalid, document)) from None
    return _Reading(file.name, document, tables).scenario(folder)


def _error(source: str, lines: Sequence[str]) -> ScenarioError:
    if len(lines) == 1:
        return ScenarioError(f"{source}, {lines[0]}")
    return ScenarioError("\n  ".join([f"{source} has {len(lines)} mistakes:", *lines]))


class _Reading:
    """One file on its way to a scenario; what it finds wrong it collects."""

    def __init__(self, source: str, document: Mapping[str, Any], tables: FileTable) -> None:
        self._source = source
        self._document = document
        self._tables = tables
        self._lines: list[str] = []

    def scenario(self, folder: Traversable) -> Scenario:
        about = self._tables.scenario
        zone, numbers = self._find_zone(about.zone), self._find_numbers(about.region)
        devices = self._devices()
        guests = self._guests(GuestBook(about.day, zone, numbers, any(each.kind is Kind.FLUSS for each in devices)))
        cast = Cast(devices, [guest.person for guest in guests], numbers, about.region, folder)
        steps = self._steps(cast, zone)
        for guest in guests:
            if guest.at is not None:
                step = Step(guest.at, Accept(guest.person, devices))
                place = bisect_left(steps, step.at.timestamp(), key=lambda each: each.at.timestamp())
                steps.insert(place, step)
        return Scenario(self._source, about.title, about.about or "", zone, devices, cast.people, steps)

    def _find_zone(self, name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            mistake = Mistake("zone", f"{name!r} is no time zone: write one as Africa/Johannesburg")
            raise _error(self._source, [mistake.line("[scenario]")]) from None

    def _find_numbers(self, region: str) -> Numbers:
        try:
            return Numbers(region)
        except ValueError as why:
            raise _error(self._source, [Mistake("region", str(why)).line("[scenario]")]) from None

    def _devices(self) -> list[Fixture]:
        devices: list[Fixture] = []
        for place, table in enumerate(self._tables.devices):
            with self._noting("devices", place):
                devices.append(self._device(table, self._tables.devices[:place]))
        self._refuse()
        return devices

    def _device(self, table: DeviceTable, before: Sequence[DeviceTable]) -> Fixture:
        if any(table.id == each.id for each in before):
            raise Mistake("id", f"{table.id} is there already")
        if any(table.name == each.name for each in before):
            raise Mistake("name", "another device is called so: tell them apart")
        kind = Kind.FLUSS if len(table.id) == _FLUSS_DIGITS else Kind.INTERCOM
        if table.opens is None:
            return Fixture(table.id, table.name, kind, None, table.sensor)
        if kind is Kind.FLUSS:
            raise Mistake("opens", "is for intercoms: a Fluss+ opens itself")
        gates = {each.name: each.id for each in self._tables.devices if len(each.id) == _FLUSS_DIGITS}
        if table.opens not in gates:
            raise Mistake("opens", f"{table.opens!r} is no Fluss+ of this file{closest(table.opens, gates)}")
        return Fixture(table.id, table.name, kind, gates[table.opens], table.sensor)

    def _guests(self, book: GuestBook) -> list[Guest]:
        guests: list[Guest] = []
        for place, table in enumerate(self._tables.people):
            with self._noting("people", place):
                guests.append(book.read(table, guests))
        self._refuse()
        return guests

    def _steps(self, cast: Cast, zone: ZoneInfo) -> list[Step]:
        steps: list[Step] = []
        standing, day = Standing(), self._tables.scenario.day
        for place, table in enumerate(self._tables.steps):
            with self._noting("steps", place):
                at = moment("at", table.at, day, zone)
                if steps and at.timestamp() < steps[-1].at.timestamp():
                    raise Mistake("at", "is before the step above it; another day begins as 2026-12-16 06:45")
                day = at.date()
                steps.append(Step(at, deed_of(table, cast, standing), table.note or "", place + 1))
        self._refuse()
        return steps

    @contextmanager
    def _noting(self, table: str, place: int) -> Iterator[None]:
        try:
            yield
        except Mistake as mistake:
            self._lines.append(mistake.line(place_of(table, place, self._document)))

    def _refuse(self) -> None:
        """Whatever comes next would be misread where something here is wrong."""
        if self._lines:
            raise _error(self._source, self._lines)
