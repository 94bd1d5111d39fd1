"""On what a search may look: never on the test images of the reported stream, and not on all of its stream as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from clhyper.errors import require

__all__ = ["Protocol", "ProtocolName", "choose_protocol"]

ProtocolName = Literal["first-experiences", "class-order"]
VALIDATION = 0.1
ORDER_SEED = 1000


@dataclass(frozen=True)
class Protocol:
    """How trials see a reported stream of so many `experiences`.

    `first-experiences`: its first `first` ones, as in Chaudhry et al. 2019 (A-GEM), who choose on the first tasks
    alone. `class-order`: all, under the order of classes that `order_seed` gives. With both, on the share `validation`
    of the training images, held out.
    """

    name: ProtocolName
    experiences: int
    validation: float
    first: int | None = None
    order_seed: int | None = None

    @property
    def seen(self) -> int:
        """Experiences that a trial learns."""
        return self.first or self.experiences

    def stream_options(self, reported: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the stream of a trial, from those of the reported stream."""
        options = {**reported, "validation": self.validation}
        if self.first is not None:
            return {**options, "first": self.first if self.first < self.experiences else None}
        if not reported.get("class_order"):
            return {**options, "order_seed": self.order_seed}
        order = np.random.default_rng(self.order_seed).permutation(list(reported["class_order"])).tolist()
        return {**options, "class_order": tuple(order)}

    def sentence(self) -> str:
        """What was looked at, for whoever reads the result."""
        share = f"on {100 * self.validation:g} % of the training images, held out,"
        if self.first is None:
            where = f"of all {self.experiences} experiences under another class order (order seed {self.order_seed})"
        elif self.first < self.experiences:
            where = f"of the first {self.first} of {self.experiences} experiences"
        else:
            where = f"of all {self.experiences} experiences, in the reported order"
        return f"Chosen {share} {where}; no test image had a part in it."

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without those that are None."""
        values = {
            "name": self.name,
            "first": self.first,
            "order_seed": self.order_seed,
            "experiences": self.experiences,
            "validation": self.validation,
            "sentence": self.sentence(),
        }
        return {name: value for name, value in values.items() if value is not None}


def choose_protocol(
    name: ProtocolName,
    reported: Mapping[str, Any],
    *,
    first: int | None = None,
    validation: float = VALIDATION,
    order_seed: int | None = None,
) -> Protocol:
    """The protocol for a stream with every option `reported`; without `first`, half of its experiences, at least two.

    Raises:
        UserError: a number that is out of range or of the other protocol, or an order that is the reported one.
    """
    require(
        0 < validation < 1,
        f"validation {validation:g}: a share of the training images above 0 and below 1, which trials are evaluated on,"
        " never on test images",
    )
    experiences = reported["experiences"]
    if name == "first-experiences":
        require(
            order_seed is None,
            f"tuning_order_seed {order_seed}: belongs to --protocol class-order; leave it out or choose that",
        )
        first = min(max(2, experiences // 2), experiences) if first is None else first
        require(1 <= first <= experiences, f"first {first}: from 1 to {experiences}, the experiences of the stream")
        return Protocol(name, experiences, validation, first=first)
    require(first is None, f"first {first}: belongs to --protocol first-experiences; leave it out or choose that")
    return Protocol(name, experiences, validation, order_seed=_other_order(reported, order_seed))


def _other_order(reported: Mapping[str, Any], seed: int | None) -> int:
    seed = ORDER_SEED if seed is None else seed
    instead = "choose --protocol first-experiences"
    require(seed >= 0, f"tuning_order_seed {seed}: at least 0")
    require(seed != reported["order_seed"], f"tuning_order_seed {seed}: is the reported order's; give another")
    require(reported["experiences"] > 1, f"protocol class-order: one experience has no other order; {instead}")
    require(
        reported.get("alike") is None,
        f"protocol class-order: alike decides which classes come together, under any order; {instead}",
    )
    all_alike = reported["variant"] == "rotated" or reported.get("experiences_each") == 1
    require(
        not all_alike or reported["classes_each"] is not None,
        f"protocol class-order: every experience of this stream has all of its classes under any order; {instead}",
    )
    protocol = Protocol("class-order", reported["experiences"], VALIDATION, order_seed=seed)
    given = tuple(reported["class_order"])
    require(
        not given or protocol.stream_options(reported)["class_order"] != given,
        f"tuning_order_seed {seed}: gives the reported order; give another",
    )
    return seed
