"""What `fluss-simulator` exits with, and what it loads to do so."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator import exits
from simulator.cli import cli, main
from simulator.exits import Failure
from simulator.trouble import Unreachable

ROOT = Path(__file__).parents[2]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "invoke", broken)
    return main(["demo"])


def test_version_and_help_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == exits.OK
    assert capsys.readouterr().out.startswith("fluss-simulator ")
    assert main(["--help"]) == exits.OK
    said = capsys.readouterr().out
    assert [name for name in ("demo", "broker", "cloud") if name in said] == ["demo", "broker", "cloud"]


@pytest.mark.parametrize("words", [["nonsense"], ["broker", "--port", "x"], ["cloud", "nonsense"], ["demo", "extra"]])
def test_what_makes_no_sense_exits_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == exits.USAGE
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Unreachable("broker:1883 refuses connections"), exits.UNREACHABLE, "broker:1883 refuses connections"),
        (Failure("no"), exits.REFUSED, "no"),
        (
            FileNotFoundError(2, "No such file or directory", "list.csv"),
            exits.IO,
            "list.csv: No such file or directory",
        ),
        (ZeroDivisionError("division by zero"), exits.BUG, "this is a bug (ZeroDivisionError)"),
    ],
)
def test_every_ending_has_its_code(
    error: Exception, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, error) == code
    assert words in capsys.readouterr().err


def test_ctrl_c_exits_1_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == exits.REFUSED
    assert "Traceback" not in capsys.readouterr().err


def test_no_command_loads_another_ones_libraries() -> None:
    """Nobody who imports a list waits for a broker to be loaded."""
    script = (
        "import sys; from simulator.cli import main; main(['cloud', 'invite', '--help']);"
        "print([name for name in ('amqtt', 'agent', 'storage') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
