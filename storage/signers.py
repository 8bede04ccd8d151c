"""Signers: whose word counts. A key that is taken out of the configuration takes the rank of its rows with it."""

from collections.abc import Collection
from dataclasses import dataclass

from storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Shift:
    """Whose word counts from now on and did not before, and the reverse; thumbprints, None for nobody's signature."""

    gained: tuple[str | None, ...]
    lost: tuple[str | None, ...]


async def trust(transaction: Transaction, thumbprints: Collection[str]) -> Shift:
    """From now on the word of these keys counts; where there are none, that of whoever signs nothing.

    A stolen key may have signed the newest revision there can be. Once it is not trusted any more, its rows are older
    than anything, so its successor is not locked out; and they stay, so nobody else is.
    """
    before = {thumbprint for (thumbprint,) in await transaction.fetch("SELECT thumbprint FROM signers WHERE trusted")}
    now: set[str | None] = set(thumbprints) or {None}
    if now == before:
        return Shift((), ())
    await transaction.execute("UPDATE signers SET trusted = 0")
    await transaction.many(
        "INSERT INTO signers (thumbprint, trusted) VALUES (?, 1) ON CONFLICT (thumbprint) DO UPDATE SET trusted = 1",
        [(thumbprint,) for thumbprint in thumbprints],
    )
    await transaction.execute("UPDATE signers SET trusted = ? WHERE signer = 0", (None in now,))
    return Shift(tuple(sorted(now - before, key=str)), tuple(sorted(before - now, key=str)))


async def signers(transaction: Transaction) -> dict[str | None, int]:
    """The numbers of all signers there ever were, by thumbprint."""
    return dict(await transaction.fetch("SELECT thumbprint, signer FROM signers"))
