"""What goes on beside something else, for as long as that lasts."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Self


class Asides:
    """Tasks beside the one that has the context open. A bug in one of them ends that one, and comes up there."""

    def __init__(self) -> None:
        self._owner: asyncio.Task[object] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken = False

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if self._broken and self._owner is not None:
            self._owner.uncancel()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def begin(self, aside: Coroutine[None, None, None]) -> Callable[[], object]:
        """Have this go on until it is over, the context ends, or what is returned is called."""
        task = asyncio.create_task(aside)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task.cancel

    def _over(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        elif self._owner is not None and not self._broken:
            self._broken = True
            self._owner.cancel()
