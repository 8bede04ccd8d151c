"""Scenario files: what they mean, and what is said where they mean nothing."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from protocol.vocabulary import Action, Channel, Kind, Permission, Status
from simulator.scenario import Accept, Ask, Import, Look, Network, Order, Power, Remark, Scenario, TakesUp
from simulator.scenario_file import ScenarioError, read_path, read_shipped, shipped
from simulator.uplink import Net

ZONE = ZoneInfo("Africa/Johannesburg")

HEAD = """
[scenario]
title = "A test"
day = 2026-12-08

[[devices]]
id = "1234567890123456"
name = "Main gate"

[[devices]]
id = "482913"
name = "Panel"
opens = "Main gate"

[[people]]
name = "David"
mobile = "082 000 0101"

[[people]]
name = "Gladys"
mobile = "082 000 0201"
permission = "Repeat"
schedule = "mon-fri 08:00-13:00"
until = "2026-12-18"
accepts = "07:45"
wifi = false

[[people]]
name = "A stranger"
mobile = "073 999 0000"
invited = false
"""

STEPS = """
[[steps]]
at = "06:00"
import = "everybody"
expect = { added = 4 }

[[steps]]
at = "07:45"
who = "Gladys"
ask = "Main gate"
expect = "outside_schedule"

[[steps]]
at = "08:00"
who = "084 000 0131"
ask = "Panel"
unit = "4"

[[steps]]
at = "08:30"
network = "down"
note = "The line is cut."

[[steps]]
at = "08:31"
who = "David"
command = "open"
expect = "unanswered"

[[steps]]
at = "2026-12-09 07:00"
network = "up"

[[steps]]
at = "07:01"
who = "Gladys"
status = "Active"
"""


def read(folder: Path, text: str) -> Scenario:
    file = folder / "day.toml"
    file.write_text(text, "utf-8")
    return read_path(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as refused:
        read(folder, text)
    return str(refused.value)


def at(hour: int, minute: int = 0, day: int = 8) -> datetime:
    return datetime(2026, 12, day, hour, minute, tzinfo=ZONE)


def test_file_reads_as_the_day_it_tells(tmp_path: Path) -> None:
    story = read(tmp_path, HEAD + STEPS)
    assert [(step.at, type(step.deed)) for step in story.steps] == [
        (at(6), Import),
        (at(7, 45), Accept),
        (at(7, 45), Ask),
        (at(8), Ask),
        (at(8, 30), Network),
        (at(8, 31), Order),
        (at(7, day=9), Network),
        (at(7, 1, day=9), Look),
    ]
    gate, panel = story.devices
    assert (gate.kind, panel.kind, panel.opens) == (Kind.FLUSS, Kind.INTERCOM, gate.device_id)
    imported, accepts, asks, at_panel, down, order, _, look = [step.deed for step in story.steps]
    assert isinstance(imported, Import)
    assert [person.name for person in imported.people] == ["David", "Gladys"]
    assert imported.expect == {"added": 4}
    assert isinstance(accepts, Accept)
    assert (accepts.who.name, accepts.devices) == ("Gladys", story.devices)
    assert isinstance(asks, Ask)
    assert (asks.device, asks.channel, asks.action, asks.expect) == (gate, None, Action.TRIGGER, "outside_schedule")
    assert isinstance(at_panel, Ask)
    assert at_panel.who is not None
    assert (at_panel.who.mobile, at_panel.who.invitee, at_panel.unit) == ("+27840000131", None, "4")
    assert down == Network(Net.DOWN)
    assert story.steps[4].note == "The line is cut."
    assert isinstance(order, Order)
    assert (order.device, order.expect) == (gate, "unanswered")
    assert isinstance(look, Look)
    assert look.expect is Status.ACTIVE


def test_people_are_invited_with_what_is_written_of_them(tmp_path: Path) -> None:
    david, gladys, stranger = read(tmp_path, HEAD + STEPS).people
    assert david.invitee is not None
    assert (david.mobile, david.takes_up) == ("+27820000101", TakesUp.ALREADY)
    assert (david.invitee["permission"], david.invitee["accepted"]) == (Permission.ALWAYS, True)
    assert "wifi" not in david.invitee
    assert gladys.invitee is not None
    assert (gladys.invitee["accepted"], gladys.invitee["wifi"]) == (False, False)
    assert gladys.invitee["schedule"] == [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "until": "13:00"}
    ]
    assert gladys.invitee["endDate"] == int(at(0, day=19).timestamp() * 1000), "the last day counts to its end"
    assert stranger.invitee is None


def test_times_without_a_date_are_of_the_first_day_where_they_stand_beside_a_person(tmp_path: Path) -> None:
    guest = """
