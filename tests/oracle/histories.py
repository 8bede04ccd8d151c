"""Random histories over a small world, so that numbers, names, revisions and batches collide."""

from typing import Any, NamedTuple

import orjson
from hypothesis import strategies as st

from tests.oracle.items import NUMBERS, UNUSABLE, Document
from tests.oracle.model import DeviceRule

GATE, PANEL, STRANGER = "1234567890123456", "482913", "999999"
NOON = 1_800_000_000_000
HOUR = 3_600_000
MOMENTS = [NOON + hours * HOUR for hours in (-2, 0, 1, 2, 3, 5)]
OFFICE_HOURS = [{"days": ["mon", "tue"], "from": "09:00", "until": "17:00"}]
NIGHTS = [{"days": ["fri"], "from": "22:00", "until": "06:00"}, {"days": ["sat"], "from": "20:00", "until": "06:00"}]
SCHEDULES = [OFFICE_HOURS, NIGHTS, NIGHTS[::-1], [{"days": ["tue", "mon"], "from": "09:00", "until": "17:00"}]]
BAD_SCHEDULES: list[Any] = [
    [],
    "weekdays",
    [{"days": ["someday"], "from": "09:00", "until": "17:00"}],
    [{"days": ["mon"]}],
]

moments = st.none() | st.sampled_from(MOMENTS)
mobiles = st.sampled_from(sorted(NUMBERS))
schedules = st.none() | st.sampled_from(SCHEDULES)
maybe = st.sampled_from([True, False, None])
names = st.sampled_from(["Thandi", " Thandi ", "Zoe\u0308", "Zo\u00eb"])

LOOSE: dict[str, st.SearchStrategy[Any]] = {
    "notes": st.sampled_from(["Unit 4", "Unit 5 ", "", None]),
    "accepted": st.just(True) | maybe,
    "wifi": maybe,
    "units": st.sampled_from([["4"], ["4", "4B"], [], None]),
    "permission": st.sampled_from(["Repeat", "Full", None]),
    "startDate": moments,
    "endDate": moments,
    "schedule": schedules,
}
FAULTS: list[Document] = [
    {"userName": "  "},
    {"userName": None},
    {"userName": "x" * 101},
    {"userName": 7},
    {"notes": "x" * 401},
    {"wifi": "yes"},
    {"startDate": "tomorrow"},
    {"mobile": None},
    {"mobile": 27824511234},
    *({"mobile": written} for written in UNUSABLE),
    {"permission": "Friend"},
    {"permission": ["Owner"]},
    {"permission": "Repeat", "schedule": None},
    *({"permission": "Repeat", "schedule": schedule} for schedule in BAD_SCHEDULES),
    {"permission": "Temporary", "startDate": MOMENTS[4], "endDate": MOMENTS[1]},
]
NOBODY: list[Any] = [None, 5, "082 451 1234", []]


@st.composite
def people(draw: st.DrawFn) -> Any:
    """An invitee, mostly a good one."""
    invitee: Document = {"userName": draw(names), "mobile": draw(mobiles)}
    if permission := draw(st.sampled_from([*[None] * 4, "Owner", "Owner", "Always", "Temporary"])):
        invitee["permission"] = permission
    for name in draw(st.lists(st.sampled_from(sorted(LOOSE)), max_size=2, unique=True)):
        invitee[name] = draw(LOOSE[name])
    if draw(st.integers(1, 20)) == 7:
        return draw(st.sampled_from([invitee | fault for fault in FAULTS] + NOBODY))
    return invitee


revocations = st.one_of(
    *[mobiles.map(lambda mobile: {"mobile": mobile})] * 7, st.sampled_from([{}, {"mobile": UNUSABLE[0]}, "gone"])
)
PLACES = [*[[GATE]] * 4, [GATE, PANEL], [PANEL, GATE], [PANEL], [GATE, STRANGER, GATE]]


@st.composite
def batches(draw: st.DrawFn, number: int) -> list[Document]:
    """The parts of a batch."""
    count = draw(st.integers(1, 3))
    header: Document = {
        "batchId": f"batch-{number}",
        "gatewayId": "gw-1",
        "revision": 1,
        "parts": count,
        "mode": draw(st.sampled_from(["merge", "replace", "replace"])),
        "deviceIds": draw(st.sampled_from(PLACES)),
        "permission": draw(st.sampled_from([*["Always"] * 7, "Owner", "Temporary", "Repeat", "Guest", None])),
        "startDate": draw(st.sampled_from([MOMENTS[0], MOMENTS[0], MOMENTS[2], None])),
        "endDate": draw(st.sampled_from([*MOMENTS[2:], *MOMENTS[3:], None])),
        "schedule": draw(st.sampled_from([*SCHEDULES, None])),
        "inviteExpiresAt": draw(moments),
        "invitedBy": draw(st.sampled_from(["+27824511234", "office", None])),
    }
    said = [
        {
            "part": part,
            "invitees": draw(st.lists(people(), min_size=1, max_size=5)),
            "revocations": draw(st.lists(revocations, max_size=draw(st.sampled_from([0, 0, 1, 3])))),
        }
        for part in range(1, count + 1)
    ]
    return [header | each for each in said]


