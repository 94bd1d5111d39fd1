"""Energy that training took, from the counters of the hardware itself, in joules.

On a GPU NVML's counter of the whole device (Volta and later); on a CPU the RAPL counters of its packages, where the
system lets them be read. What has no counter has no energy: None, with the reason, never an estimate.
"""

from pathlib import Path
from typing import Any

import torch

from clhyper.evaluation.metrics import Measured

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules of one device since the meter was made, without what lies between `pause` and `resume`.

    Args:
        device: cpu, or a CUDA device.
        sharing: Runs at work on the device at once; a counter can't tell several apart.
    """

    def __init__(self, device: torch.device, sharing: int = 1) -> None:
        self._counter: _Nvml | _Rapl | None = None
        self._reason: str | None = None
        self._joules = 0.0
        if sharing > 1:
            self._reason = f"{sharing} runs shared the machine, and its counter can't tell them apart"
            return
        try:
            self._counter = _Nvml(device) if device.type == "cuda" else _Rapl()
        except _NoCounterError as error:
            self._reason = str(error)
        self._before = self._read()

    def pause(self) -> None:
        """What follows, until `resume`, doesn't count."""
        now = self._read()
        if self._counter is not None:
            self._joules += self._counter.between(self._before, now)
            self._before = now

    def resume(self) -> None:
        """Counts again."""
        self._before = self._read()

    def sample(self) -> None:
        """Reads the counter, so that it can't wrap around twice unseen; to be called every few minutes."""
        self.pause()

    def joules(self) -> Measured:
        """Joules so far, or None and the reason."""
        self.pause()
        return (None, self._reason) if self._counter is None else (self._joules, None)

    def _read(self) -> list[int]:
        if self._counter is None:
            return []
        try:
            return self._counter.read()
        except _NoCounterError as error:
            self._counter, self._reason = None, str(error)
            return []


class _NoCounterError(Exception):
    """Says why there is nothing to read."""


class _Nvml:
    """A GPU's total energy since its driver was loaded, in millijoules."""

    def __init__(self, device: torch.device) -> None:
        try:
            import pynvml
        except ImportError:
            raise _NoCounterError("needs NVML's Python package: pip install 'clhyper[energy]'") from None
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            named = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(named)
        except pynvml.NVMLError as error:
            raise _NoCounterError(f"NVML has no counter for this device ({error})") from None

    def read(self) -> list[int]:
        try:
            return [self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)]
        except self._nvml.NVMLError as error:
            raise _NoCounterError(f"NVML has no energy counter for this device ({error})") from None

    @staticmethod
    def between(before: list[int], now: list[int]) -> float:
        return (now[0] - before[0]) / 1000


class _Rapl:
    """Energy of all processor packages, in microjoules; at full load the counters wrap around within the hour."""

    def __init__(self, folder: Path | None = None) -> None:
        packages = sorted((folder or _POWERCAP).glob("*-rapl:[0-9]*"))
        self._packages = [package for package in packages if package.name.count(":") == 1]
        if not self._packages:
            raise _NoCounterError("this system has no RAPL counters (/sys/class/powercap)")
        try:
            self._ranges = [int((package / "max_energy_range_uj").read_text()) for package in self._packages]
        except (OSError, ValueError):
            raise _NoCounterError("the RAPL counters in /sys/class/powercap can't be read by this user") from None

    def read(self) -> list[int]:
        try:
            return [int((package / "energy_uj").read_text()) for package in self._packages]
        except (OSError, ValueError):
            raise _NoCounterError("the RAPL counters in /sys/class/powercap can't be read by this user") from None

    def between(self, before: list[int], now: list[int]) -> float:
        wrapped = [(n - b) % (limit + 1) for b, n, limit in zip(before, now, self._ranges, strict=True)]
        return sum(wrapped) / 1e6
