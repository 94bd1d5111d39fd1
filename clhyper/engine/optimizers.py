"""Optimizers whose learning rate is where engines read it: a captured or compiled step has it in a tensor."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from clhyper.options import TrainingOptions

_KINDS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def new_optimizer(parameters: Iterable[nn.Parameter], options: TrainingOptions, engine: str) -> Optimizer:
    """The optimizer of the options over some parameters; `engine`: the one wanted."""
    kind = options.optimizer
    settings: dict[str, Any] = {"lr": options.learning_rate, "fused": True}
    on_device = list(parameters)
    if on_device and on_device[0].is_cuda:  # a captured step reads the learning rate where it is
        settings["lr"] = torch.tensor(options.learning_rate, device=on_device[0].device)
        if kind != "sgd":
            settings["capturable"] = True
    elif engine == "compiled":
        settings["lr"] = torch.tensor(options.learning_rate, dtype=torch.float64)
    return _KINDS[kind](on_device, **settings)


class LearningRates:
    """An optimizer's learning rates as it was made."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def take_in(self, optimizer: Optimizer) -> None:
        """Writes a rate that a plugin has set to the tensor that was there: a captured step reads it where it was."""
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            if isinstance(rate, Tensor) and group["lr"] is not rate:
                rate.fill_(float(group["lr"]))
                group["lr"] = rate
