"""Joint training: all experiences at once, shuffled together; the bound that knows no stream.

Source: the upper bound of the field, "joint" in De Lange et al., "A continual learning survey: Defying forgetting in
classification tasks", TPAMI 2021.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.data.stream import join
from clhyper.engine import Strategy
from clhyper.errors import require
from clhyper.options import TrainingOptions

__all__ = ["Joint"]


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Hyperparameters of joint training."""


class Joint(Strategy):
    """Trains once on the union of the experiences given to `train`, as in `strategy.train(stream.train_stream)`, on

        L = CE(h_omega(x), y)

    with (x, y) drawn from all experiences alike, and one head a task. An epoch is a pass over all images, so that joint
    training takes as many steps as the stream does.
    """

    Options = Options
    offline = True

    def make_model(self, backbone: Backbone) -> HeadedModel:
        return HeadedModel(backbone, 0)

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        require(
            self.experiences_learned == 0,
            "joint training takes the whole stream at once and has had one: strategy.train(stream.train_stream)",
        )
        together = list(experiences) if isinstance(experiences, Iterable) else [experiences]
        return super().train(join(together), eval_streams, **kwargs)
