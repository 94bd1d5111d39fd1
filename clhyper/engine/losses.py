"""Watches losses: a run whose loss is no longer finite is stopped, and told where."""

import torch
from torch import Tensor

from clhyper.errors import RunError


class LossWatch:
    """Finds the first step of an epoch whose loss isn't finite, without waiting for the device at each step."""

    def __init__(self, device: torch.device) -> None:
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._finite_steps = torch.zeros((), dtype=torch.long, device=device)
        self.last = torch.zeros((), device=device)

    def reset(self) -> None:
        """Begins an epoch."""
        self._finite.fill_(True)
        self._finite_steps.zero_()

    def add(self, loss: Tensor) -> None:
        """Takes in the loss of one step."""
        self.last.copy_(loss.detach().view(()))
        self._finite &= self.last.isfinite()
        self._finite_steps += self._finite

    def check(self, experience: int, epoch: int, learning_rate: float) -> None:
        """Raises `RunError` if a loss wasn't finite; experience and epoch are numbered from 0."""
        if not self._finite:
            raise RunError(
                f"the loss was not finite in experience {experience + 1}, epoch {epoch + 1}, step"
                f" {int(self._finite_steps) + 1}: training diverged; try a learning rate below {learning_rate:g}"
            )


def check_finite(tensors: dict[str, Tensor], experience: int, learning_rate: float) -> None:
    """Raises `RunError` if a tensor isn't finite throughout after an experience, numbered from 0."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise RunError(
                f"{name} is not finite after experience {experience + 1}: training diverged; try a learning rate"
                f" below {learning_rate:g}"
            )
