"""Four plain package names in one distribution: what guards them, and what a gateway installs."""

import configparser
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.tree import PACKAGES, ROOT, package_files

KINDS_OF_FILE = {".py", ".typed", ".sql", ".csv", ".toml"}


def pins(lock: str) -> dict[str, str]:
    """Name to version of everything a lock file installs."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def declared(*, extra: str = "") -> set[str]:
    """The distributions that pyproject.toml asks for, without an extra or with one alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    answer = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert answer.returncode == 0, answer.stderr
    (file,) = folder.glob("fluss_gateway-*.whl")
    return zipfile.Path(file)


def test_packages_resolve_inside_one_root() -> None:
    """No other distribution's `agent` or `storage`, and no folder of tests, stands in front of ours."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        assert spec.origin == str(ROOT / package / "__init__.py")


def test_no_folder_of_tests_is_named_like_a_package() -> None:
    assert not {folder.name for folder in (ROOT / "tests").rglob("*") if folder.is_dir()} & set(PACKAGES)


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.Path) -> None:
    names = [name for name in wheel.root.namelist() if ".dist-info/" not in name and not name.endswith("/")]
    assert sorted(names) == sorted(file.relative_to(ROOT).as_posix() for file in package_files())


def test_wheel_holds_only_known_kinds_of_file() -> None:
    """Schema and samples go along; a database or a key that lay about does not."""
    assert {file.suffix for file in package_files()} <= KINDS_OF_FILE


def test_wheel_holds_schema_and_types(wheel: zipfile.Path) -> None:
    names = wheel.root.namelist()
    assert any(re.fullmatch(r"storage/.*\.sql", name) for name in names)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_wheel_installs_both_commands(wheel: zipfile.Path) -> None:
    (entry_points,) = [file for info in wheel.iterdir() for file in info.iterdir() if file.name == "entry_points.txt"]
    parser = configparser.ConfigParser()
    parser.read_string(entry_points.read_text())
    scripts = dict(parser["console_scripts"])
    assert scripts == {"fluss-agent": "agent.cli:main", "fluss-simulator": "simulator.cli:main"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_gateway_installs_no_broker() -> None:
    """Nothing that only the simulator needs reaches a board, and all that the daemon asks for does."""
    gateway = pins("gateway").keys()
    assert not gateway & {"amqtt", *declared(extra="simulator")}
    assert declared() <= gateway


@pytest.mark.parametrize("lock", ["gateway", "simulator", "build"])
def test_lock_agrees_with_the_one_tests_run_on(lock: str) -> None:
    """What is shipped is what was tested, to the version."""
    dev = pins("dev")
    shared = pins(lock).keys() & dev.keys()
    assert {name: pins(lock)[name] for name in shared} == {name: dev[name] for name in shared}
    assert lock == "build" or shared == pins(lock).keys()
