"""Losses that strategies share, and a watch over them: a run whose loss isn't finite is stopped, and told where."""

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.errors import RunError

_NEVER = -1e30  # a probability of 0 like -inf, but 0 times its logarithm is 0


def distillation(now: Tensor, before: Tensor, unused: Tensor, temperature: float) -> Tensor:
    """KL(softmax(before / temperature) || softmax(now / temperature)), summed over heads, its mean over the batch.

    Args:
        now, before: Outputs (batch, heads, width).
        unused: (heads, width), outputs that count in neither; a head that uses none adds nothing.
        temperature: More than 0.
    """
    now, before = ((outputs / temperature).masked_fill(unused, _NEVER) for outputs in (now, before))
    target = before.softmax(dim=2) * ~unused.all(dim=1, keepdim=True)
    return F.kl_div(now.log_softmax(dim=2), target, reduction="sum") / len(target)


class LossWatch:
    """Finds the first step of an epoch whose loss isn't finite, without waiting for the device at each step.

    `last`: the last step's loss, a scalar. `by_epoch`: mean losses of the steps of each epoch that has ended.
    """

    def __init__(self, device: torch.device) -> None:
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._finite_steps = torch.zeros((), dtype=torch.long, device=device)
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self.last = torch.zeros((), device=device)
        self.by_epoch: list[float] = []

    def reset(self) -> None:
        """Begins an epoch."""
        self._finite.fill_(True)
        self._finite_steps.zero_()
        self._sum.zero_()

    def add(self, loss: Tensor) -> None:
        """Takes in the loss of one step."""
        self.last.copy_(loss.detach().view(()))
        self._finite &= self.last.isfinite()
        self._finite_steps += self._finite
        self._sum += self.last

    def end_epoch(self) -> None:
        """Takes the mean of an epoch whose losses were all finite; the one wait for the device."""
        self.by_epoch.append(float(self._sum / self._finite_steps))

    def check(self, experience: int, epoch: int, learning_rate: float) -> None:
        """Raises `RunError` if a loss wasn't finite; experience and epoch are numbered from 0."""
        if not self._finite:
            raise RunError(
                f"the loss was not finite in experience {experience + 1}, epoch {epoch + 1}, step"
                f" {int(self._finite_steps) + 1}: training diverged; try a learning rate below {learning_rate:g}"
            )


def check_finite(tensors: dict[str, Tensor], experience: int, learning_rate: float) -> None:
    """Raises `RunError` if a tensor isn't finite throughout after an experience, numbered from 0."""
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if not floating:
        return
    largest = torch._foreach_norm(list(floating.values()), torch.inf)  # tasks bring tensors: one wait for all
    if torch.stack([norm.float() for norm in largest]).isfinite().all():
        return
    for name, tensor in floating.items():
        if not tensor.isfinite().all():
            raise RunError(
                f"{name} is not finite after experience {experience + 1}: training diverged; try a learning rate"
                f" below {learning_rate:g}"
            )
