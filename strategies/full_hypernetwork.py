"""Full hypernetwork: every layer of the network is generated for each task; a partial hypernetwork at depth 0.

Source: von Oswald et al., "Continual learning with hypernetworks", ICLR 2020: `--generator chunked`; and Hemati et al.,
"Partial Hypernetworks for Continual Learning", CoLLAs 2023: `--generator additive`. The default generator is ours.
"""

from dataclasses import dataclass

from strategies.partial_hypernetwork import HypernetworkOptions, PartialHypernetwork

__all__ = ["FullHypernetwork"]


@dataclass(frozen=True, kw_only=True)
class Options(HypernetworkOptions):
    """Hyperparameters of a full hypernetwork."""


class FullHypernetwork(PartialHypernetwork):
    """A partial hypernetwork with nothing frozen, under its usual name, trained on

        L = CE(h_omega(x), y) + beta/(t-1) sum_{s<t} |H(e_s; psi*) - H(e_s; psi')|^2

    with omega = H(e_t; psi) the whole network, and psi* and psi' as in `PartialHypernetwork`.
    """

    Options = Options
    depth_zero_of = "partial-hypernetwork"
