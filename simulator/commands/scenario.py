"""`fluss-simulator scenario`: a day at a gate, played in a minute."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from simulator import exits
from simulator.board import Board
from simulator.commands.running import home, keep_option, run_until_told
from simulator.daybook import Daybook
from simulator.happening import Happening
from simulator.player import Player
from simulator.scenario import Scenario
from simulator.scenario_file import read_path, read_shipped, shipped
from simulator.scenario_tables import closest
from simulator.stage import Stage, put_up
from simulator.terminal import Column, Fit, make_console, print_lines, print_table

_WATCHED_PACE_S: Final = 1.5
_TRAVEL_S: Final = 0.05


@click.command()
@click.argument("name", required=False, metavar="[NAME|FILE.toml]")
@click.option("--list", "listed", is_flag=True, help="Which scenarios come with this program.")
@click.option("--watch", is_flag=True, help="A live view of the gates below, and a pause between two steps.")
@click.option(
    "--pace",
    "pace_s",
    type=click.FloatRange(min=0, max=60),
    metavar="SECONDS",
    help=f"How long that pause is. [default: none, with --watch {_WATCHED_PACE_S:g}]",
)
@keep_option
def command(*, name: str | None, listed: bool, watch: bool, pace_s: float | None, keep: Path | None) -> int:
    """Play a day at a gate, from a file.

    The gateway is the real one, at the story's own time of day; people, devices, broker and network are played here.
    Exit code: 0 where every step ended as the file expects it, 1 where one did not.
    """
    console = make_console()
    if listed or name is None:
        _show(console)
        return exits.OK
    scenario = _find(name)
    watched = watch and console.is_terminal
    pace = (_WATCHED_PACE_S if watched else 0.0) if pace_s is None else pace_s
    with home(keep, "fluss-scenario-") as folder:
        right = run_until_told(_play(console, scenario, folder, watched=watched, pace_s=pace))
    if keep is not None:
        print_lines(console, f"Kept in {keep}. To look: fluss-agent events --config {keep / 'gateway.toml'}")
    return exits.OK if right else exits.REFUSED


def _show(console: Console) -> None:
    rows = [(name, read_shipped(name).title) for name in shipped()]
    print_table(console, [Column("Name"), Column("What happens", Fit.FOLDED)], rows)


def _find(name: str) -> Scenario:
    """The scenario of this name, or in this file. Raises UsageError, ScenarioError, OSError."""
    if name in shipped():
        return read_shipped(name)
    if name.endswith(".toml") or "/" in name:
        return read_path(Path(name))
    near = closest(name, shipped()) or "."
    raise click.UsageError(f"there is no scenario {name!r}{near} --list shows them; the name of a file ends in .toml")


async def _play(console: Console, scenario: Scenario, folder: Path, *, watched: bool, pace_s: float) -> bool:
    """Whether everything was as expected."""
    book = Daybook(console, scenario)
    travel_s = max(_TRAVEL_S, pace_s / 3)
    async with put_up(scenario, folder, scenario.steps[0].at, travel_s) as stage, AsyncExitStack() as stack:
        book.begin()
        if watched:
            board = await stack.enter_async_context(Board(console, list(stage.site.devices.values()), live=True))
            _have_watched(board, stage)
        player = Player(scenario, stage)
        await player.play(book.add, pace_s=pace_s)
        await stack.aclose()
        differences = await player.curtain()
        book.close()
        if differences:
            print_lines(console, Text("The cloud was told another story:", style="bold red"))
            print_lines(console, *[Text(f"  {words}", style="red") for words in differences])
        else:
            print_lines(
                console,
                f"The cloud was told the same story: {len(stage.cloud.events)} events, each with the time at which it"
                f" happened, and {len(stage.cloud.reports)} reports, all in order, none missing.",
            )
    return not book.wrong and not differences


def _have_watched(board: Board, stage: Stage) -> None:
    """What happens at the devices is shown at the story's time, on the wall clock of its zone."""

    def show(happening: Happening) -> None:
        here = stage.clock.now.replace(tzinfo=None).astimezone()  # the view shows the wall clock of this machine
        board.add(replace(happening, at_ms=int(here.timestamp() * 1000)))

    for device in stage.site.devices.values():
        device.notice = show
