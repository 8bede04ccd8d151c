"""Whatever stands in a configuration file, it is a configuration or a list of mistakes."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import Config, load
from agent.config_findings import ConfigError
from protocol.topics import Topics
from tests.configurations import CONTRACT, edited, furnish

LINES = CONTRACT.splitlines()
KEYS = sorted({line.partition(" = ")[0] for line in LINES if " = " in line})


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


TEXT = st.characters(exclude_categories=["Cs"])
SCALARS = (
    st.text(TEXT).map(quoted)
    | st.integers().map(str)
    | st.sampled_from(["nan", "-inf", "1e999", "0xffffffffffffffffffff", "9" * 5000, "true", "false"])
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.sampled_from([line.partition(" = ")[2] for line in LINES if " = " in line])
)
VALUES = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(KEYS), values, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(KEYS) | st.text(TEXT, max_size=9).map(quoted)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnish(tmp_path_factory.mktemp("config"))


def outcome(home: Path, content: bytes) -> Config | tuple[str, ...]:
    """The configuration, or the mistakes; any other exception is the failure these tests look for."""
    file = home / "agent.toml"
    file.write_bytes(content)
    try:
        return load(file)
    except ConfigError as error:
        return tuple(map(str, error.mistakes))


def assert_is_told(outcome: Config | tuple[str, ...]) -> None:
    if isinstance(outcome, Config):
        return
    assert outcome
    for line in outcome:
        assert line.isprintable(), "a mistake is one line and moves no cursor"
        assert len(line) < 1000


@st.composite
def mutated_lines(draw: st.DrawFn) -> str:
    """The contract's example with lines dropped, doubled and swapped, and keys and values of any kind and shape."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[at].partition(" = ")
        match draw(st.sampled_from(["value", "value", "value", "key", "drop", "double", "swap"])):
            case "value" if equals:
                lines[at] = f"{key} = {draw(VALUES)}"
            case "key" if equals:
                lines[at] = f"{draw(NAMES)} = {value}"
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case _:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines)


@given(text=mutated_lines())
def test_load_of_mutated_lines(home: Path, text: str) -> None:
    assert_is_told(outcome(home, text.encode()))


@given(start=st.integers(0, len(CONTRACT)), length=st.integers(0, 40), noise=st.binary(max_size=20))
def test_load_of_mutated_bytes(home: Path, start: int, length: int, noise: bytes) -> None:
    content = CONTRACT.encode()
    assert_is_told(outcome(home, content[:start] + noise + content[start + length :]))


BOUNDS = {
    ("mqtt.port", "port = 8883"): (1, 65_535),
    ("lists.incomplete_after_s", "incomplete_after_s = 600"): (1, 2_592_000),
    ("clock.grace_s", "grace_s = 0"): (0, 604_800),
    ("retention.events_days", "events_days = 30"): (1, 90),
    ("retention.reports_days", "reports_days = 30"): (1, 90),
    ("devices[0].max_users", "max_users = 5000"): (1, 1_000_000),
}


@st.composite
def bounded(draw: st.DrawFn) -> tuple[str, str, int, bool]:
    """A key, its line, a number in or out of its bounds, and whether it is in them; both edges come up often."""
    (key, line), (least, most) = draw(st.sampled_from(sorted(BOUNDS.items())))
    number = draw(st.sampled_from([least - 1, least, most, most + 1]) | st.integers(least, most) | st.integers())
    return key, line, number, least <= number <= most


@given(case=bounded())
def test_number_is_taken_between_its_bounds_alone(home: Path, case: tuple[str, str, int, bool]) -> None:
    key, line, number, fits = case
    got = outcome(home, edited(CONTRACT, line, f"{line.partition(' = ')[0]} = {number}").encode())
    if fits:
        assert isinstance(got, Config)
    else:
        assert isinstance(got, tuple)
        assert [mistake.partition(": ")[0] for mistake in got] == [key]


@given(share=st.floats(allow_nan=True, allow_infinity=True))
def test_share_is_taken_between_nothing_and_all(home: Path, share: float) -> None:
    got = outcome(home, edited(CONTRACT, "hold_removals_over = 0.5", f"hold_removals_over = {share!r}").encode())
    assert isinstance(got, Config) is (0 <= share <= 1)


WRONG = {
    'default_region = "ZA"': ("default_region", 'default_region = "QQ"'),
    "port = 8883": ("mqtt.port", "port = 0"),
    'protocol = "5"': ("mqtt.protocol", 'protocol = "4"'),
    'password_file = "mqtt-password"': ("mqtt.password_file", 'password_file = "gone"'),
    'cert_file = "gw-1.pem"': ("mqtt.cert_file", "cert_file = 1"),
    'keys = ["cloud-2026.jwk"]': ("trust.keys[0]", 'keys = ["a"]'),
    "hold_removals_over = 0.5": ("lists.hold_removal_over", "hold_removal_over = 0.5"),
    "grace_s = 0": ("clock.grace_s", 'grace_s = "0"'),
    'id = "1234567890123456"': ("devices[0].id", 'id = "123456"'),
    'name = "Main gate"': ("devices[0].name", 'name = ""'),
    'id = "482913"': ("devices[1].id", 'id = "1"'),
    'opens = "1234567890123456"': ("devices[1].opens", 'opens = "6543210987654321"'),
    'driver = "tcp://127.0.0.1:9001"': ("devices[1].driver", 'driver = "tcp://127.0.0.1:9000"'),
}
"""By right line: the key, and a wrong line. No two of them touch."""

# The one touch there is: without a usable id of its own, the Fluss+ cannot be named by `opens`.
FOLLOWS = {"devices[0].id": "devices[1].opens"}


@given(lines=st.sets(st.sampled_from(sorted(WRONG)), min_size=1))
def test_every_mistake_is_told_at_once(home: Path, lines: set[str]) -> None:
    text = CONTRACT
    for line in lines:
        text = edited(text, line, WRONG[line][1])
    got = outcome(home, text.encode())
    assert isinstance(got, tuple)
    expected = {WRONG[line][0] for line in lines}
    assert {line.partition(": ")[0] for line in got} == expected | {FOLLOWS[key] for key in expected & FOLLOWS.keys()}


@given(gateway=st.text(TEXT, max_size=70) | st.from_regex(r"[a-z0-9+#/ \x00.-]{0,20}", fullmatch=True))
def test_gateway_id_that_is_taken_is_one_level_of_a_topic(home: Path, gateway: str) -> None:
    got = outcome(home, edited(CONTRACT, '"gw-1"', quoted(gateway)).encode())
    if isinstance(got, Config):
        topic = Topics(got.gateway_id, got.mqtt.topic_prefix).invites
        assert topic.split("/") == ["fluss", "v1", gateway, "invites"]
        assert not set(topic) & set("+#\0")


@given(seed=st.integers(0, 2**32))
def test_order_of_the_tables_means_nothing(home: Path, seed: int) -> None:
    head, *tables = CONTRACT.split("\n\n")
    devices = [table for table in tables if table.startswith("[[")]
    others = [table for table in tables if not table.startswith("[[")]
    random.Random(seed).shuffle(others)
    assert outcome(home, "\n\n".join([head, *devices, *others]).encode()) == outcome(home, CONTRACT.encode())
