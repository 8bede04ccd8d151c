"""What may stand in the log, and what is masked."""

import pytest

from agent.masking import MASK, WITHHELD, masked, masked_fields
from protocol.vocabulary import Fault


@pytest.mark.parametrize(
    "written",
    [
        "0824511234",
        "+27 82 451 1234",
        "+27824511234",
        "27824511234",
        "0027 82 451 1234",
        "(082) 451-1234",
        "+27 (0)82 451 1234",
        "082.451.1234",
        "082/451/1234",
        "０８２４５１１２３４",
        "٠٨٢٤٥١١٢٣٤",
        "082\u2011451\u00a01234",
        "12 34 56 78",
        "+683 4001",
        "tel:+27824511234;ext=5",
        "mobile0824511234",
        "0824511234 0824511235",
        "082\n451\n1234",
    ],
)
def test_number_in_any_spelling_is_masked(written: str) -> None:
    said = masked(f"part of <{written}> was refused")
    assert MASK in said
    assert not any(character.isdecimal() for character in said.replace("=5", ""))


@pytest.mark.parametrize(
    "readable",
    [
        "1234567890123456",
        "482913",
        "0192f6d2-6f0c-7c2e-9a5d-0b9f4f1f7a10",
        "12345678-1234-1234-1234-123456789012",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "a1234567890bcdef",
        "1795300000000",
        "001795300000000-a1b2c3d4e5f60718.json",
        "2026-05-18T10:11:12.123456Z",
        "2026-05-18 10:11:12+02:00",
        "127.0.0.1:41234",
        "192.168.110.123:8883",
        "no answer within 12.5 s",
        "1,048,576 bytes in one part",
        "at 0x7f8a1c0d4e50",
        "line 1 column 123456 (char 123456)",
        "/dev/ttyUSB0",
        "400, 12, 3, 1, 2, 3, 4, 5, 6",
        "aiosqlite 0.22.1, SQLite 3.40.1",
    ],
)
def test_ids_times_and_measures_stay_readable(readable: str) -> None:
    assert masked(readable) == readable


def test_fields_of_the_house_stay_as_they_are() -> None:
    event = {
        "timestamp": "2026-05-18T10:11:12.123456Z",
        "event": "part.applied",
        "gateway_id": "gw-0824511234",
        "device_id": "1234567890123456",
        "epoch": "f1234567",
        "batch_id": "20260518-0001",
        "revision": 9_007_199_254_740_991,
        "bytes": 8_388_608,
        "users": 400,
        "ms": 12,
        "share": 0.5,
        "ok": True,
        "why": None,
    }
    assert masked_fields(event) == event


def test_numbers_are_masked_whatever_holds_them() -> None:
    said = masked_fields(
        {
            "error": "no batch '082 451 1234' is known here",
            "count": 27824511234,
            "batch_id": "for-0824511234",
            "nested": {"list": [27824511234, ("+27824511234", {"deep": "0824511234"})], "0824511234": 1},
            "device_id": 27824511234,
            "at": 1_795_300_000_000,
        }
    )
    assert "451" not in str(said)
    assert said["batch_id"] == f"for-{MASK}"
    assert said["at"] == 1_795_300_000_000


def test_fields_that_name_people_are_withheld() -> None:
    said = masked_fields({"name": "Ann", "notes": "Unit 4", "mobile": "082 45", "invitees": [{"userName": "Ann"}]})
    assert set(said.values()) == {WITHHELD}
    assert masked_fields({"name": None}) == {"name": None}


def test_id_that_is_no_id_is_withheld() -> None:
    assert masked_fields({"batch_id": "the list of Ann Nkosi"}) == {"batch_id": WITHHELD}


def test_objects_are_named_and_not_shown() -> None:
    said = masked_fields(
        {
            "raw": b"Ann",
            "error": KeyError("Ann"),
            "fault": Fault.SCHEMA,
            "deep": {"a": {"b": {"c": {"d": {"e": "Ann"}}}}},
        }
    )
    assert said == {
        "raw": "<3 bytes>",
        "error": "<KeyError>",
        "fault": "schema",
        "deep": {"a": {"b": {"c": {"d": "<dict>"}}}},
    }
