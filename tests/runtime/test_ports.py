from __future__ import annotations

import socket

import pytest

from contracts.errors import ConfigError
from runtime.ports import NeededPort, check_free


def test_taken_port_is_refused_with_its_number_and_the_key_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"端口 {port} 已被占用.*请先停止另一个运行, 或更换 \[api\]\.port"):
            check_free([NeededPort("127.0.0.1", port, "[api].port")])
    check_free([NeededPort("127.0.0.1", port, "[api].port")])


def test_two_of_our_own_on_one_port_are_refused_and_port_0_never_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    needed = [NeededPort("127.0.0.1", port, "[api].port"), NeededPort("127.0.0.1", port, "[sim].rtsp_port")]
    with pytest.raises(ConfigError, match=r"\[sim\]\.rtsp_port"):
        check_free(needed)
    check_free([NeededPort("127.0.0.1", 0, "[api].port")] * 2)


def test_port_of_a_connection_that_still_closes_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    check_free([NeededPort("127.0.0.1", port, "[api].port")])


def test_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        check_free([NeededPort("192.0.2.1", 8600, "[api].port")])
