"""`python -m tests.mutation [MODULE …]`: make every mistake, and count those that the module's own tests notice.

Each is made in a process of its own, forked from this one, which has loaded the libraries and nothing of ours.
"""

import argparse
import ast
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import CodeType
from typing import Any, Final

import hypothesis
import pytest

from tests.mutation.mutations import Mutation, mutations
from tests.mutation.targets import ROOT, TARGETS

BOOK: Final = ROOT / "docs" / "reliability" / "mutants.json"
LOADED: Final = ("aiosqlite", "asyncio", "cryptography.hazmat.primitives.asymmetric.ed25519", "joserfc.jws", "orjson")
LOADED_TOO: Final = ("phonenumbers", "pydantic", "sqlite3", "structlog.testing", "trustme", "zoneinfo")
FORK: Final = multiprocessing.get_context("fork")


class Planted(SourceFileLoader):
    """Gives a module other code than its file has."""

    def __init__(self, module: str, code: CodeType) -> None:
        self.code = code
        super().__init__(module.removesuffix(".py").replace("/", "."), str(ROOT / module))

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 -- the signature is importlib's
        return self.code


class Hasty:
    """What is found is not made smaller, and not kept."""

    @staticmethod
    def pytest_configure() -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")


def tested(module: str, folder: Path, output: Path) -> int:
    """What pytest says of a module as it is loaded here; for a process of its own."""
    os.setsid()
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    files = [str(ROOT / "tests" / name) for name in TARGETS[module]]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--timeout=8", f"--basetemp={folder}/pytest"]
    options += ["--no-summary"]  # which would be written down as what a test run has tried
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is loaded already
    return pytest.main([*options, *files], plugins=[Hasty()])


def with_mistake(module: str, tree: ast.Module, mistake: Mutation, cpu_s: int, folder: Path) -> None:
    """The tests on a module with a mistake in it; ends the process, at the latest when it has computed for so long."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    mistake.apply()
    code = compile(tree, str(ROOT / module), "exec", dont_inherit=True)
    sys.meta_path.insert(0, Planted(module, code))
    os._exit(tested(module, folder, folder / "output"))


def covered(module: str, folder: Path) -> None:
    """The tests on a module as it is, and what of it they run; ends the process."""
    import coverage  # noqa: PLC0415 -- it is not in the way of the other processes

    watch = coverage.Coverage(branch=True, data_file=None, config_file=False, include=[str(ROOT / module)])
    watch.start()
    answer = tested(module, folder, folder / "output")
    watch.stop()
    watch.json_report(outfile=str(folder / "coverage.json"))
    os._exit(answer)


@dataclass(slots=True)
class Running:
    """A process that has until `ends` (monotonic seconds), and what is to be done with its exit code."""

    process: ForkProcess
    ends: float
    folder: tempfile.TemporaryDirectory[str]
    done: Callable[[int], None]


@dataclass(slots=True)
class Bench:
    """So many processes at a time."""

    workers: int
    running: list[Running] = field(default_factory=list)

    def start(self, work: Callable[..., None], *said: Any, limit_s: float, done: Callable[[int, Path], None]) -> None:  # noqa: ANN401 -- whatever the work takes
        """Have it done, with a folder for itself as its last argument; waits for a place."""
        while len(self.running) >= self.workers:
            self.collect()
        folder = tempfile.TemporaryDirectory(prefix="mutant-")
        process = FORK.Process(target=work, args=(*said, Path(folder.name)))
        process.start()
        place = Path(folder.name)
        self.running.append(Running(process, time.monotonic() + limit_s, folder, lambda code: done(code, place)))

    def collect(self) -> None:
        """Wait for one to end, or to have had its time."""
        ends = min(each.ends for each in self.running)
        wait([each.process.sentinel for each in self.running], max(0.0, ends - time.monotonic()))
        for each in [*self.running]:
            if each.process.is_alive() and time.monotonic() < each.ends:
                continue
            if each.process.pid:
                with suppress(ProcessLookupError):
                    os.killpg(each.process.pid, signal.SIGKILL)
            each.process.join()
            self.running.remove(each)
            each.done(each.process.exitcode or 0)
            each.folder.cleanup()

    def finish(self) -> None:
        """Wait for all."""
        while self.running:
            self.collect()


def judged(module: str, workers: int) -> dict[str, Any]:
    """How the tests of one module do."""
    found: dict[str, Any] = {}
    bench, began, computed = Bench(workers), time.monotonic(), children_s()

    def measured(code: int, folder: Path) -> None:
        if code:
            words = (folder / "output").read_text()
            sys.exit(f"{module}: its tests fail without any mistake: {', '.join(TARGETS[module])}\n{words}")
        totals = json.loads((folder / "coverage.json").read_text())["totals"]
        found.update(branches=totals["num_branches"], branches_taken=totals["covered_branches"])
        found.update(lines_missed=totals["missing_lines"])

    bench.start(covered, module, limit_s=300, done=measured)
    bench.finish()
    limit_s, cpu_s = 20 + 3 * (time.monotonic() - began), 3 + math.ceil(2 * (children_s() - computed))
    source = (ROOT / module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    every, survived = mutations(tree, source), list[Mutation]()
    for mistake in every:

        def told(code: int, _: Path, mistake: Mutation = mistake) -> None:
            if code == 0:
                survived.append(mistake)
                sys.stdout.write(f"    {mistake.number}: {mistake.told()}\n")
                sys.stdout.flush()

        bench.start(with_mistake, module, tree, mistake, cpu_s, limit_s=limit_s, done=told)
    bench.finish()
    killed = len(every) - len(survived)
    found = {"mutants": len(every), "killed": killed, **found, "survivors": [each.told() for each in survived]}
    words = f"{killed} of {len(every)} killed, {found['branches_taken']} of {found['branches']} branches taken"
    sys.stdout.write(f"{module}: {words}; {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return found


def keep(module: str, found: dict[str, Any]) -> None:
    """Write down how a module does, beside the others."""
    book = json.loads(BOOK.read_text()) if BOOK.exists() else {"modules": {}}
    modules = {each: book["modules"].get(each) for each in TARGETS} | {module: found}
    known = {each: figures for each, figures in modules.items() if figures}
    kinds = ("mutants", "killed", "branches", "branches_taken", "lines_missed")
    sums = {kind: sum(figures[kind] for figures in known.values()) for kind in kinds}
    run = {"day": time.strftime("%Y-%m-%d"), "python": platform.python_version(), **sums, "modules": known}
    BOOK.write_text(json.dumps(run, indent=2) + "\n")


def children_s() -> float:
    """For how long the processes that have ended have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Judge the modules that are named, or all, and write down how they do."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", default=[*TARGETS], metavar="MODULE")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["CI"] = "1"
    for library in LOADED + LOADED_TOO:
        importlib.import_module(library)
    for module in arguments.modules:
        keep(module, judged(module, arguments.workers))


main()
