"""`fluss-simulator demo`: the whole thing on this machine."""

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path

import click

from simulator import exits
from simulator.demo import run_demo
from simulator.terminal import make_console, print_lines


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Leave configuration, list and log there, to look around.",
)
def command(keep: Path | None) -> int:
    """Everything on this machine: a list, and the gate it lands at."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise click.UsageError(f"--keep {keep} is not empty: name a new directory")
        keep.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="fluss-demo-") as home:
        asyncio.run(_until_told(Path(home).absolute()))
    if keep is not None:
        print_lines(make_console(), f"Kept in {keep}. To look: fluss-agent users --config {keep / 'gateway.toml'}")
    return exits.OK


async def _until_told(home: Path) -> None:
    """Tell the story; Ctrl-C and SIGTERM end it in order, with everything that was started."""
    telling = asyncio.ensure_future(run_demo(make_console(), home))
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, telling.cancel)
    try:
        await telling
    except asyncio.CancelledError:
        raise click.Abort from None
