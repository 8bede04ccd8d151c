"""The closed vocabularies of the wire. Names here are fixed by the contract; new ones may be added, none renamed."""

from enum import StrEnum

MAX_REVISION = 2**53 - 1
"""Largest integer every JSON reader holds exactly (RFC 8259, section 6)."""


class Kind(StrEnum):
    """What a device is; a 16-digit id is a Fluss+, a 6-digit id an intercom."""

    FLUSS = "fluss+"
    INTERCOM = "intercom"


class Permission(StrEnum):
    """Access types of a Fluss+; an intercom user has none."""

    OWNER = "Owner"
    FULL = "Full"
    TENANT = "Tenant"
    ALWAYS = "Always"
    REPEAT = "Repeat"
    TEMPORARY = "Temporary"


class Status(StrEnum):
    """Where a user stands; a user who is not on the list has none."""

    PENDING = "Pending"
    ACTIVE = "Active"
    EXPIRED = "Expired"


class Mode(StrEnum):
    """`merge` names changes; `replace` is the whole list of its devices."""

    MERGE = "merge"
    REPLACE = "replace"


class Outcome(StrEnum):
    """What became of one item on one device, or of one user later (`changed`); `listed` is where a user stands."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REVOKED = "revoked"
    ABSENT = "absent"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    CHANGED = "changed"
    LISTED = "listed"


class Reason(StrEnum):
    """Why a user's status changed without an item naming them."""

    ACCEPTED = "accepted"
    INVITE_EXPIRED = "invite_expired"
    ACCESS_ENDED = "access_ended"
    NOT_IN_LIST = "not_in_list"


class Verdict(StrEnum):
    """What a receipt says of a part or of a batch."""

    APPLIED = "applied"
    REPLAYED = "replayed"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    HELD = "held"
    REJECTED = "rejected"


class Refusal(StrEnum):
    """Why nothing of a part was applied."""

    NOT_JSON = "not_json"
    SCHEMA = "schema"
    TOO_LARGE = "too_large"
    WRONG_GATEWAY = "wrong_gateway"
    EXPIRED = "expired"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    BATCH_CONFLICT = "batch_conflict"
    REVISION_CONFLICT = "revision_conflict"


class Fault(StrEnum):
    """Why one item was rejected."""

    UNKNOWN_DEVICE = "unknown_device"
    INVALID_MOBILE = "invalid_mobile"
    MISSING_NAME = "missing_name"
    NAME_TOO_LONG = "name_too_long"
    NOTES_TOO_LONG = "notes_too_long"
    DUPLICATE_IN_BATCH = "duplicate_in_batch"
    MISSING_PERMISSION = "missing_permission"
    INVALID_PERMISSION = "invalid_permission"
    MISSING_DATES = "missing_dates"
    DATES_REVERSED = "dates_reversed"
    MISSING_SCHEDULE = "missing_schedule"
    INVALID_SCHEDULE = "invalid_schedule"
    USER_LIMIT = "user_limit"
    SCHEMA = "schema"


class Caution(StrEnum):
    """What the office should look at although the item was applied."""

    UNASSIGNED_RANGE = "unassigned_range"
    OWNER_KEPT = "owner_kept"


class Command(StrEnum):
    """What the cloud may ask for."""

    TRIGGER = "trigger"
    OPEN = "open"
    CLOSE = "close"
    REPORT = "report"
    ACKNOWLEDGE = "acknowledge"
    RESYNC = "resync"
    CONFIRM = "confirm"
    ERASE = "erase"
    ISSUE_CODE = "issue_code"
    REVOKE_CODE = "revoke_code"
    CODES = "codes"


class Reply(StrEnum):
    """How a command ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class CommandRefusal(StrEnum):
    """Why a command was refused, apart from the reasons of a denial."""

    RETAINED = "retained"
    EXPIRED = "expired"
    REPEATED = "repeated"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_BATCH = "unknown_batch"
    UNKNOWN_EPOCH = "unknown_epoch"
    WRONG_GATEWAY = "wrong_gateway"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    NOT_JSON = "not_json"
    SCHEMA = "schema"
    CLOCK_UNKNOWN = "clock_unknown"
    INTERRUPTED = "interrupted"
    NOT_ACTUATED = "not_actuated"
    CODE_LIMIT = "code_limit"
    CODE_TAKEN = "code_taken"
    UNKNOWN_CODE = "unknown_code"
    BUSY = "busy"
    RESIDUE = "residue"


class ClockState(StrEnum):
    """How far the board's clock can be trusted."""

    SYNCED = "synced"
    HOLDOVER = "holdover"
    UNKNOWN = "unknown"


class Channel(StrEnum):
    """The way a request comes."""

    BLUETOOTH = "bluetooth"
    WIFI = "wifi"
    INTERCOM = "intercom"
    KEYPAD = "keypad"
    LOCAL = "local"


class Action(StrEnum):
    """What a gate is asked to do; a trigger is one pulse, whatever state it is in."""

    TRIGGER = "trigger"
    OPEN = "open"
    CLOSE = "close"


class Position(StrEnum):
    """Where a gate with a sensor stands."""

    OPEN = "Open"
    CLOSED = "Closed"


class Direction(StrEnum):
    """Which of the two uses of a one-time code is meant."""

    ENTRY = "entry"
    EXIT = "exit"


class Decision(StrEnum):
    """What was decided about a request."""

    ALLOWED = "allowed"
    DENIED = "denied"


class Denial(StrEnum):
    """Why a request was denied."""

    UNKNOWN_USER = "unknown_user"
    NOT_ACCEPTED = "not_accepted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    NOT_YET_VALID = "not_yet_valid"
    OUTSIDE_SCHEDULE = "outside_schedule"
    WIFI_NOT_ALLOWED = "wifi_not_allowed"
    CLOCK_UNKNOWN = "clock_unknown"
    DEVICE_OFFLINE = "device_offline"
    STALE_COMMAND = "stale_command"
    ALREADY_OPEN = "already_open"
    ALREADY_CLOSED = "already_closed"
    WRONG_UNIT = "wrong_unit"
    WRONG_CODE = "wrong_code"
    CODE_SPENT = "code_spent"
    TOO_MANY_TRIES = "too_many_tries"
    STORAGE_FAULT = "storage_fault"
    UNKNOWN_DEVICE = "unknown_device"
    MALFORMED = "malformed"
    BUSY = "busy"
