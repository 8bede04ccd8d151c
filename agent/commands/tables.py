"""Lists for a person and for a pipe: a table on a terminal, tab-separated lines elsewhere."""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo

import click


def on_terminal() -> bool:
    """Whether a person looks at what is printed."""
    return sys.stdout.isatty()


def show_facts(facts: Mapping[str, str]) -> None:
    """Names and values, one a line."""
    if not on_terminal():
        for name, value in facts.items():
            click.echo(f"{name}\t{value}")
        return
    from rich.table import Table  # noqa: PLC0415 -- only a terminal waits for rich

    grid = Table.grid(padding=(0, 3))
    grid.add_column(style="bold")
    for fact in facts.items():
        grid.add_row(*fact)
    _print(grid)


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], whole: Collection[str] = ()) -> None:
    """A table with a head; the columns in `whole` are never cut or wrapped."""
    if not on_terminal():
        for row in (columns, *rows):
            click.echo("\t".join(_flat(cell) for cell in row))
        return
    from rich import box  # noqa: PLC0415 -- only a terminal waits for rich
    from rich.table import Table  # noqa: PLC0415 -- the same

    cells = [[_flat(cell) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for index, column in enumerate(columns):
        width = max(len(cell) for cell in (column, *(row[index] for row in cells))) if column in whole else None
        table.add_column(column, min_width=width, no_wrap=column in whole)
    for row in cells:
        table.add_row(*row)
    _print(table)


def moment(at: int | None, zone: tzinfo = UTC) -> str:
    """A moment (epoch ms) as a person writes it; empty for none."""
    if at is None:
        return ""
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")
    return str(at)


def _flat(cell: str) -> str:
    """A cell without what would break a line or drive a terminal: names come from elsewhere."""
    return "".join(character if character.isprintable() else " " for character in cell)


def _print(renderable: object) -> None:
    from rich.console import Console  # noqa: PLC0415 -- only a terminal waits for rich

    Console(markup=False, emoji=False, highlight=False).print(renderable)
