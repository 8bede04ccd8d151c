"""One gateway, one broker and one office on this machine, for as long as a measurement takes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.gateway import AGENT, Gateway
from benchmarks.office import Office
from tests.counterparts.mosquitto import Mosquitto

BROKER: Final = "Mosquitto as Debian packs it, its own defaults, on the loopback, without TLS, nothing kept on disk"

DISK: Final = Path("/var/tmp")  # noqa: S108 -- every run has a private folder in it; /tmp is memory on many machines


@contextmanager
def bench(
    home: Path, command: Sequence[str] = AGENT, driver: str = "none", state_dir: Path | None = None
) -> Iterator[tuple[Gateway, Office]]:
    """A fresh gateway that is online over a fresh broker, and the office; all of it in `home` is gone afterwards."""
    with (
        TemporaryDirectory(dir=home) as place,
        Mosquitto(Path(place) / "broker", persistent=False) as broker,
        Office(broker.port) as office,
        Gateway(Path(place) / "gateway", broker.port, command, driver, state_dir) as gateway,
    ):
        office.online()
        yield gateway, office
