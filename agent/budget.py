"""How much of something may happen: a lot at once, and little in the long run."""


class Budget:
    """So many `at_once`, and `per_s` more every second up to that. Times are seconds of a clock that never steps."""

    def __init__(self, at_once: float, per_s: float) -> None:
        self._most = at_once
        self._per_s = per_s
        self._left = at_once
        self._since: float | None = None

    def exhausted(self, now: float) -> bool:
        """Whether there is nothing left to spend."""
        self._refill(now)
        return self._left < 1

    def spend(self, now: float) -> None:
        """Take one."""
        self._refill(now)
        self._left = max(0.0, self._left - 1)

    def _refill(self, now: float) -> None:
        if self._since is not None:
            self._left = min(self._most, self._left + (now - self._since) * self._per_s)
        self._since = now
