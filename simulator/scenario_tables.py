"""The tables of a scenario file as TOML has them, and what is wrong with one, in words that name key and cure."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from protocol.vocabulary import Action, Channel, Command, Direction, Mode, Permission
from simulator.uplink import Net

Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]*$")
]
_Word = Field(strict=False)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class About(_Table):
    """The story itself: `day` is the day on which it begins."""

    title: Text
    about: Text | None = None
    day: date
    zone: Text = "Africa/Johannesburg"
    region: Text = "ZA"


class DeviceTable(_Table):
    """A device: 16 digits are a Fluss+, 6 an intercom, which `opens` one, by name."""

    id: Annotated[str, StringConstraints(pattern=r"^([0-9]{6}|[0-9]{16})$")]
    name: Text
    opens: Text | None = None
    sensor: bool = True


class PersonTable(_Table):
    """Somebody, `invited` with what the office offers them, or not. `accepts`: already, now, never, or a time."""

    name: Text
    mobile: Text
    permission: Annotated[Permission, _Word] = Permission.ALWAYS
    schedule: Text | None = None
    start: Annotated[Text | None, Field(alias="from")] = None
    until: Text | None = None
    wifi: bool | None = None
    units: list[Text] | None = None
    notes: Text | None = None
    accepts: Text = "already"
    invited: bool = True


class StepTable(_Table):
    """What happens at a time. One key says what, the others who, where and how; `WITH` says which go together."""

    at: Text
    note: Text | None = None
    ask: Text | None = None
    accept: Text | None = None
    command: Annotated[Command | None, _Word] = None
    list_: Annotated[Text | list[Text] | None, Field(alias="import")] = None
    revoke: list[Text] | None = None
    give_code: Text | None = None
    take_code: Text | None = None
    status: Text | None = None
    network: Annotated[Net | None, _Word] = None
    power: Literal["on", "off"] | None = None
    hardware: Literal["offline", "online", "silent"] | None = None
    who: Text | None = None
    device: Text | None = None
    devices: list[Text] | None = None
    channel: Annotated[Channel | None, _Word] = None
    action: Annotated[Action | None, _Word] = None
    unit: Text | None = None
    code: Text | None = None
    direction: Annotated[Direction | None, _Word] = None
    mode: Annotated[Mode | None, _Word] = None
    permission: Annotated[Permission | None, _Word] = None
    accepted: bool | None = None
    clock: Literal["right", "unknown"] | None = None
    expect: Text | dict[str, int] | None = None


class FileTable(_Table):
    """A whole file."""

    scenario: About
    devices: Annotated[list[DeviceTable], Field(min_length=1, max_length=64)]
    people: list[PersonTable] = Field(default_factory=list)
    steps: Annotated[list[StepTable], Field(min_length=1)]


WITH: Final[Mapping[str, frozenset[str]]] = {
    "ask": frozenset({"who", "channel", "action", "unit", "code", "direction", "expect"}),
    "accept": frozenset({"who"}),
    "command": frozenset({"who", "device", "expect"}),
    "import": frozenset({"devices", "mode", "permission", "accepted", "expect"}),
    "revoke": frozenset({"devices"}),
    "give_code": frozenset({"device"}),
    "take_code": frozenset({"device"}),
    "status": frozenset({"who", "device"}),
    "network": frozenset(),
    "power": frozenset({"clock"}),
    "hardware": frozenset({"device"}),
}
"""What a step does, by the key that says so, and the further keys that may stand beside it."""

_TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "scenario": About,
    "devices": DeviceTable,
    "people": PersonTable,
    "steps": StepTable,
}


class Mistake(Exception):
    """Something under a key that makes no sense; the words say how it would."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.key = key

    def line(self, place: str) -> str:
        """The whole of it: where, under which key, and what."""
        return f"{', '.join(filter(None, (place, self.key)))}: {self}"


def mistakes_of(invalid: ValidationError, document: Mapping[str, Any]) -> list[str]:
    """What pydantic found, a line for each key, under the names a person knows them by."""
    lines: dict[tuple[str, str], str] = {}
    for error in invalid.errors(include_url=False):
        table, *rest = map(str, error["loc"])
        place, keys = _place(table, rest, document)
        key = keys[0] if keys else ""
        lines.setdefault((place, key), Mistake(key, _words(error, table, key)).line(place))
    return list(lines.values())


def place_of(table: str, index: int, document: Mapping[str, Any]) -> str:
    """How a device, a person or a step is called: by its name or its time, and its place in the file."""
    try:
        written = document[table][index]
        called = written.get({"steps": "at"}.get(table, "name"))
    except (LookupError, TypeError, AttributeError):
        called = None
    one = {"steps": "step", "people": "person", "devices": "device"}[table]
    return f"{one} {index + 1}" + (f" ({called})" if isinstance(called, str) else "")


def closest(wrong: str, known: Iterable[str]) -> str:
    """The one that was meant, as a question; nothing where none is near."""
    near = get_close_matches(wrong, list(map(str, known)), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_of(key: str, value: str, known: Collection[str], example: str) -> str:
    """The value, if it is known. Raises Mistake."""
    if value not in known:
        raise Mistake(key, f"{value!r} is none of the words here, such as {example}{closest(value, known)}")
    return value


def _place(table: str, rest: list[str], document: Mapping[str, Any]) -> tuple[str, list[str]]:
    if table in {"devices", "people", "steps"} and rest and rest[0].isdigit():
        return place_of(table, int(rest[0]), document), rest[1:]
    return f"[{table}]", rest


def _words(error: ErrorDetails, table: str, key: str) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"is no key here{_near_key(table, key)}"
        case "enum" | "literal_error":
            return f"{value!r} is none of {error['ctx']['expected']}"
        case "string_pattern_mismatch" if key == "id":
            return f"{value!r} is no device id: 16 digits for a Fluss+, 6 for an intercom"
        case "string_pattern_mismatch":
            return f"{value!r} holds what cannot be printed"
        case "date_type":
            return f"{value!r} is no day: write it without quotes, as 2026-12-16"
        case "too_short":
            return "there has to be at least one"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}"


def _near_key(table: str, key: str) -> str:
    fields = _TABLES.get(table, FileTable).model_fields
    return closest(key, [field.alias or name for name, field in fields.items()])
