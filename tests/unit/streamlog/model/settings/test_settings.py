"""Settings of topics and nodes: ranges, parsing, near matches and cross-checks."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig
from streamlog.model.settings.setting import IntegerSetting, Setting, field_of
from streamlog.model.settings.topic import TOPIC_SETTINGS, TopicConfig


def test_lists_and_dataclasses_name_the_same_settings_and_defaults() -> None:
    """A setting can not be added in one place only."""
    for settings, config in ((TOPIC_SETTINGS, TopicConfig), (NODE_SETTINGS, NodeConfig)):
        assert [f.name for f in fields(config)] == [field_of(key) for key in settings]
        for field, setting in zip(fields(config), settings.values(), strict=True):
            assert field.default == setting.default, setting.key
            assert setting.documentation.endswith(".")


@pytest.mark.parametrize("setting", [*TOPIC_SETTINGS.values(), *NODE_SETTINGS.values()])
def test_defaults_are_allowed_and_survive_formatting(setting: Setting) -> None:
    """Each default lies in its own range, and its text reads back."""
    assert setting.parse(setting.format(setting.default)) == setting.default


@given(st.integers(), st.sampled_from([*TOPIC_SETTINGS.values(), *NODE_SETTINGS.values()]))
def test_numbers_are_taken_within_the_range_only(value: int, setting: Setting) -> None:
    """Within the bounds a number reads back; outside it is refused, with the bounds named."""
    if not isinstance(setting, IntegerSetting):
        return
    if setting.minimum <= value <= setting.maximum or value == setting.unlimited:
        assert setting.parse(str(value)) == value
        return
    with pytest.raises(StreamlogError) as caught:
        setting.parse(str(value))
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert setting.key in caught.value.message
    assert str(setting.minimum) in caught.value.message
    assert str(setting.maximum) in caught.value.message


@pytest.mark.parametrize("text", ["", "1_0", " 1", "１", "--1", "0x10", "1e3", "9" * 30])
def test_numbers_have_one_form(text: str) -> None:
    """What int() takes besides plain digits is refused."""
    with pytest.raises(StreamlogError, match="whole number"):
        TOPIC_SETTINGS["segment.bytes"].parse(text)


def test_unknown_key_names_near_matches() -> None:
    """A typing error is answered with what was meant."""
    with pytest.raises(StreamlogError, match=r"did you mean retention\.ms") as caught:
        TopicConfig.from_overrides({"retention.m": "1"})
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert "retention.ms" in caught.value.metadata["near"]


def test_unknown_key_far_from_all_lists_them() -> None:
    """Without a near match every setting is named."""
    with pytest.raises(StreamlogError, match=r"known settings: .*segment\.bytes"):
        TopicConfig.from_overrides({"zzz": "1"})


def test_topic_overrides_are_what_differs() -> None:
    """Only differences are stored, and they make the same configuration again."""
    config = TopicConfig.from_overrides({"retention.ms": "-1", "segment.bytes": "1048576"})
    assert config.retention_ms == -1
    assert config.overrides() == {"retention.ms": "-1", "segment.bytes": "1048576"}
    assert TopicConfig.from_overrides(config.overrides()) == config
    assert TopicConfig().overrides() == {}


def test_topic_config_checks_values_given_directly() -> None:
    """No TopicConfig outside the ranges can exist."""
    with pytest.raises(StreamlogError, match=r"max\.batch\.bytes = '17825792'.*1024 to 16777216"):
        TopicConfig(max_batch_bytes=17 * 1024 * 1024)


@pytest.mark.parametrize("bind", ["0.0.0.0:9092", "10.0.0.1:9092", "node-1:9092", "[::]:9092"])
def test_open_address_needs_insecure(bind: str) -> None:
    """Without encryption only loopback is bound, unless insecure says otherwise."""
    with pytest.raises(StreamlogError, match="loopback") as caught:
        NodeConfig(bind=bind, advertised="node-1:9092")
    assert bind in caught.value.message
    assert NodeConfig(bind=bind, advertised="node-1:9092", insecure=True).bind == bind


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.8.8.8:9092", "[::1]:9092", "localhost:1"])
def test_loopback_needs_nothing(bind: str) -> None:
    """Every form of loopback is taken."""
    assert NodeConfig(bind=bind).advertised == bind


@pytest.mark.parametrize("bind", ["", "127.0.0.1", "127.0.0.1:70000", "a b:1", ":1", "x:-1"])
def test_malformed_addresses_are_refused(bind: str) -> None:
    """The error names the value."""
    with pytest.raises(StreamlogError, match="bind") as caught:
        NodeConfig(bind=bind)
    assert caught.value.metadata["value"] == bind


def test_wildcard_is_not_advertised() -> None:
    """A wildcard address is of no use to others."""
    with pytest.raises(StreamlogError, match="advertised"):
        NodeConfig(bind="0.0.0.0:9092", insecure=True)


def test_direct_streams_need_a_port_of_their_own() -> None:
    """One port can not be bound twice; a node would only find out while it starts."""
    with pytest.raises(StreamlogError, match=r"peer\.port"):
        NodeConfig(bind="127.0.0.1:9092", peer_port=9092)
    assert NodeConfig(bind="127.0.0.1:9092", peer_port=9093).peer_port == 9093
    assert NodeConfig(bind="127.0.0.1:0", peer_port=0).peer_port == 0


def test_controllers_are_parsed_sorted_and_default_to_this_node() -> None:
    """The list reads back from its text; an empty one means a node of its own."""
    config = NodeConfig.from_text({"controllers": "2@b:2,1@a:1", "node.id": "2"})
    assert config.controllers == ((1, "a:1"), (2, "b:2"))
    assert config.is_controller
    assert NodeConfig(node_id=7, bind="127.0.0.1:5").controllers == ((7, "127.0.0.1:5"),)


@pytest.mark.parametrize("text", ["1", "1@", "0@a:1", "1@a:1,1@b:1", "1@a:1,2@a:1", "x@a:1"])
def test_bad_controllers_are_refused(text: str) -> None:
    """Ids and addresses are each there once, and well formed."""
    with pytest.raises(StreamlogError, match="controllers"):
        NodeConfig.from_text({"controllers": text})


def test_bootstrap_is_for_controllers() -> None:
    """A node outside the list can not form the cluster."""
    with pytest.raises(StreamlogError, match="bootstrap"):
        NodeConfig(node_id=9, controllers=((1, "127.0.0.1:1"),), bootstrap=True)


def test_election_timeout_spans_heartbeats() -> None:
    """Cross-check of two settings."""
    with pytest.raises(StreamlogError, match=r"election\.timeout\.ms"):
        NodeConfig(heartbeat_interval_ms=100, election_timeout_ms=299)


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "10.0.0.7:9464", "[::]:9464", "node-1:9464"])
def test_open_operations_address_needs_insecure(address: str) -> None:
    """What operators ask is not encrypted either; without the setting nothing is bound."""
    with pytest.raises(StreamlogError, match="loopback") as caught:
        NodeConfig(operations_bind=address)
    assert caught.value.metadata["key"] == "operations.bind"
    assert NodeConfig(operations_bind=address, insecure=True).operations_bind == address
    assert NodeConfig().operations_bind == ""


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"operations.bind": "127.0.0.1:9092"}, "bind"),
        ({"operations.bind": "127.0.0.1:9100", "peer.port": "9100"}, "peer.port"),
    ],
)
def test_operations_need_a_port_of_their_own(settings: dict[str, str], other: str) -> None:
    """The port of another listener is refused by name before anything is bound."""
    with pytest.raises(StreamlogError, match=f"another port than that of {other} "):
        NodeConfig.from_text(settings)
