"""A command of `fluss-agent`, typed to its end where nobody looks: its output goes into a pipe."""

import asyncio
import os
import subprocess
from collections.abc import Mapping

from tests.counterparts.agent import COMMAND, ROOT, Agent

Done = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    """That of the test run, without what would change how a command prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLUSS_", "COLUMNS", "LC_", "LANG"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def command(agent: Agent, name: str, *words: str) -> list[str]:
    """The words of a command line."""
    return [*COMMAND, name, "--config", str(agent.file), *words]


def typed(agent: Agent, name: str, *words: str, answer: str = "", env: Mapping[str, str] | None = None) -> Done:
    """What a command says; ``answer`` is what it reads from whoever typed it."""
    done = subprocess.run(
        command(agent, name, *words),
        input=answer,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=40,
        cwd="/",
        env=environment(**(env or {})),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


async def typed_beside(
    agent: Agent, name: str, *words: str, answer: str = "", env: Mapping[str, str] | None = None
) -> Done:
    """The same, while what the test runs itself goes on."""
    return await asyncio.to_thread(typed, agent, name, *words, answer=answer, env=env)
