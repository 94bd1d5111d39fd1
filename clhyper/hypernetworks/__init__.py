"""Weight generators: task -> weights of the layers after the split."""

from clhyper.hypernetworks.additive import AdditiveHypernetwork
from clhyper.hypernetworks.base import GeneratedSnapshot, Hypernetwork, Weights
from clhyper.hypernetworks.chunked import ChunkedHypernetwork

__all__ = [
    "GENERATORS",
    "AdditiveHypernetwork",
    "ChunkedHypernetwork",
    "GeneratedSnapshot",
    "Hypernetwork",
    "Weights",
]

# What `--generator` names. A class takes the back, `embedding`, and the options whose metadata name its generator.
GENERATORS: dict[str, type[Hypernetwork]] = {"additive": AdditiveHypernetwork, "chunked": ChunkedHypernetwork}