@st.composite
def campaigns(draw: st.DrawFn) -> list[Document]:
    """The parts of a few batches; some are the list of an earlier one, sent again as it was or with one more change."""
    revisions = draw(st.lists(st.integers(1, 9), min_size=3, max_size=5, unique=draw(st.integers(1, 8)) != 5))
    known: list[list[Document]] = []
    for number, revision in enumerate(revisions):
        if not known or draw(st.booleans()):
            batch = draw(batches(number))
        else:
            change: list[Document] = [
                {},
                {},
                {},
                {"mode": "replace"},
                {"permission": "Tenant"},
                {"invitedBy": "caretaker"},
            ]
            batch = [part | draw(st.sampled_from(change)) for part in draw(st.sampled_from(known))]
        known.append([part | {"batchId": f"batch-{number}", "revision": revision} for part in batch])
    return [part for batch in known for part in batch]


TWISTS: list[Document] = [
    {"issuedAt": NOON},
    {"expiresAt": MOMENTS[0]},
    {"expiresAt": MOMENTS[-1]},
    {"revision": 3},
    {"mode": "merge"},
    {"parts": 2},
    {"part": 2},
    {"batchId": "batch-0"},
    {"deviceIds": [GATE, PANEL]},
    {"invitees": [], "revocations": []},
    {"invitees": None, "revocations": None},
    {"permission": "Full"},
    {"newField": {"of": "tomorrow"}},
    {"gatewayId": "gw-2"},
    {"revision": None},
]
UNREADABLE = [b"", b"{", b"[]", b"\xff", b'"part"']


class Step(NamedTuple):
    """Something that happens: `deliver` messages together, or another call on store and model alike."""

    name: str
    after: int
    arguments: tuple[Any, ...] = ()


class History(NamedTuple):
    """A world, and what happens in it."""

    devices: dict[str, DeviceRule]
    share: float
    users: int
    steps: list[Step]
    batch_ids: list[str]

    @property
    def payloads(self) -> list[bytes]:
        """All messages, in order."""
        return [payload for step in self.steps if step.name == "deliver" for payload in step.arguments[0]]


@st.composite
def messages(draw: st.DrawFn, parts: list[Document]) -> list[bytes]:
    """Every part in some order, some twice, some twisted, and some rubbish in between."""
    shuffled: list[Document] = draw(st.permutations(parts))
    if draw(st.booleans()):
        shuffled.sort(key=lambda part: int(part["revision"]))
    sent = []
    for part in shuffled:
        twist = draw(st.sampled_from(TWISTS)) if draw(st.integers(1, 8)) == 5 else {}
        sent.append(orjson.dumps(part | twist))
        if draw(st.integers(1, 4)) == 3:
            sent.append(draw(st.sampled_from([*map(orjson.dumps, parts), *sent])))
        if draw(st.integers(1, 20)) == 11:
            sent.append(draw(st.sampled_from(UNREADABLE)))
    return sent


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A few batches, delivered in any order, any number of times, with time and people in between."""
    parts = draw(campaigns())
    batch_ids = sorted({part["batchId"] for part in parts})
    incidents = {
        "accept": st.tuples(st.sampled_from([GATE, GATE, PANEL]), st.sampled_from(sorted(set(NUMBERS.values())))),
        "confirm": st.tuples(st.sampled_from(batch_ids)),
        "expire": st.just(()),
        "remind": st.just(()),
        "restart": st.just(()),
    }
    rest, steps = draw(messages(parts)), []
    while rest:
        together = draw(st.integers(1, 6))
        steps.append(Step("deliver", draw(pauses), (rest[:together],)))
        rest = rest[together:]
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(incidents)))
            steps.append(Step(name, draw(pauses), draw(incidents[name])))
    places = st.sampled_from([1, 2, 3, 9, 9])
    devices = {GATE: DeviceRule("fluss+", draw(places)), PANEL: DeviceRule("intercom", draw(places))}
    return History(devices, draw(st.sampled_from([0.0, 0.5, 0.5, 1.0])), draw(st.integers(0, 2)), steps, batch_ids)


pauses = st.sampled_from([0, 0, 0, 1, HOUR, 4 * HOUR])
