from __future__ import annotations

import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.mqtt.client import BrokerClient


def test_pingresp_that_comes_before_paho_notes_the_pingreq_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker's answer is handled in paho's thread while ours still stands behind the send."""
    client = BrokerClient(CallbackAPIVersion.VERSION2)
    pongs: list[bool] = []
    client.on_pong = lambda: pongs.append(True)

    def answered_at_once(_command: int) -> MQTTErrorCode:
        client._in_packet["remaining_length"] = 0
        client._handle_pingresp()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    monkeypatch.setattr(client, "_send_simple_command", answered_at_once)
    assert client.ping()
    assert client.ping(), "nothing is outstanding"
    assert pongs == [True, True]


def test_ping_is_not_sent_while_one_is_outstanding(monkeypatch: pytest.MonkeyPatch) -> None:
    client = BrokerClient(CallbackAPIVersion.VERSION2)
    client.on_pong = lambda: None
    monkeypatch.setattr(client, "_send_simple_command", lambda _command: MQTTErrorCode.MQTT_ERR_SUCCESS)
    assert client.ping()
    assert not client.ping()
    client._in_packet["remaining_length"] = 0
    client._handle_pingresp()
    assert client.ping()
