"""The power goes at any moment of an agent's life: what it has told the world is on the card, and nothing by halves."""

import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from storage.database import Database, shipped_schema
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.signer import Signer
from tests.counterparts.soak import scaled
from tests.fault.powercut import stories
from tests.fault.powercut.cuts import Cuts, State, Tally
from tests.fault.powercut.remains import intents_in
from tests.fault.powercut.stories import Story, told
from tests.fault.powercut.wire import Published

RecordProperty = Callable[[str, object], None]
Telling = Callable[[Story], Awaitable[None]]

OPENED_OF = 100
STATES_OF_BROKEN = 300
TOLD_AT_MOST = 4


OLDER = range(1, len(shipped_schema()))

pytestmark = pytest.mark.usefixtures("strace_installed", "mosquitto_installed")


@pytest.mark.parametrize(
    ("telling", "version", "wanted"),
    [
        pytest.param(stories.lists, None, 2_000, id="lists"),
        pytest.param(stories.gates, None, 2_000, id="gates"),
        *(pytest.param(stories.upgrade, each, 500, id=f"version {each}") for each in OLDER),
    ],
)
async def test_power_may_go_at_any_moment(
    tmp_path: Path,
    record_property: RecordProperty,
    telling: Telling,
    version: int | None,
    wanted: int,
) -> None:
    """Told anew each time, because no two runs of a real agent are the same call by call."""
    signer = Signer() if telling is stories.gates else None
    for seed in range(scaled(1)):
        home = tmp_path / str(seed)
        cuts = await recorded(telling, home, "hurried", version=version, signer=signer)
        tally = cuts.judged(wanted, seed)
        no_faults(cuts, tally, home)
        assert tally.states == wanted, "a recording with too few different states"
        record_property("tried:power-cut states", tally.states)

        *opened, again = cuts.drawn(wanted // OPENED_OF + 1, seed + 1_000)
        for state in opened:
            await opened_again(cuts, state, home / "opened")
        await lives_again(cuts, again, home, signer)


@pytest.mark.parametrize(
    ("telling", "alteration", "least"),
    [
        (stories.parts_come, "acknowledged_first", 0.2),
        (stories.parts_come, "in_two_transactions", 0.2),
        (stories.parts_come, "synced_at_checkpoints_only", 0.2),
        (stories.parts_come, "never_synced", 0.2),
        (stories.people_come, "intents_not_synced", 0.2),
        (stories.people_come, "moved_first", 0.2),
        (stories.people_come, "floor_not_synced", 0.2),
        # Only a cut between the two shows it: one of seven moments of a command.
        (stories.orders_come, "recorded_in_two_transactions", 0.1),
        (stories.upgrade, "migrated_without_a_copy", 0.2),
    ],
)
async def test_broken_promise_is_noticed(
    tmp_path: Path,
    record_property: RecordProperty,
    telling: Telling,
    alteration: str,
    least: float,
) -> None:
    """The same judge, and an agent that is broken in one place: in the states from its first promise on."""
    hurried = ["hurried"] if alteration == "floor_not_synced" else []
    cuts = await recorded(telling, tmp_path, *hurried, alteration, version=1 if telling is stories.upgrade else None)
    tally = cuts.judged(STATES_OF_BROKEN, 1, since=cuts.first_promise)
    assert tally.share >= least, f"{alteration} shows in {tally.share:.0%} of {tally.states} states"
    record_property("tried:power-cut states of broken agents", tally.states)


@pytest.mark.parametrize("telling", [stories.parts_come, stories.people_come, stories.orders_come])
async def test_promise_that_is_kept_is_not_called_broken(
    tmp_path: Path, record_property: RecordProperty, telling: Telling
) -> None:
    """The same stories, told by the agent as it is."""
    cuts = await recorded(telling, tmp_path)
    tally = cuts.judged(STATES_OF_BROKEN, 1)
    no_faults(cuts, tally, tmp_path)
    record_property("tried:power-cut states", tally.states)


async def recorded(
    telling: Telling, home: Path, *alterations: str, version: int | None = None, signer: Signer | None = None
) -> Cuts:
    """The states of one story. What the recording says of the disk must be what is there.

    It is told again where the agent was killed in the middle of a call: no recording says what became of that.
    """
    earlier = [] if version is None else [stories.EARLIER]
    found = Path.exists if version is None else partial(stories.old_store, version)
    for number in range(TOLD_AT_MOST):
        again = home / f"told-{number}"
        async with (
            Mosquitto(again / "mosquitto") as broker,
            told(again, broker.port, *alterations, signer=signer, found=found, earlier=earlier) as story,
        ):
            await telling(story)
        cuts = Cuts(story.recording, again / "scratch")
        disk = cuts.disk()
        if not disk.doubtful:
            for name, content in disk.seen().items():
                assert (story.recording.state_dir / name).read_bytes() == content, f"no call explains {name}"
            return cuts
    pytest.fail(f"killed in the middle of a call {TOLD_AT_MOST} times")


def no_faults(cuts: Cuts, tally: Tally, home: Path) -> None:
    """Or the first state that has some is kept, with the way to have it again."""
    if tally.guilty:
        state, faults = tally.guilty[0]
        left = state.put(home / "left")
        again = f"python -m tests.fault.powercut {cuts.recording.folder} {state.line} {state.seed} FOLDER"
        pytest.fail(
            f"{len(tally.guilty)} of {tally.states} states have faults. The first is in {left}; again: {again}\n"
            + "\n".join(faults[:10])
        )


async def opened_again(cuts: Cuts, state: State, folder: Path) -> None:
    """The store's own code opens it, migrates it where it must, closes it, and every promise is still kept."""
    shutil.rmtree(folder, ignore_errors=True)
    state.put(folder)
    async with Database(folder / "gateway.db") as database:
        await database.transact(lambda transaction: transaction.fetch("SELECT count(*) FROM users"))
    faults = cuts.judge.faults(state.line, state.found_in(folder))
    assert not faults, f"{state.line} {state.seed}: {faults}"


async def lives_again(cuts: Cuts, state: State, home: Path, signer: Signer | None) -> None:
    """The agent itself starts from it: every promise is kept, no gate moves, and none has moved without a word."""
    async with (
        Mosquitto(home / "other") as broker,
        told(home / "again", broker.port, signer=signer, found=state.put) as story,
    ):
        await story.begins()
        await story.place.cloud.sees(outbox=0)
        await story.ends()
        await story.place.cloud.sees(online=False)
        after = story.place.agent.state_dir
        said = [Published(state.line, each.leaf, each.payload, each.says) for each in story.place.cloud.heard]
    assert all(board.told() == [] for board in story.place.boards.values())
    files = state.found_in(after)
    broken = cuts.judge.broken(state.line, files, said)
    assert not broken, f"{state.line} {state.seed}: {broken}"
    recovered = {event.intent for event in cuts.judge.store(files).events.values()}
    assert intents_in(state.files) <= recovered
