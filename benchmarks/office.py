"""The office: sends prepared payloads and counts what comes back, as cheaply as it can; it shares the processors."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self, cast

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks import people
from protocol.topics import Topics
from tests.counterparts.ports import LOOPBACK

PATIENCE_S: Final = 120.0
TOPICS: Final = Topics(people.GATEWAY_ID)

State = dict[str, Any]


class Office:
    """One MQTT 5 client (QoS 1): publishes parts and commands, and hears statuses, replies and the gateway's state."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="office", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._heard
        topics = [(topic, 1) for topic in (TOPICS.statuses, TOPICS.state, TOPICS.replies)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._news = threading.Condition()
        self._state: State = {}
        self._state_at = 0.0
        self._statuses: list[bytes] = []
        self._missing = 0
        self._last_at = 0.0
        self._replies = 0

    def __enter__(self) -> Self:
        self._client.connect(LOOPBACK, self._port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "the broker does not answer"
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def online(self) -> float:
        """Wait until the gateway says it is online; when it was heard (seconds, monotonic)."""
        self._state_in(lambda state: bool(state.get("online")))
        return self._state_at

    def gone(self) -> None:
        """Wait until the gateway has said that it goes."""
        self._state_in(lambda state: state.get("online") is False)

    def send(self, payloads: Sequence[bytes], people_count: int) -> float:
        """Publish the payloads; seconds from the first publish to the last of so many statuses."""
        with self._news:
            self._statuses.clear()
            self._missing = people_count
        start = time.perf_counter()
        for payload in payloads:
            self._client.publish(TOPICS.invites, payload, qos=1)
        with self._news:
            assert self._news.wait_for(lambda: self._missing <= 0, PATIENCE_S), f"{self._missing} statuses missing"
            return self._last_at - start

    def ask(self, command: str, fields: Mapping[str, object]) -> None:
        """Send a command, and wait for its reply."""
        asked = {"gatewayId": people.GATEWAY_ID, "command": command, **fields}
        with self._news:
            before = self._replies
            self._client.publish(TOPICS.commands, orjson.dumps(asked), qos=1)
            assert self._news.wait_for(lambda: self._replies > before, PATIENCE_S), f"no reply to {asked}"

    def reached(self) -> None:
        """Wait until the gateway says that it has reached its hardware."""
        self._state_in(lambda state: state["devices"][0]["connected"])

    def settled(self, revision: int) -> None:
        """Wait until the gateway says that it has applied this revision and has nothing left to send."""
        self._state_in(lambda state: state["outbox"] == 0 and state["devices"][0]["revision"] == revision)

    def verify(self, **expected: int) -> None:
        """Raise AssertionError unless each outcome was heard so often since the latest `send`, once for every item."""
        counts: dict[str, int] = {}
        heard: set[tuple[int, int]] = set()
        for payload in self._statuses:
            message = orjson.loads(payload)
            for result in message["results"]:
                heard.add((message["part"], result["item"]))
                counts[result["outcome"]] = counts.get(result["outcome"], 0) + 1
        assert len(heard) == sum(counts.values()), "a status came twice"
        assert counts == expected, f"{counts} instead of {expected}"

    def _state_in(self, wanted: Callable[[State], bool]) -> None:
        with self._news:
            met = self._news.wait_for(lambda: bool(self._state) and wanted(self._state), PATIENCE_S)
            assert met, f"the state is still {self._state}"

    def _heard(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        now = time.perf_counter()
        payload = cast("bytes", message.payload)
        with self._news:
            if message.topic == TOPICS.state:
                self._state, self._state_at = orjson.loads(payload), now
                self._news.notify()
                return
            if message.topic == TOPICS.replies:
                self._replies += 1
                self._news.notify()
                return
            self._statuses.append(payload)
            self._missing -= payload.count(b'"item":')
            self._last_at = now
            if self._missing <= 0:
                self._news.notify()
