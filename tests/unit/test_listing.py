"""Who is found on the list, by what somebody types, and in what order they come."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from protocol.mobile import Numbers
from storage.database import Database, Reader, shipped_schema
from storage.listing import Entry, Search, entries, folded, schema_version
from tests.counterparts.cloud import GATE, PANEL, Document, part
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

ZA = Numbers("ZA")
NOW = 1_795_300_000_000
DAVID = 27824511234


def finds(typed: str, *texts: str, mobile: int = DAVID, region: str = "ZA") -> bool:
    return Search(typed, Numbers(region)).finds(mobile, *texts)


@pytest.mark.parametrize(
    "typed",
    [
        "082 451 1234",
        "0824511234",
        "082-451-1234",
        "(082) 451 1234",
        "+27 82 451 1234",
        "+27 (0)82 451 1234",
        "0027 82 451 1234",
        "27824511234",
        "082 451",
        "082",
        "+27 82",
        "+27",
        "0027 82",
        "824511",
        "451 1234",
        "1234",
        " 1234 ",
        "０８２ ４５１",
        "＋２７ ８２",
        "٠٨٢ ٤٥١ ١٢٣٤",
        "082\xa0451\u20111234",
    ],
)
def test_number_is_found_however_it_is_spelled(typed: str) -> None:
    assert finds(typed)


@pytest.mark.parametrize(
    "typed",
    ["083", "082 452", "+82", "+27 83", "0082", "+1234", "4321", "34", "12", "0", "+", "()", "08245112345", "082a451"],
)
def test_number_is_not_found_by_what_is_no_part_of_it(typed: str) -> None:
    assert not finds(typed)


def test_number_is_found_where_its_region_dials_something_else_than_a_0() -> None:
    assert finds("06 20 123 4567", mobile=36201234567, region="HU")
    assert finds("8 (912) 345-67-89", mobile=79123456789, region="RU")
    assert not finds("8 (912) 345-67-89", mobile=79123456789, region="ZA")


def example(region: str, tail: int) -> phonenumbers.PhoneNumber:
    """A mobile number of a region, with other digits at its end."""
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    assert number is not None
    return phonenumbers.parse(f"{phonenumbers.format_number(number, PhoneNumberFormat.E164)[:-4]}{tail:04}")


numbers = st.builds(
    example,
    st.sampled_from(["ZA", "GB", "DE", "US", "NA", "ZW", "MZ", "BW", "KE", "AE", "FR", "NL", "AU"]),
    st.integers(0, 9999),
)


@given(
    numbers,
    st.sampled_from([PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL]),
    st.data(),
)
def test_number_is_found_by_the_beginning_of_how_its_country_writes_it(
    number: phonenumbers.PhoneNumber, spelling: int, data: st.DataObject
) -> None:
    written = phonenumbers.format_number(number, spelling)
    enough = next(end for end in range(len(written)) if sum(map(str.isdecimal, written[:end])) == 3)
    begun = written[: data.draw(st.integers(enough, len(written)))]
    e164 = int(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    assert finds(begun, "Somebody", mobile=e164)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("zoe", "Zoë"),
        ("ZOË MÜL", "Zoe\u0308 Mu\u0308ller"),
        ("muller", "Müller-Lüdenscheidt"),
        ("strasse", "Hauptstraße 4"),
        ("unit 4", "Unit\n 4"),
        ("  unit   4 ", "Unit 4"),
        ("ali", "ＡＬＩ"),
        ("4", "Unit 4"),
        ("3/12", "Block 3/12"),
        ("محمد", "مُحَمَّد"),
        ("o'brien", "Sean O'Brien"),
    ],
)
def test_text_is_found_whatever_its_case_accents_and_spaces(typed: str, text: str) -> None:
    assert finds(typed, "someone else", text)


@pytest.mark.parametrize(("typed", "text"), [("zoe", "Zo Ellis"), ("unit 4", "Unit 14"), ("%", "Unit 4"), ("_", "A")])
def test_text_is_not_found_in_another(typed: str, text: str) -> None:
    assert not finds(typed, text)


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_text_is_found_in_whatever_holds_it(text: str, before: str, after: str) -> None:
    """Unless what stands around it changes its letters, as a combining accent does."""
    around = f"{before} {text} {after}"
    assert finds(text, around) or folded(text) not in folded(around)
    assert finds(text, text)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    rules = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", rules) as store:
        yield store


async def invite(store: Store, batch_id: str, revision: int, invitees: Sequence[Document], **fields: object) -> None:
    sent = part(batch_id, revision, invitees, **fields)
    await store.receive([json.dumps(sent).encode()], NOW)


def listed(store: Store, *devices: str, status: str | None = None, search: str = "") -> list[Entry]:
    return list(entries(store.reader, devices or (GATE, PANEL), status, Search(search, ZA) if search else None))


async def test_user_is_listed_with_all_that_was_agreed(store: Store) -> None:
    weekdays = [{"days": ["mon", "tue"], "from": "09:00", "until": "17:00"}]
    gardener: Document = {
        "userName": "Gift",
        "mobile": "082 451 1234",
        "notes": "Garden",
        "wifi": False,
        "accepted": True,
    }
    agreed = {"permission": "Repeat", "schedule": weekdays, "startDate": NOW, "endDate": NOW + 1}
    await invite(store, "b-1", 7, [gardener | agreed], invitedBy="+27820000100")
    await invite(store, "b-2", 8, [{"userName": "Gift", "mobile": "082 451 1234", "units": ["4 A"]}], deviceIds=[PANEL])
    gate, panel = listed(store)
    assert gate == Entry(
        GATE,
        DAVID,
        "Gift",
        "Garden",
        "Repeat",
        NOW,
        NOW + 1,
        weekdays,
        None,
        False,
        "+27820000100",
        "Active",
        7,
        "b-1",
        NOW,
    )
    assert (panel.permission, panel.units, panel.wifi, panel.invited_by, panel.status) == (
        *(None, ["4 A"], True, None),
        "Pending",
    )


async def test_users_come_by_device_as_asked_and_then_by_name(store: Store) -> None:
    names = ["émile", "Zoë", "adam", "Eve", "Ömer", "Adam"]
    people = [{"userName": name, "mobile": f"08245112{place:02}"} for place, name in enumerate(names)]
    await invite(store, "b-1", 1, people, deviceIds=[GATE, PANEL])
    in_order = ["adam", "Adam", "émile", "Eve", "Ömer", "Zoë"]
    assert [(entry.device_id, entry.name) for entry in listed(store, PANEL, GATE)] == [
        *((PANEL, name) for name in in_order),
        *((GATE, name) for name in in_order),
    ]
    assert [entry.name for entry in listed(store, GATE)] == in_order


async def test_users_are_listed_by_status_and_search_and_not_once_revoked(store: Store) -> None:
    people: list[Document] = [
        {"userName": "David", "mobile": "082 451 1234", "notes": "Unit 4", "accepted": True},
        {"userName": "Zoë", "mobile": "082 451 1235"},
        {"userName": "Gone", "mobile": "082 451 1236"},
    ]
    await invite(store, "b-1", 1, people, deviceIds=[GATE, PANEL], units=None)
    flat = {"userName": "Zoë", "mobile": "082 451 1235", "units": ['The "Loft", 4 A']}
    await invite(store, "b-2", 2, [flat], deviceIds=[PANEL], revocations=[{"mobile": "082 451 1236"}])

    assert [entry.name for entry in listed(store, GATE, status="Pending")] == ["Gone", "Zoë"]
    assert [entry.name for entry in listed(store, PANEL)] == ["David", "Zoë"]
    assert [entry.device_id for entry in listed(store, search='the "loft"')] == [PANEL]
    assert [entry.name for entry in listed(store, search='",')] == ["Zoë"], "a comma of hers, none of how it is stored"
    assert not listed(store, search='"]')
    assert not listed(store, GATE, status="Pending", search="unit 4")


async def test_schema_version_tells_a_store_that_was_made_to_the_end(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.db").touch()
    async with Database(tmp_path / "young.db"):
        for name, version in (("gateway.db", len(shipped_schema())), ("young.db", 0), ("empty.db", 0)):
            reader = Reader(tmp_path / name)
            assert schema_version(reader) == version
            reader.close()
