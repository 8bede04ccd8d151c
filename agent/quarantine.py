"""Messages that could not be used, kept for whoever wants to know why: few, small, and never in the way."""

from pathlib import Path
from typing import Final

import structlog

from storage.secret import Secret

log = structlog.get_logger()

MOST_FILES: Final = 64
MOST_BYTES: Final = 8 << 20


class Quarantine:
    """A folder of the newest unusable payloads, for the daemon's user alone; sealed where there is a secret."""

    def __init__(self, folder: Path, secret: Secret | None = None) -> None:
        self._folder = folder
        self._secret = secret
        if secret is not None:
            self._forget_plain()

    def keep(self, payload: bytes, sha256: str, at: int) -> None:
        """Store a payload under its arrival (epoch ms) and hash. On a full card the receipt matters more."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            form = "json" if self._secret is None else "sealed"
            kept = self._folder / f"{at:015d}-{sha256[:16]}.{form}"
            kept.touch(mode=0o600)
            kept.write_bytes(payload if self._secret is None else self._secret.seal(payload))
            self._trim()
        except OSError as error:
            log.warning("quarantine.failed", error=str(error))

    def drop(self, before: int | None = None) -> None:
        """Forget those that came before that moment (epoch ms), or all of them. Raises OSError."""
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if before is None or path.name < f"{before:015d}":
                path.unlink(missing_ok=True)

    def _forget_plain(self) -> None:
        """What was kept before there was a key."""
        try:
            for path in self._folder.glob("*.json"):
                path.unlink()
        except OSError as error:
            log.warning("quarantine.failed", error=str(error))

    def _trim(self) -> None:
        size = 0
        for number, path in enumerate(sorted(self._folder.iterdir(), reverse=True), 1):
            size += path.stat().st_size
            if number > 1 and (number > MOST_FILES or size > MOST_BYTES):
                path.unlink()
