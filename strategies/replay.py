"""Replay: stores some old images and trains the whole network on them beside the new ones; latent replay at depth 0.

Source: Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019, arXiv 1902.10486, with the balanced
buffer of `latent-replay`.
"""

from dataclasses import dataclass

from strategies.latent_replay import LatentReplay, ReplayOptions

__all__ = ["Replay"]


@dataclass(frozen=True, kw_only=True)
class Options(ReplayOptions):
    """Hyperparameters of replay."""


class Replay(LatentReplay):
    """Latent replay with nothing frozen, under its usual name, trained on

        L = CE(h_omega(x), y) + w * CE(h_omega(x_M), y_M)

    with (x_M, y_M) drawn from the stored images M, and w the replay weight.
    """

    Options = Options
    depth_zero_of = "latent-replay"
