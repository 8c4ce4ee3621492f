"""What processes use, as the kernel says: CPU time and memory of a process with its children, memory of TCP."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start of a process and its living children, and their memory now and at most (MB)."""

    user_s: float
    system_s: float
    rss_mb: float
    peak_mb: float

    @property
    def cpu_s(self) -> float:
        """User and system."""
        return self.user_s + self.system_s


def family(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for each in found:
        try:
            for task in (_PROC / str(each) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def usage(pid: int) -> Usage:
    """The figures of a process and its living descendants. Raises ProcessLookupError when it is gone.

    CPU time of children that ended counts with the parent that waited for them, as the kernel keeps it.
    """
    user = system = 0
    rss = peak = 0
    for each in family(pid):
        try:
            text = (_PROC / str(each) / "stat").read_text()
            memory = (_PROC / str(each) / "status").read_text()
        except OSError:
            if each == pid:
                raise ProcessLookupError(f"process {pid} is gone") from None
            continue
        fields = text[text.rindex(")") + 2 :].split()
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
        rss += _kib(memory, "VmRSS")
        peak += _kib(memory, "VmHWM")
    return Usage(user / _TICKS_PER_S, system / _TICKS_PER_S, rss * 1024 / MB, peak * 1024 / MB)


def _kib(status: str, name: str) -> int:
    line = next((each for each in status.splitlines() if each.startswith(f"{name}:")), None)
    return 0 if line is None else int(line.split()[1])


def kernel_tcp_mb() -> float:
    """Memory of all TCP sockets of this machine (both ends when the server runs here): /proc/net/sockstat."""
    line = next(each for each in (_PROC / "net/sockstat").read_text().splitlines() if each.startswith("TCP:"))
    fields = line.split()
    return int(fields[fields.index("mem") + 1]) * _PAGE_BYTES / MB


def receiving_tcp_mb(server_port: int) -> float | None:
    """Receive memory of the sockets that are connected to this port alone (`ss -tm`); None without ss."""
    ss = shutil.which("ss")
    if ss is None:
        return None
    answer = subprocess.run(
        [ss, "-tmnH", "state", "established", f"dport = :{server_port}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        return None
    total = 0
    for part in answer.stdout.split("skmem:(r")[1:]:
        total += int(part.partition(",")[0])
    return total / MB
