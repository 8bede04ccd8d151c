"""Whatever bytes come, no parser breaks, hangs or hoards: a bounded run here, hours of it with `make soak`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.configurations import furnish
from tests.conftest import IN_CI, gone_if_missing
from tests.counterparts.soak import FACTOR, scaled
from tests.fuzz.targets import PLANTED, ROOT, TARGETS

SECONDS: Final = scaled(4)
GROWTH_MB: Final = 50
OUTPUT: Final = 6_000

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module", autouse=True)
def _fuzzer_installed() -> None:
    gone_if_missing("atheris", find_spec("atheris"), "it has wheels for CPython on Linux alone: pip install atheris")


def fuzzed(name: str, home: Path, *options: str) -> Done:
    """One target in a process of its own, which the fuzzer takes over; found inputs are left in `home`."""
    environment = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "tests.fuzz", name, f"-max_total_time={SECONDS}", "-timeout=10", *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60 + 2 * SECONDS,
        cwd=furnish(home),
        env={**environment, "PYTHONPATH": str(ROOT)},
    )


def figure(done: Done, words: str) -> float:
    """The last number behind these words in what the fuzzer said."""
    found = re.findall(rf"^{words}:\s+([0-9.]+)", done.stderr, re.MULTILINE)
    assert found, done.stderr[-OUTPUT:]
    return float(found[-1])


def growth_mb(done: Done) -> float:
    return figure(done, "resident") - figure(done, "warm")


@pytest.mark.timeout(90 + 3 * SECONDS)
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_parser(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    repeatable = ("-seed=1",) if IN_CI and FACTOR == 1 else ()
    done = fuzzed(name, tmp_path, *repeatable)
    assert done.returncode == 0, done.stderr[-OUTPUT:]
    inputs = int(figure(done, "stat::number_of_executed_units"))
    assert inputs > 100, "too few to mean anything"
    assert growth_mb(done) <= GROWTH_MB
    record_property("tried:fuzzed inputs", inputs)
    record_property(f"slowest input, {name}", f"{figure(done, 'slowest'):g} ms")


@pytest.mark.timeout(90 + 3 * SECONDS)
@pytest.mark.parametrize("name", PLANTED)
def test_fuzzer_finds_what_is_put_in(name: str, tmp_path: Path) -> None:
    done = fuzzed(name, tmp_path, "-seed=1", "-runs=20000", "-max_total_time=30")
    if name == "leak":
        assert growth_mb(done) > GROWTH_MB
        return
    assert done.returncode != 0
    assert {"crash": "ZeroDivisionError", "hang": "TooSlow"}[name] in done.stdout + done.stderr
    assert list(tmp_path.glob("crash-*")), "the input is there to look at"
