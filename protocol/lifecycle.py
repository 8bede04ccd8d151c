"""Where a user stands, as a pure function of what was agreed and the moment. Times are epoch milliseconds."""

from protocol.vocabulary import Reason, Status


def standing(accepted: bool, ends_at: int | None, invite_expires_at: int | None, now: int) -> tuple[Status, int | None]:
    """The user's status at `now`, and the instant at which it ends by itself (None: never).

    Access that ended and an invitation nobody took up in time are both Expired; both bounds are half-open.
    """
    if ends_at is not None and ends_at <= now:
        return Status.EXPIRED, None
    if accepted:
        return Status.ACTIVE, ends_at
    if invite_expires_at is None:
        return Status.PENDING, ends_at
    if invite_expires_at <= now:
        return Status.EXPIRED, None
    return Status.PENDING, invite_expires_at if ends_at is None else min(ends_at, invite_expires_at)


def expiry_reason(accepted: bool, ends_at: int | None, deadline: int) -> Reason:
    """Why a user whose `deadline` has come is Expired: the bound that came first, however late that is noticed."""
    if accepted or (ends_at is not None and ends_at <= deadline):
        return Reason.ACCESS_ENDED
    return Reason.INVITE_EXPIRED
