"""What an import writes to the card, from start to stop: log and store, the last checkpoint and the file system's own.

Less what a gateway writes that starts and stops without an import.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, rotated
from benchmarks.memory_card import memory_card


def measure(few: int, many: int, rounds: int, home: Path) -> list[Figure]:
    """Bytes written per user, beside the bytes of the payloads that brought them."""
    crowd = people.invitees(many)
    one, some, all_of_them = (people.parts(crowd[:count]) for count in (1, few, many))
    again = people.parts(crowd, batch_id="again", revision=2)
    single = [
        people.parts([person], batch_id=f"single-{number}", revision=number)[0]
        for number, person in enumerate(crowd[:few], 1)
    ]
    imports: dict[str, list[Sequence[bytes]]] = {
        "nothing": [],
        "one": [one],
        "some": [some],
        "all": [all_of_them],
        "twice": [all_of_them, again],
        "together": [single],
        "apart": [[payload] for payload in single],
    }

    def written(name: str) -> dict[str, float]:
        with memory_card(home) as card, bench(home, state_dir=card.path / "state") as (gateway, office):
            before = card.written()
            for payloads in imports[name]:
                office.send(payloads, sum(payload.count(b'"mobile":') for payload in payloads))
            gateway.stop()
            return {name: float(card.written() - before)}

    found = rotated([partial(written, name) for name in imports], rounds)

    def per_user(name: str, users: int, without: str = "nothing") -> list[float]:
        return [(total - less) / users for total, less in zip(found[name], found[without], strict=True)]

    def figure(what: str, samples: list[float], payloads: Sequence[bytes], users: int) -> Figure:
        received = sum(map(len, payloads)) / users
        return Figure(what, "B/user", samples, "bytes received", [received] * rounds)

    grouped = per_user("some", few)
    return [
        figure("written for a batch of 1 new user", per_user("one", 1), one, 1),
        figure(f"written for a batch of {few:,} new users", grouped, some, few),
        figure(f"written for a batch of {many:,} new users", per_user("all", many), all_of_them, many),
        figure(f"written for the same {many:,} again", per_user("twice", many, without="all"), again, many),
        Figure(f"{few:,} batches of 1, sent at once", "B/user", per_user("together", few), "one batch", grouped),
        Figure(f"{few:,} batches of 1, one by one", "B/user", per_user("apart", few), "one batch", grouped),
    ]
