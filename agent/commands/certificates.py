"""The certificates that the link rests on, as a command shows them: files as they are now, the broker as last seen."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.certificates import Ends, Tls, UnusableError, concerns, day
from agent.commands.tables import Fact
from agent.config import Config


def ends_in(config: Config, note: Mapping[str, Any]) -> dict[str, Any]:
    """Until when (epoch ms) they are valid, as in `state`, and `error` where a file cannot be used."""
    noted = note.get("certificates")
    broker = noted.get("broker") if isinstance(noted, dict) else None
    ends, error = Ends(broker=broker if isinstance(broker, int) else None), None
    try:
        if tls := _tls(config):
            ends = tls.ends(ends.broker)
    except UnusableError as unusable:
        error = str(unusable)
    return {**asdict(ends), "error": error}


def certificate_facts(config: Config, said: Mapping[str, Any], now: int) -> list[Fact]:
    """What a person has to know of them at ``now`` (epoch ms); nothing where the link has no TLS."""
    if (tls := _tls(config)) is None:
        return []
    if said["error"] is not None:
        return [Fact("certificates", said["error"], "red")]
    ends = Ends(said["client"], said["authority"], said["broker"])
    place = f"{config.mqtt.host}:{config.mqtt.port}"
    if found := list(concerns(ends, tls, place, now)):
        return [Fact("certificates", each.words, "yellow" if each.left_ms > 0 else "red") for each in found]
    known = [f"{name}'s until {day(end)}" for name, end in asdict(ends).items() if end is not None]
    return [Fact("certificates", ", ".join(known) or "none of our own; the board's authorities vouch for the broker")]


def _tls(config: Config) -> Tls | None:
    mqtt = config.mqtt
    return Tls(mqtt.ca_file, mqtt.cert_file, mqtt.key_file) if mqtt.tls else None
