"""Naive fine-tuning: goes on training one network, experience after experience, with nothing against forgetting.

With a freeze depth the first stages stay as the first experience left them.

Source: the lower bound of the field, "finetuning" in De Lange et al., "A continual learning survey: Defying forgetting
in classification tasks", TPAMI 2021.
"""

from dataclasses import dataclass

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.engine import Strategy
from clhyper.options import DepthOptions

__all__ = ["Naive"]


@dataclass(frozen=True, kw_only=True)
class Options(DepthOptions):
    """Hyperparameters of naive fine-tuning."""

    freeze_depth: int = 0
    """number of stages that are frozen after the first experience (0: none)"""


class Naive(Strategy):
    """Fine-tuning with one head a task (one head over all classes seen, without task labels), trained on

        L = CE(h_omega(g_phi(x)), y)

    of the present experience's images x and labels y alone; the front g_phi is frozen after the first experience.
    """

    Options = Options

    def make_model(self, backbone: Backbone) -> HeadedModel:
        return HeadedModel(backbone, self.freeze_depth)
