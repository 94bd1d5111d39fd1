"""Statistics of a frozen front's features: the mean of each class of each task, and one covariance for all."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.threads import process

SHRINKAGE = 1e-4
"""share of the covariance that a multiple of the identity with the same trace replaces (Hayes and Kanan 2020, whose
multiple is 1)"""


class FeatureStatistics:
    """Gaussians with a mean for each (task, class) and one covariance; images are assigned by Mahalanobis distance.

    Maps are averaged over their pixels first. Source: Lee, Lee, Lee and Shin, "A simple unified framework for detecting
    out-of-distribution samples and adversarial attacks", NeurIPS 2018, equations 1 and 2; kept as running sums, as by
    Hayes and Kanan, "Lifelong machine learning with deep streaming linear discriminant analysis", CVPR-W 2020.

    `tasks`: (means,) the task of each mean. `means`: (means, channels). `scatter`: (channels, channels), the summed
    outer products of features minus their class's mean. `images`: of how many images.
    """

    def __init__(self) -> None:
        self.tasks = torch.empty(0, dtype=torch.long)
        self.means, self.scatter = torch.empty(0, 0), torch.empty(0, 0)
        self.images = 0

    def add(self, features: Tensor, labels: Tensor, tasks: Tensor) -> None:
        """Takes in images of (task, class) pairs not met before, with all tensors on one device.

        features: (images, channels). labels, tasks: (images,).
        """
        pairs, pair_of = torch.stack([tasks, labels], dim=1).unique(dim=0, return_inverse=True)
        x, member = features.double(), F.one_hot(pair_of, len(pairs)).double()  # sums by products have a fixed order
        means = (member.T @ x) / member.sum(dim=0)[:, None]
        x = x - means[pair_of]
        if not self.images:
            self.tasks, self.means, self.scatter = pairs[:0, 0], features[:0], features.new_zeros(len(x.T), len(x.T))
        self.tasks = torch.cat([self.tasks, pairs[:, 0]])
        self.means = torch.cat([self.means, means.float()])
        self.scatter = (self.scatter.double() + x.T @ x).float()
        self.images += len(x)

    def nearest_task(self) -> Callable[[Tensor], Tensor]:
        """A function of features (images, channels): the task (images,) of the class whose mean is nearest to each.

        It factors the covariance once, and knows what has been taken in so far.
        """
        with process:  # the first call on a GPU loads a library, which fails in a second thread at the same time
            factor = torch.linalg.cholesky(self.covariance())

        def whitened(part: Tensor) -> Tensor:
            return torch.linalg.solve_triangular(factor, part.double().T, upper=False).T

        tasks, means = self.tasks, whitened(self.means)
        squares = means.square().sum(dim=1)  # distances are without |x|^2, the same for all means
        return lambda features: tasks[(squares - 2 * whitened(features) @ means.T).argmin(dim=1)]

    def covariance(self) -> Tensor:
        """(channels, channels): the within-class covariance, shrunk so that it can be inverted; float64."""
        covariance = self.scatter.double() / self.images
        level = covariance.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
        identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        return (1 - SHRINKAGE) * covariance + SHRINKAGE * level * identity

    def tensors(self) -> list[Tensor]:
        """All that is kept."""
        return [self.tasks, self.means, self.scatter]

    def state(self) -> dict[str, Any]:
        """What `restore` puts back."""
        return {"tasks": self.tasks, "means": self.means, "scatter": self.scatter, "images": self.images}

    def restore(self, state: dict[str, Any]) -> None:
        self.tasks, self.means, self.scatter = (state[name] for name in ("tasks", "means", "scatter"))
        self.images = state["images"]

    def to(self, device: torch.device) -> "FeatureStatistics":
        """Moves the tensors."""
        self.tasks, self.means, self.scatter = (tensor.to(device) for tensor in self.tensors())
        return self


def pooled(features: Tensor) -> Tensor:
    """Maps (images, channels, height, width) averaged over their pixels (images, channels); vectors as they are."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features
