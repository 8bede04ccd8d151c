"""Whatever the list, signed or not: its parts, read as a gateway reads them, are the list again; none is too large."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import Limits, Part, decode
from protocol.invites import Invitee
from protocol.keys import SigningKey, new_signing_key, public_half
from protocol.signatures import Verified, verified
from protocol.vocabulary import Permission
from simulator.batching import PART_BYTES, PART_ITEMS, Offer, make_batch

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
KEY = new_signing_key("cloud-2026")
TRUSTED = {KEY.kid: public_half(KEY)}
invitees = st.lists(st.builds(Invitee, userName=texts, mobile=texts, notes=texts), max_size=60)


@given(
    invitees,
    st.lists(texts, max_size=60),
    st.integers(1, 64),
    st.builds(Limits, st.integers(10_000, 1 << 20), st.integers(64, 5_000)),
    st.sampled_from([None, KEY]),
)
def test_parts_hold_the_whole_list_in_order(
    people: list[Invitee], revoked: list[str], devices: int, limits: Limits, key: SigningKey | None
) -> None:
    device_ids = tuple(f"{number:016}" for number in range(devices))
    batch = make_batch(
        people,
        revoked,
        Offer(device_ids, Permission.ALWAYS),
        gateway_id="gw-1",
        batch_id="b-1",
        revision=1,
        issued_at=0,
        limits=limits,
        key=key,
    )
    items: list[object] = []
    for number, part in enumerate(batch.parts, 1):
        believed = verified(part.payload, TRUSTED if key else {})
        assert isinstance(believed, Verified), believed
        read = decode(believed.payload, "gw-1", limits)
        assert isinstance(read, Part), read
        assert (read.number, read.parts, read.device_ids) == (number, len(batch.parts), device_ids)
        held = [*read.invitees, *(revocation["mobile"] for revocation in read.revocations)]
        assert (part.first, part.items) == (len(items), len(held))
        assert len(held) <= PART_ITEMS
        assert len(part.payload) <= min(PART_BYTES, limits.part_bytes)
        items += held
    assert items == [*people, *revoked]
    assert batch.items == len(items)
