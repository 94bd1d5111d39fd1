"""Peak memory of the host process and of the device, from one moment to another, in bytes."""

from collections.abc import Callable
from pathlib import Path

import torch

from clhyper.evaluation.metrics import Measured

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"


class PeakMemory:
    """Peaks since it was made. On Linux the kernel's peak is reset, so that earlier work doesn't count.

    Args:
        device: Whose memory.
        apart: Bytes on it that are kept for other ends and don't count; they change only while it is paused.
    """

    def __init__(self, device: torch.device, apart: Callable[[], int] = lambda: 0) -> None:
        self.device, self.apart = device, apart
        self._device_peak = self._host_peak = 0.0
        self.resume()

    def pause(self) -> None:
        """What follows, until `resume`, doesn't count."""
        self._device_peak, self._host_peak = self.device_bytes()[0] or 0, self.host_bytes()[0] or 0

    def resume(self) -> None:
        """Counts again; the peaks from before the pause stay."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            _CLEAR.write_text(_RESET_PEAK)
            self.resettable = True
        except OSError:
            self.resettable = False

    def device_bytes(self) -> Measured:
        """Peak of what tensors took on the device."""
        if self.device.type != "cuda":
            return None, f"a {self.device.type} device has no memory of its own to measure"
        return max(self._device_peak, torch.cuda.max_memory_allocated(self.device) - self.apart()), None

    def host_bytes(self) -> Measured:
        """Peak resident memory of the process, interpreter and libraries included."""
        if not self.resettable:
            return None, "this system can't reset a process's peak memory"
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                apart = self.apart() if self.device.type == "cpu" else 0
                return max(self._host_peak, int(line.split()[1]) * 1024 - apart), None
        return None, "this system doesn't report a process's peak memory"
