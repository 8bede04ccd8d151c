"""What commands have in common that put up a whole place on this machine: a home for it, and an end in order."""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

keep_option = click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Leave configuration, list and log there, to look around.",
)


@contextlib.contextmanager
def home(keep: Path | None, prefix: str) -> Iterator[Path]:
    """A folder that goes with the context, or the one to `keep`, which is new or empty. Raises UsageError, OSError."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder).absolute()
        return
    if keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"--keep {keep} is not empty: name a new directory")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


def run_until_told(work: Coroutine[None, None, T]) -> T:
    """Run it to its end; Ctrl-C and SIGTERM end it in order, with everything that it has started. Raises Abort."""

    async def running() -> T:
        task = asyncio.ensure_future(work)
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            raise click.Abort from None

    return asyncio.run(running())
