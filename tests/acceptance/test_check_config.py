"""`fluss-agent check-config` as a person or a script meets it: a real process, its words and its exit code."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent import exits
from storage import engine
from tests.configurations import CONTRACT, MINIMAL, THUMBPRINT, UNTRUSTING, edited, furnish

ROOT = Path(__file__).parents[2]
# Root may touch everything; this is root without that power.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLUSS_", "COLUMNS"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def fluss_agent(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run from a directory that holds nothing of ours."""
    command = [*BOUND, sys.executable, "-P", "-m", "agent", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=30,
        cwd="/",
        env=env or environment(),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return furnish(tmp_path) / "agent.toml"


def test_check_config_of_a_good_file_says_what_it_means(file: Path) -> None:
    file.write_text(CONTRACT)
    done = fluss_agent("check-config", "--config", file)
    assert (done.returncode, done.stderr) == (exits.OK, "")
    assert done.stdout.splitlines() == [
        f"{file}: no mistakes",
        "",
        "gateway\tgw-1",
        "broker\tmqtt.example.net:8883, MQTT 5, TLS, a client certificate and a password",
        f"trust\tcloud-2026 ({THUMBPRINT})",
        "topics\tfluss/v1/gw-1/",
        "region\tZA",
        f"state\t{file.parent}/state",
        "device\tname\tkind\ttime zone\tmax users\tdriver\topens",
        "1234567890123456\tMain gate\tfluss+\tAfrica/Johannesburg\t5000\ttcp://127.0.0.1:9000\t",
        "482913\tEntrance panel\tintercom\tAfrica/Johannesburg\t5000\ttcp://127.0.0.1:9001\t1234567890123456",
        *([f"note: {fault}"] if (fault := engine.concern()) else []),
    ]
    assert not (file.parent / "state").exists(), "a check leaves nothing behind"


def test_check_config_without_keys_says_what_that_means(file: Path) -> None:
    file.write_text(UNTRUSTING)
    done = fluss_agent("check-config", "--config", file)
    assert done.returncode == exits.OK
    assert "trust\tno keys\n" in done.stdout
    warning = "note: trust.keys: is empty: anybody who can publish at the broker can change the lists and open gates"
    assert warning in done.stdout.splitlines()


def test_check_config_on_a_terminal_shows_a_table(file: Path) -> None:
    file.write_text(edited(CONTRACT, "Main gate", "[bold]Main[/bold] gate"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agent", "check-config", "--config", file],
        stdout=theirs,
        env=environment(COLUMNS="200", TERM="xterm"),
        cwd="/",
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 65536):
                shown += some
        except OSError:  # how Linux says that the other end of a terminal is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == exits.OK
    text = shown.decode()
    assert "\x1b[1m" in text, "bold headings"
    assert "────" in text, "a ruled table"
    assert "[bold]Main[/bold] gate" in text, "a name is never markup"
    assert "\t" not in text


def test_check_config_tells_every_mistake_and_exits_78(file: Path) -> None:
    text = edited(edited(CONTRACT, "port = 8883", "port = 0"), "Africa/Johannesburg", "Africa/Johanesburg")
    file.write_text(edited(text, "[lists]", "[list]"))
    done = fluss_agent("check-config", "--config", file)
    assert (done.returncode, done.stdout) == (exits.CONFIG, "")
    assert done.stderr.splitlines() == [
        f"{file}: 3 mistakes",
        "mqtt.port: 0 is too small: 1 at least",
        "devices[0].timezone: 'Africa/Johanesburg' is not a time zone; did you mean 'Africa/Johannesburg'?",
        "list: is not a key here; did you mean 'lists'?",
    ]


def test_run_tells_the_same_mistakes_and_starts_nothing(file: Path) -> None:
    file.write_text(edited(CONTRACT, "port = 8883", "port = 0"))
    check, run = fluss_agent("check-config", "--config", file), fluss_agent("run", "--config", file)
    assert (run.returncode, run.stdout, run.stderr) == (exits.CONFIG, "", check.stderr)
    assert not (file.parent / "state").exists()


def test_config_is_found_by_the_environment(file: Path) -> None:
    file.write_text(MINIMAL)
    done = fluss_agent("check-config", env=environment(FLUSS_AGENT_CONFIG=str(file)))
    assert done.returncode == exits.OK
    assert done.stdout.startswith(f"{file}: no mistakes")


def test_config_is_looked_for_in_etc_by_default() -> None:
    done = fluss_agent("check-config", "--help")
    assert done.returncode == exits.OK
    assert "/etc/fluss-agent/agent.toml" in done.stdout


def test_zones_of_the_board_decide_nothing(file: Path) -> None:
    """Neither which zones there are, nor what they mean: here, a broken one and one too many."""
    for name in ("Asia/Kathmandu", "Mars/Olympus"):
        zone = file.parent / "zones" / name
        zone.parent.mkdir(parents=True)
        zone.write_bytes(b"TZif")
    env = environment(PYTHONTZPATH=str(file.parent / "zones"))

    file.write_text(edited(MINIMAL, "Europe/London", "Asia/Kathmandu"))
    assert fluss_agent("check-config", "--config", file, env=env).returncode == exits.OK
    file.write_text(edited(MINIMAL, "Europe/London", "Mars/Olympus"))
    done = fluss_agent("check-config", "--config", file, env=env)
    assert done.returncode == exits.CONFIG
    assert "'Mars/Olympus' is not a time zone" in done.stderr


def test_missing_config_is_one_clear_line(tmp_path: Path) -> None:
    done = fluss_agent("check-config", "--config", tmp_path / "no.toml")
    assert done.returncode == exits.CONFIG
    assert done.stderr == f"{tmp_path}/no.toml: there is no such file; --config names yours\n"


def test_what_this_user_may_not_touch_is_a_mistake(file: Path) -> None:
    home = file.parent
    file.write_text(CONTRACT)
    (home / "gw-1.key").chmod(0)
    home.chmod(0o555)
    done = fluss_agent("check-config", "--config", file)
    home.chmod(0o755)
    assert done.returncode == exits.CONFIG
    assert done.stderr.splitlines()[1:] == [
        f"state_dir: {home}/state cannot be written: this user (uid {os.geteuid()}) may not write in {home}",
        f"mqtt.key_file: {home}/gw-1.key cannot be read: Permission denied",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage: fluss-agent"),
        (["chek-config"], "No such command 'chek-config'"),
        (["check-config", "--confg", "x"], "No such option '--confg'"),
        (["check-config", "--config"], "'--config' requires an argument"),
        (["check-config", "one", "two"], "unexpected extra argument"),
        (["run", "--log-level", "loud"], "'loud' is not one of"),
    ],
)
def test_wrong_command_line_exits_64(arguments: list[str], words: str) -> None:
    done = fluss_agent(*arguments)
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help_exit_0() -> None:
    version, help_ = fluss_agent("--version"), fluss_agent("--help")
    assert version.returncode == help_.returncode == exits.OK
    assert version.stdout.startswith("fluss-agent 0")
    assert "check-config" in help_.stdout
