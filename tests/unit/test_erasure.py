"""What is left of something written once somebody in it is erased."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from agent.residue import Residue, traces, words
from protocol.erasure import GONE, WORDS, Eraser
from protocol.messages import StatusesMessage
from protocol.reports import ERASED, Run, packed, statuses_payload, unpacked
from protocol.vocabulary import Outcome
from storage.database import Database
from tests.counterparts.cloud import GATE

DAVID, ZOE = 27824511234, 447911123456
ERASER = Eraser(DAVID)


@pytest.mark.parametrize(
    "spelled",
    [
        "0824511234",
        "+27824511234",
        "0027 82 451 1234",
        "+27 (0)82 451 1234",
        "(082) 451-1234",
        "082.451.1234",
        "824511234",
    ],
)
def test_number_goes_from_what_somebody_wrote(spelled: str) -> None:
    assert ERASER.text(f"call {spelled} at 10:00") == f"call {GONE} at 10:00"


@pytest.mark.parametrize("other", ["082 451 1235", "Unit 4", "+44 7911 123456", "24511234", ""])
def test_whatever_else_somebody_wrote_stays(other: str) -> None:
    assert ERASER.text(other) == other
    assert ERASER.text(None) is None


def test_results_lose_the_person_and_keep_everybody_else() -> None:
    runs = [
        Run(GATE, 5, Outcome.ADDED, "Pending", [ZOE, DAVID, DAVID, ZOE]),
        Run(GATE, 9, Outcome.REVOKED, None, [ZOE]),
    ]
    left = ERASER.runs(unpacked(packed(runs)))
    assert left is not None
    payload = statuses_payload("gw-1", "k3f9", 1, 2, ("b1", 1, 1), left)
    StatusesMessage.model_validate_json(payload)
    results = json.loads(payload)["results"]
    assert [(each["item"], each["mobile"], each.get("erased")) for each in results] == [
        (5, f"+{ZOE}", None),
        (6, None, True),
        (7, None, True),
        (8, f"+{ZOE}", None),
        (9, f"+{ZOE}", None),
    ]
    assert {each["outcome"] for each in results} == {"added", "revoked"}


def test_results_of_nobody_in_question_are_none_to_write_again() -> None:
    assert ERASER.runs(unpacked(packed([Run(GATE, 0, Outcome.ADDED, "Pending", [ZOE, None])]))) is None


def test_words_go_with_the_person_and_wherever_nobody_knows_whose_number_was_meant() -> None:
    def error(code: str, message: str) -> dict[str, str]:
        return {"code": code, "field": "mobile", "message": message}

    runs = [
        Run(GATE, 0, Outcome.REJECTED, None, [DAVID], error=error("invalid_permission", "'0824511234' is not one of")),
        Run(GATE, 1, Outcome.REJECTED, None, [None, None], error=error("invalid_mobile", "'082 45' is too short")),
        Run(GATE, 3, Outcome.REJECTED, None, [None], error=error("invalid_mobile", "the number is missing")),
        Run(GATE, 4, Outcome.ADDED, "Active", [DAVID], warnings=[error("unassigned_range", "'+27824511234' is in a")]),
    ]
    left = ERASER.runs(runs)
    assert left is not None
    assert [run.mobiles for run in left] == [[ERASED], [ERASED, ERASED], [None], [ERASED]]
    assert [(run.error or run.warnings[0])["message"] for run in left] == [  # type: ignore[index]  # one of them it has
        WORDS,
        WORDS,
        "the number is missing",
        WORDS,
    ]


def test_reply_loses_the_person() -> None:
    code = {"code": "0042", "userName": "David", "mobile": f"+{DAVID}"}
    other = {"code": "0043", "userName": "Zoë", "mobile": f"+{ZOE}"}
    body = json.dumps({"result": {"codes": [code, other]}, "error": {"message": "'082 451 1234' is too odd"}}).encode()
    left = ERASER.reply(body)
    assert left is not None
    assert json.loads(left) == {
        "result": {"codes": [{"code": "0042", "userName": None, "mobile": None, "erased": True}, other]},
        "error": {"message": f"'{GONE}' is too odd"},
    }
    assert ERASER.reply(json.dumps(other).encode()) is None


def test_number_is_found_across_the_border_of_two_pieces(tmp_path: Path) -> None:
    for number, said in enumerate([b"+27824511234", b"0824511234", DAVID.to_bytes(6, "big"), DAVID.to_bytes(8, "big")]):
        for before in ((256 << 10) - 3, 0):
            (tmp_path / f"{number}-{before}").write_bytes(bytes(before) + said + b"end")
    (tmp_path / "other").write_bytes(b"0824511235")
    with closing(Residue(tmp_path, tmp_path / "0-0")) as residue:
        assert [path.name for path in residue.beside(traces(DAVID))] == sorted(
            f"{number}-{before}" for number in range(4) for before in (0, (256 << 10) - 3) if (number, before) != (0, 0)
        )
        assert residue.beside([]) == []
        for _ in range(2):
            assert residue.in_store(traces(DAVID))
            assert not residue.in_store(traces(ZOE))
    assert words(["Ann", "Zoë Botha"]) == ["Zoë Botha".encode()]


def test_nobody_can_tell_what_an_encrypted_store_has_kept(tmp_path: Path) -> None:
    with closing(Residue(tmp_path, tmp_path / "gateway.db", encrypted=True)) as residue:
        assert residue.in_store(traces(DAVID))
        assert residue.beside(traces(DAVID)) == []


async def test_search_leaves_other_programs_in_no_doubt_that_the_store_is_in_use(tmp_path: Path) -> None:
    """Without its locks the next program that looks in would begin the index anew, below the feet of this one."""
    path = tmp_path / "gateway.db"
    with closing(Residue(tmp_path, path)) as residue:
        async with Database(path):
            before = locks(path), locks(tmp_path / "gateway.db-shm")
            assert all(before), "control: SQLite has them"
            assert residue.in_store([b"SQLite format 3"])
            assert residue.beside([b"SQLite format 3"]) == []
            assert (locks(path), locks(tmp_path / "gateway.db-shm")) == before


def locks(path: Path) -> list[str]:
    """What locks there are on a file (proc_locks(5))."""
    inode = f":{path.stat().st_ino} "
    return [line.partition(": ")[2] for line in Path("/proc/locks").read_text().splitlines() if inode in line]
