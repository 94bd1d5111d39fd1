"""Static hypernetwork: all kernels but the first are put together from generated tiles, each task with its own.

Source: Ha, Dai and Le, "HyperNetworks", 2016, arXiv 1609.09106; on streams (ours) with the regulariser of von Oswald et
al., "Continual learning with hypernetworks", ICLR 2020.
"""

from dataclasses import dataclass

from torch import nn

from clhyper.backbones import Backbone
from clhyper.errors import require
from clhyper.hypernetworks import static
from clhyper.hypernetworks.base import CLASSIFIER
from clhyper.options import DepthOptions
from strategies.partial_hypernetwork import PartialHypernetwork, RegulariserOptions

__all__ = ["StaticHypernetwork"]


@dataclass(frozen=True, kw_only=True)
class Options(RegulariserOptions, DepthOptions):
    """Hyperparameters of a static hypernetwork."""

    freeze_depth: int = 0
    """number of stages that are frozen after the first experience, and not generated (0: none, as in the paper)"""
    embedding: int = 64
    """size of a tile's embedding: 64 for wide residual networks, 4 for MNIST in the paper"""
    beta: float = 0.5
    lookahead: bool = True
    copy_embedding: bool = False
    """start a new task's tiles as copies of those of the task before"""
    embedding_rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.embedding >= 1, f"embedding {self.embedding}: at least 1")


class StaticHypernetwork(PartialHypernetwork):
    """Tile j of task t, 16 outputs by 16 inputs, has an embedding z_{t,j}, and its slice for input i is generated as

        K_i = W_out (W_i z_{t,j} + B_i) + B_out,    i = 1..16,

    trained on

        L = CE(h_omega(g_phi(x)), y) + beta/(t-1) sum_{s<t} |H(z_s; psi*) - H(z_s; psi')|^2

    with psi all W and B, psi* and psi' as in `PartialHypernetwork`, and omega the kernels so put together. In an only
    experience it is trained as in the paper. On a WRN-40-1 or -2 the 36 kernels of conv2 to conv4 are generated: 75,920
    parameters and 242 or 966 embeddings of 64, in all 91,408 or 137,744, in place of 557,568 or 2,225,664. The first
    layer, norms, classifier, and a wide residual network's 1x1 shortcuts are ordinary.

    Ours: on a stream, W and B are shared, and each task has embeddings, norms and classifier of its own, which later
    tasks leave as they are. The first layer, wherever the network is split, and what else is ordinary and shared are
    frozen after the first experience. Kernels whose channels aren't multiples of 16 are cropped; kernels of another
    window, 1x1 too, have W and B of their own; each layer's numbers are scaled so that they start like an ordinary
    layer's. Norms, classifiers and biases count as generated parameters, as with every generator.

    It is `PartialHypernetwork` with `generator="static"`, but for the ordinary layers and the defaults: there nothing
    behind the front is shared, embeddings have 32 numbers and norms are instance norms.
    """

    Options = Options

    def make_hypernetwork(self, back: nn.Module, backbone: Backbone) -> static.StaticHypernetwork:
        return static.StaticHypernetwork(back, self.options.embedding, ordinary=_ordinary(backbone))

    def make_optimizer(self, **kwargs: object) -> None:
        """Freezes what is ordinary and shared after the first experience."""
        self.model.hypernetwork.ordinary.requires_grad_(self.experiences_learned == 0)
        super().make_optimizer(**kwargs)


def _ordinary(backbone: Backbone) -> set[str]:
    """Names of the weights that stay ordinary, and of their biases: the first, and those that the backbone names."""
    layers = [name for name, parameter in backbone.named_parameters() if parameter.ndim > 1 and name != CLASSIFIER]
    chosen = [*layers[:1], *(name for name in layers if name.endswith(backbone.ordinary_kernels))]
    return {f"{name.removesuffix('weight')}{kind}" for name in chosen for kind in ("weight", "bias")}
