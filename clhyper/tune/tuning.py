"""One search: what is tuned, on what, and how; and the runs that it consists of."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from clhyper.errors import UserError, require
from clhyper.runs.config import RunConfig, make_config, options_class, other_than_default
from clhyper.tune.objectives import Objective
from clhyper.tune.protocol import Protocol
from clhyper.tune.space import Space

__all__ = ["Pruner", "Sampler", "Tuning"]

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "halving", "none"]
_REPORTED_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A search over options of a strategy.

    `benchmark_options`: every option of the reported stream, which trials see through the `protocol` only.
    `seeds`: a trial is a run with each; its measures are their means.
    `run`: how runs are executed: device, threads, loading, engine.
    """

    benchmark: str
    strategy: str
    benchmark_options: dict[str, Any]
    space: Space
    objectives: tuple[Objective, ...]
    protocol: Protocol
    seeds: tuple[int, ...] = (0,)
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"
    search_seed: int = 0
    run: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        measures = [objective.name for objective in self.objectives]
        require(
            self.pruner == "none" or measures == ["acc"],
            f"pruner {self.pruner}: stops trials by their accuracy alone, and the objectives are"
            f" {' and '.join(name.replace('_', '-') for name in measures)}; leave --pruner out",
        )
        require(self.search_seed >= 0, f"search_seed {self.search_seed}: at least 0")

    def check(self) -> None:
        """Raises `UserError` where the reported run, a trial's, or a value that may be drawn isn't right."""
        self.reported({})
        self.trial({}, self.seeds[0])
        self.space.check(lambda settings: self.trial(settings, self.seeds[0]))

    def trial(self, settings: dict[str, Any], seed: int) -> RunConfig:
        """A run of a trial with these settings; raises `UserError` where they contradict each other."""
        return self._config(self.protocol.stream_options(self.benchmark_options), settings, seed)

    def reported(self, settings: dict[str, Any], seed: int | None = None) -> RunConfig:
        """A run on the reported stream, by default with a seed that wasn't tuned with."""
        return self._config(self.benchmark_options, settings, self.reported_seeds[0] if seed is None else seed)

    @property
    def reported_seeds(self) -> list[int]:
        """Seeds for the reported runs: others than those that settings were chosen by."""
        first = 10 * (max(self.seeds) // 10 + 1)
        return list(range(first, first + _REPORTED_SEEDS))

    def corners(self) -> list[RunConfig]:
        """Runs that together have each end and choice of those options that decide what data and network fit."""
        decisive = ("freeze_depth", "front", "front_norm")
        ends = self.space.settings(lambda d: d.ends if d.name in decisive else d.ends[:1])
        found: dict[str, RunConfig] = {}
        for settings in ends:
            try:
                config = self.trial(settings, self.seeds[0])
            except UserError:  # a contradiction of two settings, which are drawn anew
                continue
            found.setdefault(config.name, config)
        return list(found.values())

    def _config(self, stream: dict[str, Any], settings: dict[str, Any], seed: int) -> RunConfig:
        options = {**self.space.given, **settings}
        return make_config(self.benchmark, self.strategy, stream, options, seed=seed, **self.run)

    @property
    def name(self) -> str:
        """Name of the search's folder: what is tuned, and a hash of all that decides its trials but their number."""
        device = str(self.run.get("device", "cpu")).partition(":")[0]
        engine = self.run.get("engine", "auto")
        decisive = {
            **self.as_dict(),
            "device": device,
            **({} if engine == "auto" else {"engine": engine}),
        }
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.benchmark}_{self.strategy}_{digest[:8]}"

    def as_dict(self) -> dict[str, Any]:
        """What was searched, on what and how, as plain values; options only where they aren't at their default."""
        stream = other_than_default(options_class("benchmark", self.benchmark), self.benchmark_options)
        given = other_than_default(options_class("strategy", self.strategy), dict(self.space.given))
        return {
            "benchmark": self.benchmark,
            "strategy": self.strategy,
            "benchmark_options": stream,
            "strategy_options": given,
            "search": [str(dimension) for dimension in self.space.dimensions],
            "objectives": {objective.name: objective.direction for objective in self.objectives},
            "protocol": self.protocol.as_dict(),
            "seeds": list(self.seeds),
            "sampler": self.sampler,
            "pruner": self.pruner,
            "search_seed": self.search_seed,
        }
