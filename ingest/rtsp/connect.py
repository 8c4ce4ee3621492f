"""Opening the TCP connection of a session, and finding the address of its host."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Final, NamedTuple

from contracts.errors import SourceUnreachable
from ingest.names import is_address, look_up

_CAUSES: Final = {
    errno.ECONNREFUSED: "该端口无人监听 (nobody listens there); 请检查端口与设备服务 (check port and device)",
    errno.EHOSTUNREACH: "主机不可达 (no route to it); 请检查网络与设备电源 (check network and power)",
    errno.ENETUNREACH: "网络不可达 (no route to its network); 请检查路由 (check the routes)",
    errno.ECONNRESET: "连接被重置 (reset); 请检查防火墙 (check the firewall)",
}
OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Opened(NamedTuple):
    """A connected non-blocking TCP socket, our address of it and the server's."""

    socket: socket.socket
    local: str
    peer: str


async def connect(host: str, port: int, timeout_s: float) -> Opened:
    """Open a connection. Raises SourceUnreachable within `timeout_s`.

    The server's address is the one we connected to: of a connection that is reset at once, as a recorder with
    no session left does, the kernel no longer tells it (getpeername fails with ENOTCONN).
    """
    loop = asyncio.get_running_loop()
    cause = "没有地址 (no address)"
    found: list[Any] = []
    try:
        async with asyncio.timeout(timeout_s):
            found = await _addresses(host, port)
            for family, kind, protocol, _, address in found:
                attempt = socket.socket(family, kind, protocol)
                try:
                    attempt.setblocking(False)
                    attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(attempt, address)
                    opened = Opened(attempt, attempt.getsockname()[0], str(address[0]))
                except OSError as error:
                    attempt.close()
                    cause = _CAUSES.get(error.errno or 0) or error.strerror or str(error)
                except BaseException:
                    attempt.close()
                    raise
                else:
                    return opened
    except TimeoutError:
        cause = (
            f"{timeout_s:g} 秒内无应答 (no answer within {timeout_s:g} s); 请检查地址与防火墙 (address, firewall)"
            if found
            else f"{timeout_s:g} 秒内主机名未解析 (its name was not resolved in time); 请检查 DNS (check DNS)"
        )
    except socket.gaierror as error:
        cause = f"主机名无法解析 (unknown name): {error.strerror}; 请检查地址与 DNS (check them)"
    except UnicodeError:
        cause = "主机名无效 (no valid host name); 请检查地址 (check the address)"
    except OSError as error:
        if error.errno in OUT_OF_FILES:
            raise out_of_files() from None
        cause = error.strerror or str(error)
    raise SourceUnreachable(f"无法连接 {host}:{port} (cannot connect): {cause}", reason="unreachable")


def out_of_files() -> SourceUnreachable:
    """What is our own lack, and says nothing of the host."""
    return SourceUnreachable(
        "本机打开文件数已达上限 (this process may open no more files); 请提高 nofile 上限 (raise LimitNOFILE)",
        reason="no_file_descriptors",
    )


async def _addresses(host: str, port: int) -> list[Any]:
    """As getaddrinfo; what is an address needs no thread."""
    if not is_address(host):
        return await asyncio.wrap_future(look_up(host, port))
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
