"""What an office wants, kept in a file: by what it says, and by what the gateway makes of it."""

import os
import stat
from pathlib import Path
from typing import cast

import pytest

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.vocabulary import Mode, Permission
from simulator.batching import Batch, Offer, make_batch
from simulator.messages import Receipt, Result, State, Statuses
from simulator.truth import Intent, Truth, TruthBusy, TruthError

GATE = "1234567890123456"
A, B, C, OWNER = "+27820000001", "+27820000002", "+27820000003", "+27820000004"
ALWAYS = Offer((GATE,), Permission.ALWAYS)
WHOLE = Offer((GATE,), Permission.ALWAYS, mode=Mode.REPLACE)


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return Truth(tmp_path / "truth.json", "gw-1")


def person(mobile: str, **more: object) -> Invitee:
    return cast("Invitee", {"userName": "Thandi", "mobile": mobile, **more})


def batch(revision: int, offer: Offer = ALWAYS) -> Batch:
    return make_batch(
        [], [], offer, gateway_id="gw-1", batch_id=f"b-{revision}", revision=revision, issued_at=1, limits=Limits()
    )


def said(
    truth: Truth, revision: int, *invitees: Invitee, offer: Offer = ALWAYS, revoked: tuple[str, ...] = ()
) -> Intent:
    return truth.intend(batch(revision, offer), offer, {each["mobile"]: each for each in invitees}, revoked)


def result(outcome: str, status: str | None = "Pending", *, warning: str | None = None) -> Result:
    warnings = () if warning is None else ({"code": warning},)
    fields = {"item": 0, "deviceId": GATE, "mobile": None, "outcome": outcome, "status": status, "warnings": warnings}
    return Result.model_validate(fields)


def wanted(truth: Truth) -> dict[str, int]:
    return {mobile: each.revision for mobile, each in truth.people(GATE).items()}


def met(truth: Truth, newest: int, *, epoch: str = "e", session: str = "s", oldest: int = 1) -> None:
    limits = {"maxPartBytes": 1, "maxPartItems": 1}
    state = {"online": True, "session": session, "epoch": epoch, "reports": {"oldest": oldest, "newest": newest}}
    truth.meet(
        State.model_validate(
            state | {"version": "1", "clock": "synced", "storage": "ok", "limits": limits, "devices": []}
        )
    )


def heard(truth: Truth, number: int, **fields: object) -> None:
    report = {"epoch": "e", "reportId": number, "at": 1, "batchId": None, "part": None, "parts": None, "revision": None}
    truth.hear((Receipt if "outcome" in fields else Statuses).model_validate(report | fields))


def test_what_is_refused_stays_as_it_was(truth: Truth) -> None:
    truth.settle(said(truth, 1, person(A)), [(A, GATE, result("added"))], held=False)
    intent = said(truth, 2, person(A, notes="new"), person(B), person(C))
    truth.settle(intent, [(A, GATE, result("rejected")), (B, GATE, None)], held=False)
    assert wanted(truth) == {A: 1, C: 2}, "and of whom nothing is known is wanted"
    assert "notes" not in truth.people(GATE)[A].said


def test_what_is_left_unsaid_stays_and_acceptance_is_never_taken_away(truth: Truth) -> None:
    said(truth, 1, person(A, notes="Unit 4", wifi=False, accepted=True))
    said(truth, 2, person(A, accepted=False), offer=Offer((GATE,), Permission.TENANT))
    assert dict(truth.people(GATE)[A].said) == {
        "userName": "Thandi",
        "notes": "Unit 4",
        "wifi": False,
        "accepted": True,
        "permission": "Tenant",
    }
    said(truth, 3, revoked=(A,))
    said(truth, 4, person(A))
    assert not truth.people(GATE)[A].accepted, "invited anew"


def test_owner_keeps_what_an_owner_has(truth: Truth) -> None:
    """Also one whom the truth did not know: a repair in the words of the batch would make a resident of them."""
    said(truth, 1, person(OWNER), offer=Offer((GATE,), Permission.OWNER))
    for mobile in (OWNER, B):
        intent = said(truth, 2, person(mobile, userName="Sipho"))
        truth.settle(intent, [(mobile, GATE, result("unchanged", "Active", warning="owner_kept"))], held=False)
        assert truth.people(GATE)[mobile].said["permission"] == "Owner"
    assert truth.people(GATE)[OWNER].said["userName"] == "Thandi"
    said(truth, 3, offer=WHOLE)
    assert wanted(truth) == {OWNER: 2, B: 2}


def test_removals_that_are_held_wait_for_their_confirmation(truth: Truth) -> None:
    said(truth, 1, person(A), person(B), person(C))
    met(truth, 10)
    truth.settle(said(truth, 2, person(A), offer=WHOLE), [(A, GATE, result("updated"))], held=True)
    assert wanted(truth) == {A: 2, B: 1, C: 1}
    said(truth, 3, person(C))
    truth.save()
    truth = Truth.load(truth.path, "gw-1")
    heard(truth, 11, batchId="b-2", outcome="complete")
    assert wanted(truth) == {A: 2, C: 3}, "who was invited since stays"
    assert truth.held == {}


