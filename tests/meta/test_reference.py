"""The published reference is what the models say."""

import json
import re
from collections.abc import Iterator
from typing import Any

from docs.generate import DOCS, asyncapi, documents


def test_reference_is_fresh() -> None:
    """docs/asyncapi.json and docs/PROTOCOL.md are what `make docs` would write."""
    stale = [path.name for path, text in documents().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"stale: {', '.join(stale)}; run `make docs`"


def test_every_reference_leads_somewhere() -> None:
    """No `$ref` of the AsyncAPI document dangles."""
    document = json.loads(json.dumps(asyncapi()))
    for reference in set(_references(document)):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def _references(node: Any) -> Iterator[str]:  # noqa: ANN401 -- JSON
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def test_every_invariant_names_a_test_that_is_there() -> None:
    """docs/ARCHITECTURE.md pins each invariant to a file of this suite."""
    text = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert len(named) > 5
    assert not [path for path in named if not (DOCS.parent / path).is_file()]
