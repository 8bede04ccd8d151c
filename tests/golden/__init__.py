"""Bytes that must never change: wire messages, and databases of older versions."""

from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parent
