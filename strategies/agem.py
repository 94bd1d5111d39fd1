"""A-GEM: fine-tuning whose steps never raise, to first order, the loss on a sample of stored images.

Source: Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019. Gradients are projected as by Avalanche's
`AGEMPlugin`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of
from clhyper.engine.buffered import Buffered
from clhyper.engine.replay import Replay
from clhyper.errors import require
from clhyper.parts import part
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


class AGEM(Buffered, Naive):
    """Fine-tuning by the gradient g of L = CE(h_omega(g_phi(x)), y) or, where it would raise the memory's loss, by

        g - (g . r / r . r) r    if g . r < 0

    with r the gradient of the cross-entropy of a sample of the memory, each image by its own task's head. Earlier
    heads stay as they are: Avalanche's plugin, unlike the paper, doesn't move them. The memory is balanced over
    (task, class) and sampled as a whole (ours; Avalanche takes the same number of each experience). Stored images are
    uint8 and augmented anew each time.
    """

    Options = Options
    predicts_by_model = True
    replay: Replay | None = None

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.buffer = BalancedBuffer(0)
        return super().make_model(backbone)

    def prepare_experience(self) -> None:
        reached = [*self.model.body.parameters()]
        for task in set(self.buffer.tasks.tolist()):
            reached += self.model.task_tensors(task)
        self.reached = [parameter for parameter in reached if parameter.requires_grad]
        # With all but the heads frozen, nothing that is trained touches the stored images' loss.
        replays = len(self.buffer) > 0 and len(self.reached) > 0
        self.replay = Replay(self, self.buffer, self.options.sample_size) if replays else None

    def draw(self, steps: int) -> dict[str, Tensor]:
        return {**super().draw(steps), **(self.replay.draw(steps) if self.replay else {})}

    def forward(self) -> Tensor:
        if self.is_training and self.replay is not None:
            features, y, tasks = self.replay.batch(self.drawn)
            with part("other"):
                loss = self._criterion(self.model.back(features, tasks), y)
            self.reference = torch.autograd.grad(loss, self.reached, materialize_grads=True)
        return super().forward()

    def backward(self) -> None:
        """The gradient g, projected where it goes against the memory's r; both stay on the device."""
        super().backward()
        if self.replay is None:
            return
        gradients = [parameter.grad for parameter in self.reached]
        g, r = (torch.cat([part.flatten() for part in parts]) for parts in (gradients, self.reference))
        share = g.dot(r).clamp(max=0) / r.dot(r).clamp(min=torch.finfo(r.dtype).tiny)
        torch._foreach_sub_(gradients, torch._foreach_mul(self.reference, share))

    def finish_experience(self) -> None:
        """Stores some of the experience's images."""
        images = images_of(self.experience)
        self.buffer.capacity = self.options.patterns_per_experience * (self.experiences_learned + 1)
        self.buffer.update(images.labels, images.tasks, lambda rows: self.read(images, rows), self.generator("buffer"))
