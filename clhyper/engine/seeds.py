"""Random numbers that depend on the seed, the experience and the purpose alone, so that a resumed run repeats them."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from clhyper.threads import process

PURPOSES = (
    "initialisation",
    "batches",
    "augmentation",
    "replay",
    "drift",
    "everything else",
    "buffer",
    "replay augmentation",
    "views",
)


def derived_seed(seed: int, experience: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one experience: one of `PURPOSES`, or any other name."""
    known = purpose in PURPOSES
    number = PURPOSES.index(purpose) if known else int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8])
    sequence = np.random.SeedSequence([seed, experience, number])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, experience: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded for one purpose in one experience."""
    return torch.Generator(device).manual_seed(derived_seed(seed, experience, purpose))


@contextmanager
def seeded(seed: int, experience: int, purpose: str = "initialisation") -> Iterator[None]:
    """Torch's own CPU random state is seeded inside, and outside as it was; other threads wait to be inside.

    So threads repeat their numbers as long as none draws from that state outside.
    """
    with process, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, experience, purpose))
        yield


def seed_everything_else(seed: int, experience: int) -> None:
    """Seeds the global random states, which strategies don't draw from and other people's plugins may.

    A process has one of each: plugins of runs side by side in one process draw from it in no fixed order.
    """
    number = derived_seed(seed, experience, "everything else")
    with process:
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)
