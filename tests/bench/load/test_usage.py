from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from bench.load.open_files import allow_open_files
from bench.load.usage import family, receiving_tcp_mb, usage
from contracts.errors import ConfigError

BURN = "import subprocess, sys; sum(range(30_000_000)); print(flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"


def test_cpu_and_memory_of_a_process_include_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(family(parent.pid)) == 2
        found = usage(parent.pid)
        alone = usage(family(parent.pid)[1])
        parent.communicate(b"")
    assert found.cpu_s >= alone.cpu_s > 0.1
    assert found.rss_mb > alone.rss_mb > 4
    assert found.peak_mb >= found.rss_mb


def test_process_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    with pytest.raises(ProcessLookupError):
        usage(process.pid)


def test_bytes_that_wait_in_a_socket_count_as_tcp_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(bytes(50_000))
                client.recv(1, socket.MSG_PEEK)
                waiting_mb = receiving_tcp_mb(port)
    if waiting_mb is None:
        pytest.skip("ss is not installed")
    assert waiting_mb >= 0.05


def test_limit_of_open_files_that_cannot_be_had_is_said() -> None:
    allow_open_files(os.sysconf("SC_OPEN_MAX"))
    with pytest.raises(ConfigError, match="打开文件数上限"):
        allow_open_files(1 << 40)
