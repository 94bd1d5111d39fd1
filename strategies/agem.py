"""A-GEM: fine-tuning whose steps never raise, to first order, the loss on a sample of stored images.

Source: Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019. The method is Avalanche's `AGEMPlugin`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from avalanche.training.plugins import AGEMPlugin
from torch import Tensor

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.backbones.model import OnFeatures
from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of
from clhyper.errors import require
from strategies.naive import Naive
from strategies.naive import Options as NaiveOptions

__all__ = ["AGEM"]


@dataclass(frozen=True, kw_only=True)
class Options(NaiveOptions):
    """Hyperparameters of A-GEM."""

    patterns_per_experience: int = 50
    """stored images an experience"""
    sample_size: int = 64
    """stored images that a step's reference gradient is taken of"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("patterns_per_experience", "sample_size"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}: at least 1")


class AGEM(Naive):
    """Fine-tuning by the gradient g of L = CE(h_omega(g_phi(x)), y) or, where it would raise the memory's loss, by

        g - (g . r / r . r) r    if g . r < 0

    with r the gradient of the cross-entropy of a sample of the memory, each image by its own task's head. Earlier
    heads stay as they are: Avalanche's plugin, unlike the paper, doesn't move them. The memory is balanced over
    (task, class) and sampled as a whole (ours; Avalanche takes the same number of each experience). Stored images are
    uint8 and augmented anew each time.
    """

    Options = Options

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.agem = _PluginWithBuffer(self.options.patterns_per_experience, self.options.sample_size)
        return super().make_model(backbone)

    def prepare_experience(self) -> None:
        reached = [*self.model.body.parameters()]
        for task in set(self.agem.buffer.tasks.tolist()):
            reached += self.model.task_tensors(task)
        # With all but the heads frozen, nothing that is trained touches the stored images' loss.
        self.agem.buffers = self.agem.buffer if any(p.requires_grad for p in reached) else ()
        preparation, draws = images_of(self.experience).preparation, self.generator("replay")
        augmentation = self.generator("replay augmentation", self.device)
        features, model = None, self.model
        if self.trains_on_features and len(self.agem.buffer):
            features, model = self.front_features(self.agem.buffer.x, preparation), OnFeatures(self.model)

        def sample() -> tuple[Tensor, ...]:
            x, y, tasks = self.agem.buffer.sample(self.options.sample_size, draws, features)
            return x if features is not None else preparation(x, augmentation), y, tasks

        self.agem.sample_from_memory = sample
        self.seen = SimpleNamespace(
            model=model, optimizer=self.optimizer, device=self.device, _criterion=self._criterion
        )

    def _before_training_iteration(self, **kwargs: Any) -> None:
        super()._before_training_iteration(**kwargs)  # the cost meter begins to count
        self.agem.before_training_iteration(self.seen)

    def _after_backward(self, **kwargs: Any) -> None:
        self.agem.after_backward(self.seen)
        super()._after_backward(**kwargs)

    def finish_experience(self) -> None:
        """Stores some of the experience's images."""
        images = images_of(self.experience)
        self.agem.buffer.capacity = self.options.patterns_per_experience * (self.experiences_learned + 1)
        self.agem.buffer.update(
            images.labels, images.tasks, lambda rows: self.read(images, rows), self.generator("buffer")
        )

    def state(self) -> dict[str, Any]:
        return {**super().state(), "buffer": self.agem.buffer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.agem.buffer.restore(state["buffer"], self.device)

    def kept_tensors(self) -> Iterable[Tensor]:
        buffer = self.agem.buffer
        return [*super().kept_tensors(), buffer.x, buffer.y, buffer.tasks]


class _PluginWithBuffer(AGEMPlugin):
    """Avalanche's plugin with images on the device in place of data sets that it would load image by image."""

    sample_from_memory: Any
    buffers: Any

    def __init__(self, patterns_per_experience: int, sample_size: int) -> None:
        super().__init__(patterns_per_experience, sample_size)
        self.buffers = self.buffer = BalancedBuffer(0)
