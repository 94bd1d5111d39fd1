"""Weight generators: task -> weights of the layers after the split."""

from clhyper.hypernetworks.additive import AdditiveHypernetwork
from clhyper.hypernetworks.base import GeneratedSnapshot, Hypernetwork, Weights
from clhyper.hypernetworks.chunked import ChunkedHypernetwork
from clhyper.hypernetworks.low_rank import FactoredHypernetwork, LowRankHypernetwork
from clhyper.hypernetworks.static import StaticHypernetwork

__all__ = [
    "GENERATORS",
    "AdditiveHypernetwork",
    "ChunkedHypernetwork",
    "FactoredHypernetwork",
    "GeneratedSnapshot",
    "Hypernetwork",
    "LowRankHypernetwork",
    "StaticHypernetwork",
    "Weights",
]

# What `--generator` names. A class takes the back and the options that are `only_with` its generator.
GENERATORS: dict[str, type[Hypernetwork]] = {
    "additive": AdditiveHypernetwork,
    "chunked": ChunkedHypernetwork,
    "static": StaticHypernetwork,
    "low-rank": LowRankHypernetwork,
    "factored": FactoredHypernetwork,
}
