"""What every test may ask for: a real broker, a certificate authority, and a machine that has what it takes."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import tried
from tests.counterparts import program
from tests.counterparts.authority import Authority
from tests.counterparts.mosquitto import MOSQUITTO, Mosquitto

STARTED = time.monotonic()
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# Two shared cores: a slow example says nothing. CI repeats the same examples, so that red means a change, not bad luck.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "here")


def gone_if_missing(name: str, found: object, cure: str | None = None) -> None:
    """Skip the test where a program is not installed; fail it in CI, where nothing may be skipped for that."""
    if not found:
        reason = f"{name} is not installed on this machine: {cure or f'apt-get install {name}'}"
        pytest.fail(f"{reason} (in CI a failure, not a skip)") if IN_CI else pytest.skip(reason)


@pytest.fixture(scope="session")
def mosquitto_installed() -> None:
    """For tests that start brokers of their own."""
    gone_if_missing("mosquitto", MOSQUITTO)


@pytest.fixture(scope="session")
def strace_installed() -> None:
    """For tests that kill at a chosen system call."""
    gone_if_missing("strace", shutil.which("strace"))


@pytest.fixture
def mosquitto(mosquitto_installed: None, tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker that anyone may connect to, and that keeps its sessions over a restart."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority that nobody else trusts."""
    return Authority(tmp_path / "authority")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not tested is said once for each reason, and not passed over; and what was tried how often."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"{tests} skipped: {reason}", yellow=True, bold=True)
    passed = terminalreporter.getreports("passed")
    if counts := tried.counted(noted for report in passed for noted in report.user_properties):
        terminalreporter.section("tried, and held")
        for what, count in counts.items():
            terminalreporter.write_line(f"{count:>9,}  {what}")
        failed = len(terminalreporter.getreports("failed")) + len(terminalreporter.getreports("error"))
        tried.keep(counts, len(passed), failed, time.monotonic() - STARTED)


def pytest_unconfigure() -> None:
    """Nothing that a test started outlives the run."""
    program.end_all()