def test_whoever_is_erased_is_in_no_word_that_is_left(truth: Truth) -> None:
    """Nor in what somebody else's row says: a repair would bring it to the gateway again."""
    invited = Offer((GATE,), Permission.ALWAYS, invited_by=A)
    said(truth, 1, person(A, notes="moves in June"), person(B, notes="keys are with 082 000 0001"))
    said(truth, 1, person(C), offer=invited)
    truth.settle(said(truth, 2, person(B), offer=WHOLE), [(B, GATE, result("updated"))], held=True)
    truth.forget(A)
    truth.save()
    assert wanted(truth) == {B: 2, C: 1}
    assert truth.held["b-2"].mobiles == {GATE: [C]}
    assert "0000001" not in "".join(filter(str.isdigit, truth.path.read_text()))
    assert "June" not in truth.path.read_text()
    assert truth.people(GATE)[B].said["notes"] == "keys are with <erased>"
    assert "invitedBy" not in truth.people(GATE)[C].said


def test_whole_list_leaves_out_whom_it_does_not_name_but_no_row_that_was_not_sent(truth: Truth) -> None:
    said(truth, 1, person(A), person(B), person(C))
    intent = truth.intend(batch(2, WHOLE), WHOLE, {A: person(A)}, (), others={B})
    truth.settle(intent, [], held=False)
    assert wanted(truth) == {A: 2, B: 1}


def test_acceptance_is_heard_once_and_only_of_those_who_are_wanted(truth: Truth) -> None:
    said(truth, 1, person(A))
    met(truth, 10)
    change = {"item": None, "deviceId": GATE, "outcome": "changed", "status": "Active", "reason": "accepted"}
    heard(truth, 11, results=[change | {"mobile": A}, change | {"mobile": B}])
    assert truth.people(GATE)[A].accepted
    assert wanted(truth) == {A: 1}


@pytest.mark.parametrize(
    ("newest", "more", "doubt"),
    [
        (12, {}, False),
        (12, {"epoch": "f"}, True),
        (9, {"session": "t"}, True),
        (9, {}, False),
        (20, {"oldest": 15}, True),
    ],
    ids=["later", "new epoch", "old store", "late state", "reports gone"],
)
def test_doubt_remains_where_word_may_be_lost(truth: Truth, newest: int, more: dict[str, object], doubt: bool) -> None:
    met(truth, 10)
    met(truth, newest, **more)  # type: ignore[arg-type]  # names of its own parameters
    truth.save()
    assert Truth.load(truth.path, "gw-1").doubt is doubt


def test_file_is_for_nobody_else_and_survives_a_failed_write(truth: Truth) -> None:
    said(truth, 1, person(A))
    truth.save()
    assert truth.path.stat().st_mode & 0o777 == 0o600
    truth.path.with_name("truth.json.new").write_text("half of")
    assert wanted(Truth.load(truth.path, "gw-1")) == {A: 1}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"gatewayId": 7}', '{"gatewayId": "gw-1", "devices": {"x": 1}}'])
def test_file_that_holds_no_truth_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(TruthError, match=r"other\.json is no truth"):
        Truth.open(file, "gw-1")


def test_truth_of_another_gateway_is_not_taken(truth: Truth) -> None:
    truth.save()
    with pytest.raises(TruthError, match="wanted of 'gw-1', not of 'gw-2'"):
        Truth.load(truth.path, "gw-2")


def test_file_that_was_written_is_still_there_after_a_power_cut(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name has to be durable too: the old file would have the next sync take back what was said since."""
    synced: list[tuple[bool, bool]] = []

    def fsync(file: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), truth.path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    truth.save()
    assert synced == [(False, False), (True, True)]


def test_two_commands_do_not_keep_one_truth_at_the_same_time(truth: Truth, tmp_path: Path) -> None:
    """A sync in the night that began before an import would write the truth as it was, and the next take them off."""
    with Truth.kept(truth.path, "gw-1", begin=True) as kept:
        said(kept, 1, person(A))
        kept.save()
        with (
            pytest.raises(TruthBusy, match=r"truth\.json: try again when it is through"),
            Truth.kept(truth.path, "gw-1", begin=True),
        ):
            pytest.fail("two have it")
        with Truth.kept(tmp_path / "other.json", "gw-1", begin=True) as other:
            assert wanted(other) == {}
    with Truth.kept(truth.path, "gw-1", begin=False) as kept:
        assert wanted(kept) == {A: 1}


def test_only_an_import_begins_a_truth(tmp_path: Path) -> None:
    """A revocation that goes into a new file by a slip of the pen is not in the one that a sync goes by."""
    with (
        pytest.raises(TruthError, match=r"there is no file .*slip\.json"),
        Truth.kept(tmp_path / "slip.json", "gw-1", begin=False),
    ):
        pytest.fail("nothing to begin with")
    assert list(tmp_path.iterdir()) == []


def test_first_import_makes_the_file(tmp_path: Path) -> None:
    assert Truth.open(tmp_path / "none.json", "gw-1").devices == {}
    with pytest.raises(FileNotFoundError):
        Truth.load(tmp_path / "none.json", "gw-1")
