"""Until when the files of TLS are valid, and whether somebody hears of it in time."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from agent import renewal
from agent.broker import Address
from agent.certificates import Ends, Tls, UnusableError, concerns
from agent.clock import Clock
from agent.renewal import Renewal
from tests.counterparts.authority import Authority
from tests.counterparts.waiting import until

if TYPE_CHECKING:
    from agent.link import Link

DAY_MS = 86_400_000
NOW = 1_795_300_000_000
FILES = Tls(Path("ca.pem"), Path("mqtt.pem"), Path("mqtt.key"))


def later(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def joined(file: Path, *parts: Path) -> Path:
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    return file


def test_ends_are_those_of_the_files_as_they_are_now(authority: Authority, tmp_path: Path) -> None:
    soon, late = later(10), later(400)
    gateway = authority.client("gw-1", until=soon)
    tls = Tls(authority.ca_file, gateway.cert_file, gateway.key_file)
    assert tls.ends() == Ends(client=ms(soon), authority=tls.ends().authority)
    assert tls.ends(5).broker == 5

    authority.client("gw-1", until=late)
    assert tls.ends().client == ms(late)


def test_first_of_our_chain_and_last_of_the_authorities_count(authority: Authority, tmp_path: Path) -> None:
    first, last = (authority.client(name, until=later(days)).cert_file for name, days in (("a", 3), ("b", 90)))
    both = joined(tmp_path / "both.pem", last, first)
    with_key = joined(tmp_path / "with-key.pem", first.with_suffix(".key"), first)

    assert Tls(both, both).ends() == Ends(client=Tls(None, first).ends().client, authority=Tls(last).ends().authority)
    assert Tls(None, with_key).ends() == Tls(None, first).ends()
    assert Tls().ends() == Ends()


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_file_without_an_end_is_named(key: str, tmp_path: Path) -> None:
    file = tmp_path / "some.pem"
    with pytest.raises(UnusableError, match=rf"mqtt\.{key}: .*some\.pem: No such file"):
        replace(Tls(), **{key: file}).ends()
    file.write_text("content\n")
    with pytest.raises(UnusableError, match=rf"mqtt\.{key}: .*some\.pem holds no PEM certificates"):
        replace(Tls(), **{key: file}).ends()


def test_key_of_another_certificate_is_named_with_the_cure(authority: Authority) -> None:
    old, new = authority.client("old"), authority.client("new")
    with pytest.raises(UnusableError, match=r"new\.pem and .*old\.key do not belong together; .* restart fluss-agent"):
        Tls(authority.ca_file, new.cert_file, old.key_file).context()


def test_context_takes_nothing_older_than_tls_1_2() -> None:
    assert Tls().context().minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (30 * DAY_MS, []),
        (30 * DAY_MS - 1, ["mqtt.cert_file: mqtt.pem ends in 29 days, on 2026-12-21: have it renewed"]),
        (1, ["mqtt.cert_file: mqtt.pem ends in 0 days, on 2026-11-21: have it renewed"]),
        (0, ["mqtt.cert_file: mqtt.pem ended on 2026-11-21: have it renewed"]),
        (-DAY_MS, ["mqtt.cert_file: mqtt.pem ended on 2026-11-20: have it renewed"]),
    ],
)
def test_what_ends_within_thirty_days_is_a_concern(left: int, words: list[str]) -> None:
    found = list(concerns(Ends(client=NOW + left), FILES, "mqtt.example.net:8883", NOW))

    assert [each.words for each in found] == words
    assert [each.left_ms for each in found] == [left] * len(words)


def test_each_concern_names_the_thing_the_place_and_the_cure() -> None:
    ends = Ends(NOW, NOW, NOW)

    assert [each.words for each in concerns(ends, FILES, "mqtt.example.net:8883", NOW)] == [
        "mqtt.cert_file: mqtt.pem ended on 2026-11-21: have it renewed",
        "mqtt.ca_file: ca.pem ended on 2026-11-21: add the authority that the broker will have by then",
        "the certificate of mqtt.example.net:8883 ended on 2026-11-21: whoever runs the broker has to renew it",
    ]


class Line:
    """Stands in for the link: what its broker has shown, and when there is a new connection."""

    def __init__(self) -> None:
        self.chain_end: int | None = None
        self._generation = 0
        self._arrival = asyncio.Condition()

    async def connect(self, chain_end: int) -> None:
        self.chain_end = chain_end
        async with self._arrival:
            self._generation += 1
            self._arrival.notify_all()

    async def connected(self, after: int) -> int:
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._generation > after)
            return self._generation


async def followed(
    tls: Tls | None, story: Callable[[Renewal, Line], object], changed: Callable[[], None] = lambda: None
) -> list[EventDict]:
    """What is logged while a renewal runs beside a story."""
    line = Line()
    watch = Renewal(Address("mqtt.example.net", 8883, "gw-1", tls=tls), Clock(trusted=True), changed)
    with capture_logs() as events:
        running = asyncio.create_task(watch.run(cast("Link", line)))
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await cast("asyncio.Future[None]", story(watch, line))
        running.cancel()
        await asyncio.wait([running])
    return events


async def test_what_ends_soon_is_logged_at_the_start_and_once_a_day(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(renewal, "SAY_EVERY_S", 0.3)
    gateway = authority.client("gw-1", until=later(12))
    told: list[bool] = []

    async def wait(watch: Renewal, _: Line) -> None:
        await until(lambda: watch.ends.client)
        await asyncio.sleep(0.45)

    tls = Tls(authority.ca_file, gateway.cert_file, gateway.key_file)
    events = await followed(tls, wait, lambda: told.append(True))

    assert [(event["event"], event["log_level"]) for event in events] == [("certificates.ending", "warning")] * 2
    assert f"mqtt.cert_file: {gateway.cert_file} ends in 11 days, on " in events[0]["concern"]
    assert len(told) == 1, "nothing changed after that"


async def test_broker_that_shows_an_end_and_files_that_are_renewed_are_told_at_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = authority.client("gw-1", until=later(-1))
    seen: list[Ends] = []

    async def renew(watch: Renewal, line: Line) -> None:
        await until(lambda: watch.ends.client)
        seen.append(watch.ends)
        authority.client("gw-1", until=later(300))
        await line.connect(NOW)
        await until(lambda: watch.ends.broker)
        seen.append(watch.ends)

    events = await followed(Tls(authority.ca_file, gateway.cert_file, gateway.key_file), renew)

    before, after = seen
    assert (before.broker, after.broker) == (None, NOW)
    assert before.client is not None
    assert after.client is not None
    assert after.client - before.client == 301 * DAY_MS
    assert [event["log_level"] for event in events] == ["error", "error"]
    assert "ended on" in events[0]["concern"]
    assert "the certificate of mqtt.example.net:8883 ended on 2026-11-21" in events[1]["concern"]


async def test_files_that_no_connection_could_use_are_named_before_one_needs_them(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_S", 0.01)
    gateway, other = authority.client("gw-1"), authority.client("gw-2")

    async def wait(watch: Renewal, _: Line) -> None:
        await until(lambda: watch.ends.client)
        other.key_file.replace(gateway.key_file)
        await asyncio.sleep(0.2)

    [event] = await followed(Tls(authority.ca_file, gateway.cert_file, gateway.key_file), wait)

    assert (event["event"], event["log_level"]) == ("certificates.unusable", "error")
    assert "do not belong together" in event["error"]


async def test_link_without_tls_rests_on_no_certificates() -> None:
    async def wait(watch: Renewal, line: Line) -> None:
        await line.connect(NOW)
        await asyncio.sleep(0.05)
        assert watch.ends == Ends()

    assert await followed(None, wait) == []
