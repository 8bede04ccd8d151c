"""What an office has to say: batches over a few people, so that they collide, and some messages nobody can use."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from tests.oracle.histories import GATE, PANEL
from tests.simulation.books import GATEWAY
from tests.simulation.hostility import Hostility
from tests.simulation.keeping import Anomaly
from tests.simulation.pen import Pen

Document = dict[str, Any]

PEOPLE = [f"+2782000{number:04}" for number in range(28)]
VISITORS = PEOPLE[:9]
"""Who mostly has access for a time only."""

STRANGER = "+27829999999"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_HOUR_MS = 3_600_000


@dataclass(slots=True)
class Sent:
    """One message on `invites`: all the bytes it was ever sent as, which mean the same."""

    name: tuple[str, int] | None
    """Batch and part; None for what has none, or another's."""
    said: Document | None
    forms: list[bytes] = field(default_factory=list)
    settled: bool = False
    """The gateway has said what became of it."""
    applied: bool = False
    sent_at: float = -1e9
    tries: int = 0


_NOBODYS = Sent(None, None)


class Office:
    """``pen`` writes what it sends; ``truth`` is the true moment in epoch milliseconds."""

    def __init__(self, rng: Random, hostility: Hostility, pen: Pen, truth: Callable[[], int]) -> None:
        self.sent: list[Sent] = []
        self.accepted: list[str] = []
        """Who was said to have taken up an invitation, the latest last."""
        self._rng = rng
        self._hostility = hostility
        self._pen = pen
        self._truth = truth
        self._revision = 0
        self._by_name: dict[tuple[str, int], Sent] = {}
        self._by_hash: dict[str, bytes] = {}
        self._names: dict[bytes, tuple[str, int]] = {}
        self._forged: set[str] = set()
        self._plain: dict[bytes, bytes] = {}

    def bytes_of(self, name: tuple[str, int] | str) -> bytes:
        """What the message says that a receipt means: by batch and part in the form that holds longest, or by its hash.

        Raises Anomaly where nobody who is believed has sent any such thing.
        """
        forms = [self._by_hash.get(name)] if isinstance(name, str) else self._by_name.get(name, _NOBODYS).forms
        said = [self._plain[form] for form in forms if form in self._plain]
        if not said or name in self._forged:
            raise Anomaly(f"{name} has had an effect, and nobody has sent it")
        return max(said, key=_expires_at) if len(said) > 1 else said[0]

    def is_forged(self, digest: str) -> bool:
        """Whether a message, by its hash, is nobody's who is believed."""
        return digest in self._forged

    def name_of(self, payload: bytes) -> tuple[str, int] | None:
        """Which part a message is; None for what cannot be used."""
        return self._names.get(payload)

    def batch(self) -> list[Sent]:
        """The parts of a new batch."""
        rng = self._rng
        self._revision += rng.choice([1, 1, 1, 7])
        replaces = bool(self.sent) and rng.random() < 0.25
        count = rng.choice([1, 1, 2, 3])
        most = len(PEOPLE) if replaces or not self.sent else 10
        chosen = rng.sample(PEOPLE, rng.randint(3, most) if self.sent else most)
        header: Document = {
            "batchId": f"batch-{self._revision}",
            "gatewayId": GATEWAY,
            "revision": self._revision,
            "parts": count,
            "mode": "replace" if replaces else "merge",
            "deviceIds": rng.choice([[GATE], [GATE], [GATE, PANEL], [PANEL]]) if self.sent else [GATE, PANEL],
            "permission": rng.choice(["Always", "Always", "Full", "Tenant"]),
            "inviteExpiresAt": rng.choice([None, None, self._in(30, 3_000)]),
        }
        found = []
        for number in range(count):
            named = chosen[number::count]
            gone = 0 if replaces else rng.choice([0, 0, len(named) // 3])
            said = header | {
                "part": number + 1,
                "invitees": [self._invitee(each) for each in named[gone:]],
                "revocations": [{"mobile": each} for each in named[:gone]],
            }
            found.append(self._new((header["batchId"], number + 1), said))
        return found

    def poison(self) -> Sent:
        """A message that cannot be used."""
        rng = self._rng
        known = [each for each in self.sent if each.applied]
        said: Document = {
            "batchId": f"bad-{len(self.sent)}",
            "gatewayId": GATEWAY,
            "revision": 900_000 + len(self.sent),
        }
        said |= {"deviceIds": [GATE], "permission": "Always", "invitees": [self._invitee(rng.choice(PEOPLE))]}
        kinds: list[Document | bytes] = [
            b"{" + str(len(self.sent)).encode(),
            b"[%d]" % len(self.sent),
            said | {"gatewayId": "gw-2"},
            said | {"part": 3, "parts": 2},
            said | {"revision": None},
            said | {"expiresAt": self._truth() - 4_000 * 86_400_000},
        ]
        if known:
            other = rng.choice(known).said or {}
            kinds += [
                other | {"invitees": [{"userName": "Somebody", "mobile": PEOPLE[0]}], "note": len(self.sent)},
                said | {"revision": other["revision"]},
            ]
        if self._pen.key is not None and rng.random() < 0.5:
            forged = self._pen.forge(json.dumps(said).encode())
            self._forged.add(sha256(forged).hexdigest())
            return self._kept(Sent(None, None, [forged]), forged, b"")
        made = rng.choice(kinds)
        if isinstance(made, bytes):
            form = self._pen.write(made)
            return self._kept(Sent(None, None, [form]), form, made)
        return self._new(None, made)

    def form(self, sent: Sent) -> bytes:
        """The message once more: to the letter, or dated anew, which changes nothing of it."""
        if sent.forms and (sent.name is None or self._rng.random() < 0.6):
            return self._rng.choice(sent.forms)
        assert sent.said is not None
        stamped = sent.said | {"issuedAt": self._truth()}
        if sent.name is not None and self._rng.random() < 0.1:
            stamped |= {"expiresAt": self._in(60, 7_200)}
        plain = json.dumps(stamped).encode()
        form = self._pen.write(plain)
        sent.forms.append(form)
        self._by_hash[sha256(form).hexdigest()] = form
        self._plain[form] = plain
        if sent.name is not None:
            self._names[form] = sent.name
        return form

    def heard(self, receipt: Document) -> None:
        """The gateway has said what became of a message."""
        for each in self._meant(receipt):
            each.settled = True
            each.applied = each.applied or receipt["outcome"] != "rejected"

    def unsettled(self) -> Iterator[Sent]:
        """What the gateway has not said anything of."""
        return (each for each in self.sent if not each.settled)

    def _meant(self, receipt: Document) -> Sequence[Sent]:
        if receipt["outcome"] == "rejected":
            digest = receipt["payloadSha256"]
            return [each for each in self.unsettled() if digest in [sha256(form).hexdigest() for form in each.forms]]
        found = self._by_name.get((receipt["batchId"], receipt["part"]))
        return [found] if found else []

    def _kept(self, sent: Sent, form: bytes, plain: bytes) -> Sent:
        self._by_hash[sha256(form).hexdigest()] = form
        self._plain[form] = plain
        self.sent.append(sent)
        return sent

    def _new(self, name: tuple[str, int] | None, said: Document) -> Sent:
        sent = Sent(name, said)
        if name is not None:
            self._by_name[name] = sent
        self.sent.append(sent)
        self.form(sent)
        return sent

    def _invitee(self, mobile: str) -> Document:
        rng = self._rng
        row: Document = {"userName": rng.choice(["Sam", "Alex", "Kim"]), "mobile": mobile}
        if rng.random() < 0.03:
            return row | {"mobile": "082 45"}
        if rng.random() < 0.6:
            row["accepted"] = True
            self.accepted.append(mobile)
        if rng.random() < 0.2:
            row["wifi"] = rng.random() < 0.3
        if rng.random() < 0.15:
            row["notes"] = rng.choice(["Unit 4", "Unit 5"])
        kind = rng.random() * (0.6 if mobile in VISITORS else 1.0)
        if kind < 0.2:
            starts = self._in(-3_600, 600)
            row |= {"permission": "Temporary", "startDate": starts, "endDate": starts + rng.randint(60, 7_200) * 1_000}
        elif kind < 0.3:
            hour = rng.randrange(24)
            window = {"days": rng.sample(DAYS, rng.randint(1, 7)), "from": f"{hour:02}:{rng.randrange(60):02}"}
            row |= {
                "permission": "Repeat",
                "schedule": [window | {"until": f"{(hour + rng.randint(1, 9)) % 24:02}:30"}],
            }
        elif kind < 0.35:
            row["permission"] = rng.choice(["Owner", "Full"])
        return row

    def _in(self, least_s: float, most_s: float) -> int:
        return self._truth() + round(self._rng.uniform(least_s, most_s) * 1_000)


def _expires_at(plain: bytes) -> int:
    return json.loads(plain).get("expiresAt") or 1 << 60
