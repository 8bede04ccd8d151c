"""`fluss-simulator demo`: the whole thing on this machine."""

from pathlib import Path

import click

from simulator import exits
from simulator.commands.running import home, keep_option, run_until_told
from simulator.demo import run_demo
from simulator.terminal import make_console, print_lines


@click.command()
@keep_option
def command(keep: Path | None) -> int:
    """Everything on this machine: a list, and the gate it lands at."""
    with home(keep, "fluss-demo-") as folder:
        run_until_told(run_demo(make_console(), folder))
    if keep is not None:
        print_lines(make_console(), f"Kept in {keep}. To look: fluss-agent users --config {keep / 'gateway.toml'}")
    return exits.OK
