"""What is written to the card takes root to count: whoever is not root gets all the other figures."""

import os
from pathlib import Path

import pytest

from benchmarks.__main__ import main


def test_section_that_cannot_be_measured_says_why_and_loses_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("agent.logs.configure", lambda _: None)  # it would be for all tests that follow
    main(["card", "wear", "--quick", "--json", str(tmp_path / "figures.json")])
    said = capsys.readouterr().out
    assert said.count("not measured: what is written to the card is counted on a loop device: run this section as") == 2
    assert (tmp_path / "figures.json").exists()
