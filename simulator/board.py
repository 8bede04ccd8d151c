"""What happens at the gates while somebody watches: a view that is drawn anew on a terminal, plain lines in a pipe."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulator.happening import Happening, What, in_words
from simulator.terminal import Column, Fit, fitted, print_lines, shown

ROWS: Final = 12
"""Happenings that are seen at once."""

_REDRAWN_S: Final = 0.2
_AROUND: Final = 7  # two headings, their rules, and the line that is typed

_STYLES: Final = MappingProxyType(
    {
        What.ALLOWED: "green",
        What.DENIED: "red",
        What.UNANSWERED: "yellow",
        What.TOLD: "cyan",
        What.FAILED: "red",
        What.REPEATED: "yellow",
        What.GARBLED: "red",
        What.BROKEN: "yellow",
    }
)
_PASSED_OVER: Final = frozenset({What.ASKED, What.MOVED})
"""Not rows of the view: the answer follows, and where a gate stands is above."""


class Standing(Protocol):
    """A device as the view needs it; every `Hardware` is one."""

    name: str

    @property
    def connected(self) -> bool:
        """Whether its gateway is there."""

    @property
    def stands(self) -> str:
        """What can be seen of it, in words."""


class Board:
    """Shows what it is given by `add` while the context is open: live, or as lines where it is not.

    Live it shows how each of `devices` stands, the last happenings, and what `typed` gives: the line being written.
    """

    def __init__(
        self,
        console: Console,
        devices: Sequence[Standing],
        *,
        live: bool,
        rows: int = ROWS,
        typed: Callable[[], str] | None = None,
    ) -> None:
        self._console = console
        self._devices = devices
        self._happenings: deque[Happening] = deque(maxlen=rows)
        self._typed = typed
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._drawn) if live else None
        self._redrawing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._live is not None:
            self._live.start(refresh=True)
            self._redrawing = asyncio.create_task(self._redraw(self._live))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._live is not None and self._redrawing is not None:
            self._redrawing.cancel()
            with suppress(asyncio.CancelledError):
                await self._redrawing
            self._live.stop()

    def add(self, happening: Happening) -> None:
        """Show this too; a `Notice`."""
        if self._live is None:
            print_lines(self._console, _line(happening))
        elif happening.what not in _PASSED_OVER:
            self._happenings.append(happening)

    def say(self, *words: str) -> None:
        """Lines that are for the person alone, such as help; above the view where there is one."""
        print_lines(self._console, "\n".join(words))

    async def _redraw(self, live: Live) -> None:
        while True:
            await asyncio.sleep(_REDRAWN_S)
            live.refresh()

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = [self._gates(), Text(), self._rows()]
        if self._typed is not None:
            parts += [Text(), Text(shown(self._typed()), no_wrap=True)]
        return Group(*parts)

    def _gates(self) -> Table:
        rows = [
            [
                Text(shown(device.name)),
                Text("connected", style="green") if device.connected else Text("not there", style="yellow"),
                Text(device.stands),
            ]
            for device in self._devices
        ]
        return _table((Column("Device", Fit.CUT), Column("Gateway"), Column("Stands", Fit.CUT)), rows, self._console)

    def _rows(self) -> Table:
        room = max(self._console.height - len(self._devices) - _AROUND, 1)
        happenings = list(self._happenings)[-room:]
        columns = [Column("Time"), Column("Who, and for what", Fit.CUT), Column(), Column("Why", Fit.CUT)]
        rows = [
            [
                Text(_time(each), style="dim"),
                Text(shown(each.request)),
                _coloured(each.what),
                Text(shown(in_words(each.reason, own=False))),
            ]
            for each in happenings
        ]
        if len(self._devices) > 1:
            columns.insert(1, Column("Device", Fit.CUT))
            for row, each in zip(rows, happenings, strict=True):
                row.insert(1, Text(shown(each.gate)))
        return _table(columns, rows, self._console)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], console: Console) -> Table:
    """A table whose rows are each one line, however narrow the terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    cells = [[Text(column.heading) for column in columns], *rows]
    natural = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    for column, width in zip(columns, fitted(columns, natural, console.width), strict=True):
        table.add_column(column.heading, width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return table


def _line(each: Happening) -> Text:
    words = shown(": ".join(filter(None, (each.request, in_words(each.reason)))))
    what = _coloured(each.what)
    what.pad_right(max(map(len, What)) - len(each.what))
    return Text(f"{_time(each)}  {shown(each.gate)}  ", style="dim") + what + f"  {words}"


def _coloured(what: What) -> Text:
    return Text(what, style=_STYLES.get(what, ""))


def _time(each: Happening) -> str:
    return f"{datetime.fromtimestamp(each.at_ms / 1_000).astimezone():%H:%M:%S}"
