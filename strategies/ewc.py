"""EWC: fine-tuning with every weight held to where earlier experiences left it, by its importance for them.

Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017; online mode: Schwarz et
al., "Progress & Compress", ICML 2018. The method is Avalanche's `EWCPlugin`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from avalanche.training.plugins import EWCPlugin
from avalanche.training.utils import ParamData, copy_params_dict
from torch import Tensor
from torch.utils.data import Dataset

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.backbones.model import OnFeatures
from clhyper.data.batches import Batches
from clhyper.data.stream import images_of
from clhyper.errors import require
from strategies.naive import Naive
from strategies.naive import Options as NaiveOptions

__all__ = ["EWC"]


@dataclass(frozen=True, kw_only=True)
class Options(NaiveOptions):
    """Hyperparameters of EWC."""

    strength: float = 1000.0
    """lambda, weight of the squared distances from earlier experiences' weights"""
    mode: Literal["separate", "online"] = "separate"
    """keep weights and importances of every experience, or the last weights and one decaying sum of importances"""
    decay: float = 0.9
    """factor of the earlier importances in online mode, each time an experience ends"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.strength >= 0, f"strength {self.strength}: at least 0")
        require(0 <= self.decay <= 1, f"decay {self.decay}: from 0 to 1")
        require(
            self.mode == "online" or self.decay == Options.decay,
            f"decay {self.decay}: an option of mode online, and the mode is {self.mode}: leave it out or change it",
        )


class EWC(Naive):
    """Fine-tuning, trained on

        L = CE(h_omega(g_phi(x)), y) + lambda sum_{s<t} sum_i F_{s,i} (theta_i - theta_{s,i})^2

    with lambda the strength (half the paper's), where theta_s are the weights as experience s ended and F_s their
    importances: the mean over its batches of the squared gradient of a batch's mean loss (Avalanche's; the paper's
    Fisher information squares each image's), taken in evaluation mode on images without augmentation (ours). In online
    mode there is one F = decay * F + F_s, and the last theta_s. Only what an experience trained is kept: a frozen front
    and idle heads can't move.
    """

    Options = Options

    def make_model(self, backbone: Backbone) -> HeadedModel:
        online = self.options.mode == "online"
        self.ewc = EWCPlugin(self.options.strength, self.options.mode, self.options.decay if online else None)
        return super().make_model(backbone)

    def prepare_experience(self) -> None:
        """Widens what is kept of a head that got new outputs: of these nothing is important yet."""
        for of_all in self._kept().values():
            for one in of_all.values():
                for name, parameter in self.model.named_parameters():
                    if name in one and len(one[name].data) < len(parameter):
                        wide = torch.zeros_like(parameter)
                        wide[: len(one[name].data)] = one[name].data
                        one[name] = ParamData(name, init_tensor=wide, device=self.device)

    def _before_backward(self, **kwargs: Any) -> None:
        self.ewc.before_backward(self)
        super()._before_backward(**kwargs)

    def finish_experience(self) -> None:
        """Takes the importances of what can move, and its values."""
        now, online = self.experiences_learned, self.options.mode == "online"
        model = OnFeatures(self.model) if self.trains_on_features else self.model
        named = self.ewc.compute_importances(
            model, self._criterion, self.optimizer, _WholeBatches(self), self.device, self.train_mb_size
        )
        importances = {name.removeprefix("model."): importance for name, importance in named.items()}
        held = {  # the online sum has to have the same heads each time
            name
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad or (online and name.startswith("heads."))
        }
        self.ewc.update_importances({name: importances[name] for name in importances if name in held}, now)
        self.ewc.saved_params[now] = {n: value for n, value in copy_params_dict(self.model).items() if n in held}
        if online:
            self.ewc.saved_params.pop(now - 1, None)

    def _kept(self) -> dict[str, Any]:
        return {"importances": self.ewc.importances, "saved_params": self.ewc.saved_params}

    def state(self) -> dict[str, Any]:
        kept = {
            kind: [[s, {name: value.data for name, value in of_one.items()}] for s, of_one in of_all.items()]
            for kind, of_all in self._kept().items()
        }
        return {**super().state(), **kept}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for kind, of_all in self._kept().items():
            of_all.clear()
            for s, tensors in state[kind]:
                of_all[s] = {
                    name: ParamData(name, init_tensor=value.to(self.device), device=self.device)
                    for name, value in tensors.items()
                }

    def kept_tensors(self) -> Iterable[Tensor]:
        kept = [value.data for of_all in self._kept().values() for one in of_all.values() for value in one.values()]
        return [*super().kept_tensors(), *kept]


class _WholeBatches(Dataset[list[Tensor]]):
    """What an experience was trained on, not augmented, as a data set that a loader asks for whole batches."""

    def __init__(self, strategy: EWC) -> None:
        self.images, self.strategy = images_of(strategy.experience), strategy

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitems__(self, rows: list[int]) -> list[Tensor]:
        chosen, loaded, device = torch.tensor(rows), self.strategy.dataloader, self.strategy.device
        x = loaded.x[chosen] if isinstance(loaded, Batches) else self.strategy.read(self.images, chosen)
        if not self.strategy.trains_on_features:
            x = self.images.preparation.normalise(x)
        return [x, self.images.labels[chosen].to(device), self.images.tasks[chosen].to(device)]

    @staticmethod
    def collate_fn(batch: list[Tensor]) -> list[Tensor]:
        return batch
