"""How a truth and a gateway's list come together: what differs, and the least that has to be said to put it right.

Pure: what either side holds is passed in.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import orjson

from protocol.digest import Sums, bucket
from protocol.invites import Invitee
from protocol.lifecycle import standing
from protocol.vocabulary import Status
from simulator.batching import Offer
from simulator.truth import Wanted

_OF_THE_BATCH: Final = ("inviteExpiresAt", "invitedBy")
"""What only a batch can say, not one of its people."""

_INTERCOM_DIGITS: Final = 6


class Standing(NamedTuple):
    """Somebody on a gateway's list, as a resync tells it."""

    revision: int
    status: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs at one device, by mobile."""

    device_id: str
    missing: tuple[str, ...] = ()
    """Wanted, and not on the list."""
    other: tuple[str, ...] = ()
    """On the list by another revision than the truth's, or without the acceptance that the truth knows of."""
    unwanted: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    """They have accepted there, and the truth did not know: nothing has to be said."""

    @property
    def people(self) -> int:
        """How many have to be put right."""
        return len(self.missing) + len(self.other) + len(self.unwanted)


@dataclass(frozen=True, slots=True)
class Repair:
    """One batch of the least that puts lists right; invitees by mobile."""

    offer: Offer
    invitees: dict[str, Invitee]
    revoked: tuple[str, ...]

    @property
    def mobiles(self) -> tuple[str, ...]:
        """Whom it speaks of, in the order of the batch."""
        return (*self.invitees, *self.revoked)


def sums_of(people: Mapping[str, Wanted]) -> Sums:
    """The digests of what is wanted at a device."""
    by_revision: dict[int, list[int]] = {}
    for mobile, wanted in people.items():
        by_revision.setdefault(wanted.revision, []).append(int(mobile))
    sums = Sums()
    for revision, mobiles in by_revision.items():
        sums.count(mobiles, revision)
    return sums


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The buckets whose digests are not the same on both sides."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def compare(
    device_id: str, wanted: Mapping[str, Wanted], listed: Mapping[str, Standing], buckets: Collection[str] | None
) -> Difference:
    """What differs at a device between what is wanted and what is listed of some buckets, or of all (None)."""
    ours = wanted if buckets is None else {each: wanted[each] for each in wanted if bucket(int(each)) in buckets}
    both = sorted(ours.keys() & listed.keys())
    lapsed = {each for each in both if ours[each].accepted and listed[each].status == Status.PENDING}
    return Difference(
        device_id,
        missing=tuple(sorted(ours.keys() - listed.keys())),
        other=tuple(each for each in both if ours[each].revision != listed[each].revision or each in lapsed),
        unwanted=tuple(sorted(listed.keys() - ours.keys())),
        accepted=tuple(each for each in both if listed[each].status == Status.ACTIVE and not ours[each].accepted),
    )


def counts(wanted: Mapping[str, Wanted], now_ms: int) -> dict[str, int]:
    """How many of each status there should be at a device; a digest says nothing of that."""
    found = dict.fromkeys(Status, 0)
    for each in wanted.values():
        status, _ = standing(each.accepted, _ends(each.said), each.said.get("inviteExpiresAt"), now_ms)
        found[status] += 1
    return {status.value: count for status, count in found.items()}


def repairs(truth: Mapping[str, Mapping[str, Wanted]], differences: Collection[Difference]) -> list[Repair]:
    """The batches that put all these lists right; whoever is wanted alike at several devices is said once."""
    said: dict[tuple[str, bytes], list[str]] = {}
    gone: dict[str, list[str]] = {}
    for each in differences:
        for mobile in (*each.missing, *each.other):
            words = orjson.dumps(truth[each.device_id][mobile].said, option=orjson.OPT_SORT_KEYS)
            said.setdefault((mobile, words), []).append(each.device_id)
        for mobile in each.unwanted:
            gone.setdefault(mobile, []).append(each.device_id)
    batches: dict[tuple[Any, ...], tuple[dict[str, Invitee], list[str]]] = {}
    for (mobile, words), device_ids in said.items():
        wanted = orjson.loads(words)
        key = (tuple(device_ids), *(wanted.get(name) for name in _OF_THE_BATCH))
        batches.setdefault(key, ({}, []))[0][mobile] = _invitee(mobile, wanted, device_ids)
    for mobile, device_ids in gone.items():
        _batch_of(batches, tuple(device_ids))[1].append(mobile)
    return [
        Repair(Offer(device_ids, invite_expires_at=ends, invited_by=by), invitees, tuple(revoked))
        for (device_ids, ends, by), (invitees, revoked) in batches.items()
    ]


def _batch_of(
    batches: dict[tuple[Any, ...], tuple[dict[str, Invitee], list[str]]], device_ids: tuple[str, ...]
) -> tuple[dict[str, Invitee], list[str]]:
    """Some batch for these devices, whatever else it says; a new one where there is none."""
    for key, batch in batches.items():
        if key[0] == device_ids:
            return batch
    return batches.setdefault((device_ids, None, None), ({}, []))


def _invitee(mobile: str, said: Mapping[str, Any], device_ids: Collection[str]) -> Invitee:
    """Somebody with everything that is wanted: what is left out would stay as it is on the gateway."""
    whole = {name: value for name, value in said.items() if name not in _OF_THE_BATCH}
    invitee = {"mobile": mobile, "notes": "", "wifi": True, **whole}
    if any(len(device_id) == _INTERCOM_DIGITS for device_id in device_ids):
        invitee.setdefault("units", [])
    return cast("Invitee", invitee)


def _ends(said: Mapping[str, Any]) -> int | None:
    """When access ends; permanent residents have no dates, whatever was said."""
    ends: int | None = said.get("endDate") if said.get("permission") in {"Temporary", "Repeat"} else None
    return ends
