"""Where each message travels: `fluss/v1/{gatewayId}/…`."""

from dataclasses import dataclass

DEFAULT_PREFIX = "fluss/v1"


@dataclass(frozen=True, slots=True)
class Topics:
    """The seven topics of one gateway, under a configurable prefix."""

    gateway_id: str
    prefix: str = DEFAULT_PREFIX

    def _of(self, leaf: str) -> str:
        return f"{self.prefix}/{self.gateway_id}/{leaf}"

    @property
    def invites(self) -> str:
        """Cloud to gateway: parts of invite batches."""
        return self._of("invites")

    @property
    def commands(self) -> str:
        """Cloud to gateway: commands."""
        return self._of("commands")

    @property
    def receipts(self) -> str:
        """Gateway to cloud: what became of a part."""
        return self._of("receipts")

    @property
    def statuses(self) -> str:
        """Gateway to cloud: what became of each person."""
        return self._of("statuses")

    @property
    def events(self) -> str:
        """Gateway to cloud: the access log."""
        return self._of("events")

    @property
    def replies(self) -> str:
        """Gateway to cloud: answers to commands."""
        return self._of("replies")

    @property
    def state(self) -> str:
        """Gateway to cloud, retained: presence and capabilities; also the last will."""
        return self._of("state")
