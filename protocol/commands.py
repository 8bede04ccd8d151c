"""Commands from the cloud, and the replies to them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from protocol.digest import BUCKETS
from protocol.invites import Identifier, Instant
from protocol.nesting import MAX_DEPTH, depth
from protocol.signatures import EVERYBODY, Distrusted, Key, verified
from protocol.vocabulary import MAX_REVISION, Command, CommandRefusal, Reply

MAX_COMMAND_BYTES: Final = 16 * 1024
MAX_SIGNED_BYTES: Final = 24 * 1024
"""The same as a JWS: a third more in base64url, a header and a signature."""

_TOO_LARGE: Final = f"a command has at most {MAX_COMMAND_BYTES:,} bytes"

Bucket = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}$")]
Position = Annotated[int, Field(ge=0, le=MAX_REVISION)]


class CommandMessage(BaseModel):
    """One command; which of the optional fields it needs is the command's own affair."""

    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel, frozen=True)

    command_id: Identifier
    gateway_id: str
    command: Annotated[Command, Field(strict=False)]
    device_id: Identifier | None = None
    mobile: str | None = None
    note: Annotated[str, StringConstraints(max_length=400)] | None = None
    issued_at: Instant | None = None
    expires_at: Instant | None = None
    epoch: str | None = None
    batch_id: Identifier | None = None
    from_report: Position | None = None
    through_report: Position | None = None
    from_event: Position | None = None
    through_event: Position | None = None
    user_name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = None
    code: str | None = None
    entry_device_id: Identifier | None = None
    exit_device_id: Identifier | None = None
    buckets: Annotated[list[Bucket], Field(max_length=BUCKETS)] | None = None


class ReplyError(BaseModel):
    """Why a command was refused or failed."""

    code: str
    message: str


class ReplyMessage(BaseModel):
    """The answer to a command."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)

    command_id: str | None
    gateway_id: str
    outcome: Reply
    at: int
    error: ReplyError | None = None
    result: dict[str, Any] = Field(default_factory=dict)
    payload_sha256: str | None = None
    """Which bytes were meant; only where they could not be read, and perhaps not even the command's name."""
    repeated: int | None = None
    """How often the same bytes came again, or, without `payloadSha256`, how many more were refused with this code."""

    def payload(self) -> bytes:
        """The reply as the wire carries it."""
        rare = {"payload_sha256": self.payload_sha256, "repeated": self.repeated}
        nothing = {name for name, value in rare.items() if value is None}
        return orjson.dumps(self.model_dump(by_alias=True, exclude=nothing))


class Unusable(Exception):
    """A command that cannot be carried out; `code` and the message go into the reply.

    `until` (epoch ms) is where another copy of it could still be carried out: it must not, once this is answered.
    `payload_sha256` says which bytes were meant, where they could not be read.
    """

    def __init__(
        self,
        code: CommandRefusal,
        message: str,
        command_id: str | None = None,
        until: int | None = None,
        *,
        payload_sha256: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.command_id = command_id
        self.until = until
        self.payload_sha256 = payload_sha256


def decode_command(message: bytes | None, gateway_id: str, trusted: Mapping[str, Key] = EVERYBODY) -> CommandMessage:
    """The command in a message (None: it was too large to keep) that one of the `trusted` keys (by `kid`) signed.

    Without any, in whatever comes. Raises Unusable.
    """
    document = _document(message, trusted)
    named = document.get("commandId")
    command_id = named if isinstance(named, str) and 1 <= len(named) <= 64 else None
    if document.get("gatewayId", gateway_id) != gateway_id:
        raise Unusable(CommandRefusal.WRONG_GATEWAY, f"this gateway is {gateway_id!r}", command_id)
    try:
        return CommandMessage.model_validate(document)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))
        unknown = place == "command" and error["type"] == "enum"
        code = CommandRefusal.UNKNOWN_COMMAND if unknown else CommandRefusal.SCHEMA
        raise Unusable(code, f"{place}: {error['msg']}", command_id) from invalid


def _document(message: bytes | None, trusted: Mapping[str, Key]) -> dict[str, Any]:
    """What a command says. Of a message that is not trusted nothing is read; raises Unusable."""
    if message is None or len(message) > MAX_SIGNED_BYTES:
        raise Unusable(CommandRefusal.SCHEMA, _TOO_LARGE)
    said = verified(message, trusted)
    if isinstance(said, Distrusted):
        raise Unusable(CommandRefusal(said.code.value), said.message)
    if len(said.payload) > MAX_COMMAND_BYTES:
        raise Unusable(CommandRefusal.SCHEMA, _TOO_LARGE)
    if depth(said.payload) > MAX_DEPTH:
        raise Unusable(CommandRefusal.SCHEMA, f"nested deeper than {MAX_DEPTH} levels")
    try:
        document = orjson.loads(said.payload)
    except orjson.JSONDecodeError as broken:
        raise Unusable(CommandRefusal.NOT_JSON, f"not JSON: {broken}") from broken
    if not isinstance(document, dict):
        raise Unusable(CommandRefusal.SCHEMA, "a command is a JSON object")
    return document
