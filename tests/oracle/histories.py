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
BAD_SCHEDULES = [[], "weekdays", [{"days": ["someday"], "from": "09:00", "until": "17:00"}], [{"days": ["mon"]}]]

moments = st.none() | st.sampled_from(MOMENTS)
mobiles = st.sampled_from(sorted(NUMBERS))
schedules = st.none() | st.sampled_from(SCHEDULES)
permissions = st.sampled_from(["Always", "Always", "Owner", "Temporary", "Repeat"])
maybe = st.none() | st.booleans()
names = st.sampled_from(["Thandi", " Thandi ", "Zoe\u0308", "Zo\u00eb"])

LOOSE: Document = {
    "notes": st.sampled_from(["Unit 4", "Unit 5 ", "", None]),
    "accepted": maybe,
    "wifi": maybe,
    "units": st.sampled_from([["4"], ["4", "4B"], [], None]),
    "permission": st.none() | permissions,
    "startDate": moments,
    "endDate": moments,
    "schedule": schedules,
}
FAULTS = [
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


@st.composite
def people(draw: st.DrawFn) -> Any:
    """An invitee, mostly a good one."""
    kind = draw(st.integers(0, 29))
    if kind == 0:
        return draw(st.sampled_from([None, 5, "082 451 1234", []]))
    invitee: Document = {"userName": draw(names), "mobile": draw(mobiles)}
    invitee |= {name: draw(LOOSE[name]) for name in draw(st.sets(st.sampled_from(sorted(LOOSE)), max_size=3))}
    if kind < 5:
        invitee |= draw(st.sampled_from(FAULTS))
    return invitee | ({"shoeSize": 44} if kind == 29 else {})


revocations = st.one_of(
    *[mobiles.map(lambda mobile: {"mobile": mobile})] * 5, st.sampled_from([{}, {"mobile": UNUSABLE[0]}, "gone"])
)


@st.composite
def batches(draw: st.DrawFn, number: int) -> list[Document]:
    """The parts of a batch."""
    parts = draw(st.integers(1, 3))
    header: Document = {
        "batchId": f"batch-{number}",
        "gatewayId": "gw-1",
        "revision": draw(st.integers(1, 7)),
        "parts": parts,
        "mode": draw(st.sampled_from(["merge", "replace"])),
        "deviceIds": draw(st.sampled_from([[GATE], [GATE], [PANEL, GATE], [GATE, STRANGER, PANEL, GATE], [STRANGER]])),
        "permission": draw(st.sampled_from(["Always", "Always", "Owner", "Temporary", "Repeat", "Guest", None])),
        "startDate": draw(moments),
        "endDate": draw(moments),
        "schedule": draw(schedules),
        "inviteExpiresAt": draw(moments),
        "invitedBy": draw(st.none() | st.sampled_from(["+27824511234", "office"])),
    }
    said = [
        {
            "part": part,
            "invitees": draw(st.lists(people(), max_size=4)),
            "revocations": draw(st.lists(revocations, max_size=1 if part % 2 else 3)),
        }
        for part in range(1, parts + 1)
    ]
    return [header | each for each in said]


TWISTS: list[Document] = [
    *[{}] * 12,
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
    {"permission": "Full"},
    {"newField": {"of": "tomorrow"}},
    {"gatewayId": "gw-2"},
    {"revision": None},
]


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


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A few batches, delivered in any order, any number of times, with time and people in between."""
    known = [part for number in range(draw(st.integers(1, 4))) for part in draw(batches(number))]

    @st.composite
    def messages(draw: st.DrawFn) -> bytes:
        if draw(st.integers(0, 39)) == 0:
            return draw(st.sampled_from([b"", b"{", b"[]", b"\xff", b'"part"']))
        return orjson.dumps(draw(st.sampled_from(known)) | draw(st.sampled_from(TWISTS)))

    deliver = st.tuples(st.lists(messages(), min_size=1, max_size=6))
    others = {
        "accept": st.tuples(st.sampled_from([GATE, PANEL]), st.sampled_from(sorted(set(NUMBERS.values())))),
        "confirm": st.tuples(st.sampled_from(sorted({part["batchId"] for part in known}))),
        "expire": st.just(()),
        "remind": st.just(()),
    }
    names = st.sampled_from(["deliver"] * 6 + sorted(others))
    steps = []
    for name in draw(st.lists(names, min_size=1, max_size=8)):
        arguments = draw(deliver if name == "deliver" else others[name])
        steps.append(Step(name, draw(st.sampled_from([0, 0, 0, 1, HOUR, 4 * HOUR])), arguments))
    places = st.integers(1, 4)
    devices = {GATE: DeviceRule("fluss+", draw(places)), PANEL: DeviceRule("intercom", draw(places))}
    return History(devices, draw(st.sampled_from([0.0, 0.5, 0.5, 1.0])), draw(st.integers(0, 2)), steps)