[[people]]
name = "Guest"
mobile = "084 000 0131"
permission = "Temporary"
from = "14:00"
until = "2026-12-09 11:30"
"""
    *_, person = read(tmp_path, HEAD + guest + STEPS).people
    assert person.invitee is not None
    expected = [int(moment.timestamp() * 1000) for moment in (at(14), at(11, 30, day=9))]
    assert [person.invitee["startDate"], person.invitee["endDate"]] == expected


def test_list_in_a_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text("Name,Mobile\nAyanda Cele,073 000 0119\nNobody,12\n", "utf-8")
    step = '[[steps]]\nat = "07:00"\nimport = "staff.csv"\npermission = "Tenant"\naccepted = true\n'
    (step_read,) = [step for step in read(tmp_path, HEAD + step).steps if isinstance(step.deed, Import)]
    deed = step_read.deed
    assert isinstance(deed, Import)
    assert deed.roster is not None
    assert [(entry.contact.name, entry.accepted) for entry in deed.roster.entries] == [
        ("Ayanda Cele", True),
        ("Nobody", True),
    ]
    assert deed.permission is Permission.TENANT


def test_gateway_starts_again_without_the_time_where_a_step_says_so(tmp_path: Path) -> None:
    steps = '[[steps]]\nat = "18:00"\npower = "off"\n[[steps]]\nat = "18:01"\npower = "on"\nclock = "unknown"\n'
    steps += '[[steps]]\nat = "18:02"\nnote = "It is dark."\n'
    story = read(tmp_path, HEAD.replace('accepts = "07:45"\n', "") + steps)
    assert [step.deed for step in story.steps] == [Power(False, True), Power(True, False), Remark()]


def test_shipped_scenarios_are_days_at_a_gate() -> None:
    assert {"morning", "cleaner", "loadshedding", "office"} <= shipped().keys()
    for name in shipped():
        story = read_shipped(name)
        judged = [step for step in story.steps if getattr(step.deed, "expect", None) is not None]
        assert len(judged) >= 8, name


STEP = '[[steps]]\nat = "07:00"\n'
ASK = STEP + 'who = "David"\nask = "Main gate"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "day.toml is not TOML: "),
        (STEPS, "\n  [scenario]: is missing"),
        (
            HEAD.replace("2026-12-08", '"Tuesday"') + ASK,
            "[scenario], day: 'Tuesday' is no day: write it without quotes",
        ),
        (
            HEAD.replace('"A test"\n', '"A test"\nzone = "Africa/Joburg"\n') + ASK,
            "zone: 'Africa/Joburg' is no time zone",
        ),
        (HEAD.replace('"A test"\n', '"A test"\nregion = "XX"\n') + ASK, "region: 'XX' is not a region"),
        (HEAD.replace('"482913"', '"48291"') + ASK, "device 2 (Panel), id: '48291' is no device id: 16 digits"),
        (
            HEAD.replace('opens = "Main gate"', 'opens = "Main gat"') + ASK,
            "opens: 'Main gat' is no Fluss+ of this file",
        ),
        (HEAD.replace('"A stranger"', '"David"') + ASK, "person 3 (David), name: somebody else is called so"),
        (
            HEAD.replace("073 999 0000", "+27 82 000 0101") + ASK,
            "mobile: +27 82 000 0101 is the number of David already",
        ),
        (HEAD.replace("073 999 0000", "073 99") + ASK, "person 3 (A stranger), mobile: '073 99' is too short"),
        (HEAD.replace('schedule = "mon-fri 08:00-13:00"\n', "") + ASK, "schedule: Repeat access needs a schedule"),
        (HEAD.replace("mon-fri", "weekdays") + ASK, "(Gladys), schedule: 'weekdays' is neither a day nor a time"),
        (HEAD.replace('"07:45"', '"soon"') + ASK, "(Gladys), accepts: 'soon' is none of already, now and never"),
        (HEAD.replace("wifi = false", "wi_fi = false") + ASK, "(Gladys), wi_fi: is no key here; did you mean 'wifi'?"),
        (HEAD.replace('"Repeat"', '"Repeating"') + ASK, "(Gladys), permission: 'Repeating' is none of "),
        (HEAD, "day.toml, [steps]: is missing"),
        (
            HEAD + ASK + 'expect = "allowd"\n',
            "step 1 (07:00), expect: 'allowd' is none of the words here, such as allowed",
        ),
        (HEAD + ASK + 'expect = "allowd"\n', "did you mean 'allowed'?"),
        (
            HEAD + ASK.replace("David", "Davd"),
            "step 1 (07:00), who: there is nobody called 'Davd'; did you mean 'David'?",
        ),
        (HEAD + ASK.replace("Main gate", "Maingate"), "ask: there is no device 'Maingate'; did you mean 'Main gate'?"),
        (HEAD + ASK.replace('who = "David"\n', ""), "step 1 (07:00), who: is missing"),
        (HEAD + ASK + 'code = "1234"\n', "code: Main gate has no keypad"),
        (HEAD + ASK.replace("Main gate", "Panel") + 'code = "given"\n', "code: nobody has given them one before"),
        (HEAD + ASK + 'network = "down"\n', "network: one step does one thing, and 'ask' stands there already"),
        (HEAD + ASK + 'clock = "right"\n', "clock: has no meaning beside 'ask'"),
        (HEAD + STEP, "step 1 (07:00): nothing says what happens: write one of ask, accept"),
        (HEAD + ASK.replace('"07:00"', '"7 o\'clock"'), 'at: "7 o\'clock" is no time: write 06:45'),
        (HEAD + ASK.replace('"07:00"', '"25:00"'), "at: '25:00' is no time"),
        (HEAD + ASK + ASK.replace("07:00", "06:59"), "step 2 (06:59), at: is before the step above it"),
        (HEAD + STEP + 'network = "gone"\n', "network: 'gone' is none of 'up', 'down' or 'flapping'"),
        (HEAD + STEP + 'power = "on"\n', "power: it is on already"),
        (
            HEAD + STEP + 'power = "off"\n' + STEP + 'import = ["David"]\n',
            "import: needs the gateway, which has had no",
        ),
        (
            HEAD + STEP + 'network = "down"\n' + STEP + 'revoke = ["David"]\n',
            "revoke: needs the network, which has been down",
        ),
        (
            HEAD + STEP + 'power = "off"\n' + STEP + 'who = "David"\naccept = "Main gate"\n',
            "accept: nobody hears of it",
        ),
        (HEAD + STEP + 'hardware = "online"\n', "hardware: Main gate is online already"),
        (HEAD + STEP + 'import = ["A stranger"]\n', "import: A stranger is not invited in this story"),
        (HEAD + STEP + 'import = "nobody.csv"\n', "permission: is missing: a Fluss+ needs an access type"),
        (HEAD + STEP + 'import = "no.csv"\npermission = "Always"\n', "import: no.csv cannot be read beside this file"),
        (
            HEAD + STEP + 'import = "everybody"\nexpect = { aded = 1 }\n',
            "expect: 'aded' is no outcome; did you mean 'added'?",
        ),
        (HEAD + STEP + 'import = "everybody"\nexpect = "allowed"\n', "expect: is how many there are of each outcome"),
        (HEAD + STEP + 'who = "David"\nstatus = "active"\n', "status: 'active' is none of the words here"),
        (
            HEAD + STEP + 'who = "David"\ncommand = "report"\n',
            "command: 'report' moves no gate: write trigger, open or close",
        ),
        (
            HEAD + STEP + 'give_code = "David"\ndevice = "Main gate"\n',
            "device: Main gate is none: this needs a device of the kind",
        ),
        (HEAD + STEP + 'take_code = "David"\n', "take_code: nobody has given them one before"),
    ],
)
def test_file_that_tells_no_story_is_refused_with_place_key_and_cure(tmp_path: Path, text: str, words: str) -> None:
    said = refusal(tmp_path, text)
    assert words in said
    assert said.startswith("day.toml")


def test_every_mistake_of_one_kind_is_named_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, HEAD + ASK + 'expect = "yes"\n' + ASK.replace("David", "Dave"))
    assert said.splitlines()[0] == "day.toml has 2 mistakes:"
    assert [line.split(",")[0] for line in said.splitlines()[1:]] == ["  step 1 (07:00)", "  step 2 (07:00)"]


def test_codes_and_devices_are_followed_from_step_to_step(tmp_path: Path) -> None:
    given = STEP + 'give_code = "David"\n' + ASK.replace("Main gate", "Panel") + 'code = "given"\n'
    gone = STEP + 'hardware = "offline"\ndevice = "Panel"\n' + STEP + 'hardware = "online"\ndevice = "Panel"\n'
    steps = read(tmp_path, HEAD + given + gone).steps
    asks = [step.deed for step in steps if isinstance(step.deed, Ask)]
    assert [(ask.code, ask.channel) for ask in asks] == [("given", Channel.KEYPAD)]
