"""The project's own files, as the meta tests read them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "protocol", "storage", "simulator")


def kept_files() -> list[Path]:
    """Every file that is committed, or would be; a copy without its repository counts every file as such."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    answer = subprocess.run(listed, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode:
        return [path for path in ROOT.rglob("*") if path.is_file() and not _made_by_tools(path)]
    paths = [ROOT / name for name in answer.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def package_files() -> list[Path]:
    """What lies in the folders of the four packages."""
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file() and not _made_by_tools(path)
    ]


def sources(*folders: str) -> Iterator[tuple[Path, str]]:
    """Path, relative to the root, and text of every Python file in these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def _made_by_tools(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part == "__pycache__" or (part.startswith(".") and part != ".ci") for part in parts[:-1])
