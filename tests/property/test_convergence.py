"""Any two states of a truth and of a gateway come together in one round, and no more is said than what differs.

Both lived through some of the same history: an office speaks, people accept. Each side has lost whatever it has lost.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.vocabulary import Mode, Permission
from simulator.batching import Batch, Offer, make_batch, next_revision
from simulator.convergence import Repair, Standing, compare, counts, differing, repairs, sums_of
from simulator.messages import Result
from simulator.truth import Intent, Truth
from storage import resync
from storage.database import Reader
from storage.store import device_states
from tests.counterparts.soak import scaled
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

EXAMPLES = scaled(120)
DEVICES = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
MOBILES = [f"+2782000{number:04}" for number in range(14)]

mobiles = st.sampled_from(MOBILES)
details: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"userName": st.sampled_from(["Thandi", "Sipho"])},
    optional={
        "notes": st.sampled_from(["Unit 4", ""]),
        "wifi": st.booleans(),
        "accepted": st.booleans(),
        "units": st.sampled_from([["4"], []]),
    },
)
offers = st.builds(
    Offer,
    st.sampled_from([(GATE,), (GATE, PANEL), (PANEL,)]),
    st.sampled_from([Permission.ALWAYS, Permission.TENANT, Permission.OWNER]),
    invite_expires_at=st.sampled_from([None, None, NOON * 2]),
    invited_by=st.sampled_from([None, "office"]),
    mode=st.sampled_from([Mode.MERGE, Mode.MERGE, Mode.REPLACE]),
)


@dataclass(frozen=True)
class Said:
    """The office speaks; `arrives`: at the gateway, `kept`: the truth still knows of it."""

    offer: Offer
    invitees: dict[str, dict[str, Any]]
    revoked: list[str]
    arrives: bool
    kept: bool


@dataclass(frozen=True)
class Accepted:
    """Somebody has taken up the app at the device."""

    device_id: str
    mobile: str
    arrives: bool
    kept: bool


sayings = st.builds(
    Said,
    offers,
    st.dictionaries(mobiles, details, max_size=8),
    st.lists(mobiles, max_size=3, unique=True),
    st.sampled_from([True, True, False]),
    st.sampled_from([True, True, False]),
)
acceptances = st.builds(Accepted, st.sampled_from([GATE, PANEL]), mobiles, st.booleans(), st.booleans())
histories = st.lists(sayings | acceptances, min_size=1, max_size=7)


class Office:
    """Speaks to a store by real parts, and keeps its truth."""

    def __init__(self, store: Store, truth: Truth) -> None:
        self.store = store
        self.truth = truth
        self.batches = 0

    def batch(self, offer: Offer, invitees: Iterable[Invitee], revoked: Iterable[str]) -> Batch:
        newest = max(state.revision for state in device_states(self.store.reader).values())
        self.batches += 1
        return make_batch(
            list(invitees),
            list(revoked),
            offer,
            gateway_id="gw-1",
            batch_id=f"b-{self.batches}",
            revision=next_revision(self.batches, max(newest, self.truth.revision)),
            issued_at=NOON,
            limits=Limits(),
        )

    async def deliver(self, batch: Batch, intent: Intent | None, named: list[str]) -> None:
        """Have the store apply it; the truth hears what became of everybody, unless it does not know of it."""
        await self.store.receive([part.payload for part in batch.parts], NOON)
        told: list[tuple[str, str, Result | None]] = []
        held = False
        for report in self.store.reports():
            if report.get("batchId") != batch.batch_id:
                continue
            held |= report.get("outcome") == "held"
            for result in report.get("results", ()):
                place = batch.place(report["part"], result["item"])
                told.append((named[place], result["deviceId"], Result.model_validate(result)))
        if intent is not None:
            self.truth.settle(intent, told, held=held)

    async def say(self, said: Said) -> None:
        invitees = {
            mobile: cast("Invitee", {"mobile": mobile, **each})
            for mobile, each in said.invitees.items()
            if mobile not in said.revoked
        }
        batch = self.batch(said.offer, invitees.values(), said.revoked)
        intent = self.truth.intend(batch, said.offer, invitees, said.revoked) if said.kept else None
        if said.arrives:
            await self.deliver(batch, intent, [*invitees, *said.revoked])


def on_the_list(store: Store, device_id: str) -> dict[str, dict[str, Any]]:
    users = store.users().items()
    return {mobile: row for (device, mobile), row in users if device == device_id and row["status"] is not None}


def bucket_of(mobile: str) -> str:
    return sha256(mobile.encode()).hexdigest()[:2]


def unlike(truth: Truth, store: Store, device_id: str, looked_at: Callable[[str], bool]) -> set[str]:
    """By the letter: whom the truth and the gateway do not agree about."""
    wanted, listed = truth.people(device_id), on_the_list(store, device_id)
    return {
        mobile
        for mobile in {*wanted, *listed}
        if looked_at(mobile)
        and (
            mobile not in wanted
            or mobile not in listed
            or wanted[mobile].revision != listed[mobile]["revision"]
            or (wanted[mobile].accepted and listed[mobile]["status"] == "Pending")
        )
    }


def repaired_to_the_word(office: Office, repair: Repair) -> None:
    """Whatever the gateway had of them before."""
    for device_id in repair.offer.device_ids:
        listed = on_the_list(office.store, device_id)
        for mobile in repair.invitees:
            said, row = office.truth.people(device_id)[mobile].said, listed[mobile]
            assert (row["name"], row["notes"] or "", row["wifi"]) == (
                said["userName"],
                said.get("notes") or "",
                said.get("wifi", True),
            )
            if device_id == GATE:
                assert row["terms"][0] == said["permission"]
            else:
                assert (row["units"] or []) == said.get("units", [])


async def one_round(office: Office, *, thorough: bool) -> None:
    store, truth = office.store, office.truth
    differences = []
    for device_id, device in store.devices.items():
        picture = resync.picture(Reader(store.path), device, ())
        names = differing(sums_of(truth.people(device_id)).texts(), picture.buckets)
        expected = unlike(truth, store, device_id, lambda each: thorough or bucket_of(each) in names)  # noqa: B023 -- used at once
        if not thorough:
            assert {bucket_of(each) for each in expected} == set(names), "a bucket differs where somebody does"
        looked_at = None if thorough else names
        told = resync.picture(Reader(store.path), device, looked_at)
        listed = {
            f"+{mobile}": Standing(run.revision or 0, run.status)
            for message in told.messages
            for run in message
            for mobile in run.mobiles or ()
        }
        difference = compare(device_id, truth.people(device_id), listed, looked_at)
        for mobile in difference.accepted:
            truth.accept(device_id, mobile)
        assert {*difference.missing, *difference.other, *difference.unwanted} == expected
        assert difference.people == len(expected), "everybody once"
        differences.append(difference)
    for repair in repairs(truth.devices, differences):
        batch = office.batch(repair.offer, repair.invitees.values(), repair.revoked)
        intent = truth.intend(batch, repair.offer, repair.invitees, repair.revoked)
        await office.deliver(batch, intent, list(repair.mobiles))
        repaired_to_the_word(office, repair)
    assert sum(len(each.mobiles) * len(each.offer.device_ids) for each in repairs(truth.devices, differences)) == sum(
        each.people for each in differences
    ), "no more is said than what differs"


def agreed(office: Office) -> None:
    for device_id, state in device_states(office.store.reader).items():
        wanted = office.truth.people(device_id)
        assert sums_of(wanted).digest == state.digest
        listed = on_the_list(office.store, device_id)
        assert {each: row["revision"] for each, row in listed.items()} == {
            each: one.revision for each, one in wanted.items()
        }


@settings(max_examples=EXAMPLES)
@given(histories, st.booleans(), st.sampled_from([1.0, 0.2]))
def test_any_two_states_agree_after_one_round(history: list[Said | Accepted], thorough: bool, share: float) -> None:
    async def live(folder: Path) -> None:
        async with Store(folder / "gateway.db", DEVICES, share, 0) as store:
            office = Office(store, Truth(folder / "truth.json", "gw-1"))
            for each in history:
                if isinstance(each, Said):
                    await office.say(each)
                    continue
                happened = each.arrives and await store.accept(each.device_id, each.mobile.removeprefix("+"), NOON)
                if each.kept and (happened or not each.arrives):
                    office.truth.accept(each.device_id, each.mobile)
            await one_round(office, thorough=thorough)
            agreed(office)
            if thorough:
                statuses = {device: counts(office.truth.people(device), NOON) for device in DEVICES}
                states = device_states(store.reader)
                assert statuses == {
                    device: {"Active": states[device].active, "Pending": states[device].pending, "Expired": 0}
                    for device in DEVICES
                }
            office.truth.save()
            again = Truth.load(office.truth.path, "gw-1")
            assert (again.devices, again.held) == (office.truth.devices, office.truth.held)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("tried:convergences", EXAMPLES)
