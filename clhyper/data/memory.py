"""What may be kept on a device: the one rule by which images, features and views stay there or don't."""

import os
from pathlib import Path

import torch

SHARE = 0.25
"""of the memory that is free: the rest is for training, and for other runs on the device (ours)"""

_MEMINFO, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def fits(wanted: int, device: torch.device, held: int = 0) -> bool:
    """Whether `wanted` bytes more may be kept on the device, where `held` bytes are kept by this rule already."""
    return held + wanted <= SHARE * (free_bytes(device) + held)


def free_bytes(device: torch.device) -> int:
    """Bytes that tensors can still take: of a GPU, or for a CPU of the host, within its container's limit."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(_host_bytes(), _group_bytes())


def _host_bytes() -> int:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**32


def _group_bytes() -> int:
    """What a container's limit leaves; files that the kernel holds in memory count as free."""
    try:
        limit, used = ((_GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        held = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return int(limit) - int(used) + int(held["inactive_file"]) if limit != "max" else 2**63
    except (OSError, ValueError, KeyError):
        return 2**63
