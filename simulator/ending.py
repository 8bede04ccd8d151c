"""How the demonstration ends: at the gate, then without a broker, and why somebody stays outside."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from protocol.vocabulary import Decision, Status
from simulator.batching import Offer
from simulator.broker import BenchBroker
from simulator.cloud import Cloud, wall_ms
from simulator.doorstep import (
    CLEANER_LATER,
    COURIER,
    GATE,
    INVITED,
    PANEL,
    ZONE,
    DemoFailed,
    Doorstep,
    Visit,
    early_visits,
    guests,
    visits,
    visits_at_the_panel,
    visits_from_afar,
)
from simulator.gateway import Gateway
from simulator.happening import in_words
from simulator.messages import Event
from simulator.office import Office
from simulator.site import Site
from simulator.terminal import Column, Fit, print_lines, print_table
from simulator.witness import contradictions

_SOON_S: Final = 20.0
_BACK_S: Final = 60.0

_VISITS: Final = (
    Column("Who", Fit.CUT, most=20),
    Column("What they are", Fit.CUT, style="dim", most=30),
    Column("How"),
    Column("Decision"),
    Column("Why", Fit.FOLDED),
)
_EVENTS: Final = (
    Column("Happened"),
    Column("Reached the cloud"),
    Column("Who", Fit.CUT, most=20),
    Column("Decision"),
    Column("Why", Fit.FOLDED),
)


class Ending:
    """The last three chapters, with everything that has been put up for the ones before."""

    def __init__(
        self, console: Console, broker: BenchBroker, gateway: Gateway, site: Site, cloud: Cloud, office: Office
    ) -> None:
        self._console = console
        self._broker = broker
        self._gateway = gateway
        self._site = site
        self._cloud = cloud
        self._office = office
        self._doorstep = Doorstep(site, cloud)

    async def tell(self) -> None:
        """Tell them. Raises Failure where one goes wrong."""
        heading(self._console, 7, "At the gate")
        await self._site.dialled(_SOON_S)
        await self._invite()
        code = await self._give_code()
        rows = await self._receive(early_visits())
        await self._accept()
        rows += await self._receive([*visits(), *visits_from_afar(), *visits_at_the_panel(code)])
        self._show(rows)

        heading(self._console, 8, "With the broker stopped")
        before = await self._told()
        stopped_at = wall_ms()
        await self._broker.stop()
        print_lines(self._console, "No network: nobody can be asked, nobody can be told. The same people come again.")
        self._console.print()
        self._show(await self._receive([early_visits()[0], *visits()]))
        await self._broker.start()
        started_at = wall_ms()
        after = await self._told()
        late = [event for number, event in sorted(self._cloud.events.items()) if before < number <= after]
        self._show_late(late, stopped_at, started_at)

        heading(self._console, 9, "Why somebody stays outside")
        print_lines(self._console, Text(f"$ fluss-agent explain {CLEANER_LATER} --device {GATE}", style="dim"))
        self._console.file.flush()
        await self._gateway.show("explain", CLEANER_LATER, "--device", GATE, code=1)
        self._console.print()
        print_lines(
            self._console,
            "That was all of it. Whole days at a gate: fluss-simulator scenario --list. With a list, a broker and a"
            " gateway of your own: fluss-simulator cloud invite --help",
        )

    async def _invite(self) -> None:
        people = guests(datetime.now(ZONE))
        tracker = await self._office.invite(people, Offer((GATE,)))
        if not tracker.done or tracker.outcomes != {"added": len(people)}:
            raise DemoFailed(f"{len(people)} people should have been added: {dict(tracker.outcomes)}")
        print_lines(
            self._console,
            f"Now people come. The residents are joined on the list by {len(people)} more: two cleaners with weekly"
            " hours, two visitors with dates, and somebody who may not open from afar.",
        )

    async def _give_code(self) -> str:
        code, why = await self._office.give_code("Bheki, courier", COURIER, PANEL)
        if code is None:
            raise DemoFailed(f"there should have been a code for the courier: {why}")
        print_lines(self._console, f"A courier gets a code for the intercom: {code}, once in and once out.")
        self._console.print()
        return code

    async def _accept(self) -> None:
        await self._site.devices[GATE].accept(INVITED)
        key = (GATE, INVITED)
        await self._cloud.until(
            lambda: self._cloud.standings().get(key) == Status.ACTIVE, within_s=_SOON_S, what="the acceptance"
        )

    async def _receive(self, visitors: Iterable[Visit]) -> list[Sequence[str | Text]]:
        return [await self._doorstep.receive(visit) for visit in visitors]

    async def _told(self) -> int:
        """Wait until the cloud knows of everybody who came; how many events that are. Raises DemoFailed."""
        cloud, seen = self._cloud, self._doorstep.seen
        await cloud.until(
            lambda: len(cloud.events) >= len(seen) and not cloud.missing(), within_s=_BACK_S, what=f"{len(seen)} events"
        )
        told = [event for _, event in sorted(cloud.events.items())]
        for words in contradictions(seen, told, ZONE):
            raise DemoFailed(words)
        return len(told)

    def _show(self, rows: Sequence[Sequence[str | Text]]) -> None:
        print_table(self._console, _VISITS, [[*cells, self._why(str(reason))] for *cells, reason in rows])
        inside = sum(str(decision) == Decision.ALLOWED for *_, decision, _ in rows)
        shut = len(rows) - inside
        self._console.print()
        print_lines(self._console, f"The gate opened {inside} times, once for each; {shut} times it stayed shut.")

    def _show_late(self, late: Sequence[Event], stopped_at: int, started_at: int) -> None:
        """What happened without a broker, with both times. Raises DemoFailed where one of them is wrong."""
        self._console.print()
        print_lines(self._console, "The broker is back. What happened meanwhile arrives, with the time it happened:")
        self._console.print()
        rows: list[Sequence[str | Text]] = []
        for event in late:
            arrived_at = self._cloud.arrivals[event.event_id]
            if not stopped_at <= event.at <= started_at <= arrived_at:
                raise DemoFailed(f"event {event.event_id} should have happened while the broker was stopped: {event}")
            who = event.user_name or event.mobile or ""
            rows.append(
                [_clock(event.at), _clock(arrived_at), who, _decision(event.decision), self._why(event.reason or "")]
            )
        print_table(self._console, _EVENTS, rows)

    def _why(self, reason: str) -> str:
        """In words; in a pipe with the wire's own besides."""
        return in_words(reason, own=not self._console.is_terminal) if reason else ""


def heading(console: Console, number: int, words: str) -> None:
    """Begin a chapter."""
    console.print()
    console.print(Text(f"{number}  {words}", style="bold"))
    console.print()


def _decision(word: str) -> Text:
    return Text(word, style="green" if word == Decision.ALLOWED else "red")


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, ZONE):%H:%M:%S.%f}"[:-3]
