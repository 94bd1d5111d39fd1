"""Fronts that a study trains: what decides one, its file among the results, and how a run names it there."""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.runs.config import RunConfig, options_class, other_than_default

DEALING = (
    *("experiences", "order_seed", "class_order", "classes_each", "alike", "first"),
    *("task_labels", "variant", "max_angle"),
)
"""Options of how a stream deals its classes, which say nothing where all of them are one experience."""
_RESULTS = "{results}"
_FOLDER = "fronts"
_FILE = re.compile(r"(?P<name>[\w-]+)-(?P<hash>[0-9a-f]{8})\.safetensors")


@dataclass(frozen=True)
class Front:
    """A front that a study trains once, for all of its runs that name it.

    `classes`: of the data set of the stream `benchmark`. `benchmark_options`, `training`: every option of the stream
    and of joint training. `unfilled`: those of the stream that the user's paths filled, unfilled.
    """

    name: str
    benchmark: str
    classes: tuple[int, ...]
    benchmark_options: dict[str, Any]
    training: dict[str, Any]
    unfilled: dict[str, Any]
    seed: int = 0
    device: str = "cpu"
    loading: str = "auto"
    engine: str = "auto"

    @property
    def file(self) -> str:
        """The file's name: the front's, and a hash of all that decides its numbers but for where the data lie."""
        decisive = {
            "benchmark": self.benchmark,
            "classes": self.classes,
            "seed": self.seed,
            "device": self.device.partition(":")[0],
            "benchmark_options": other_than_default(
                options_class("benchmark", self.benchmark), self.benchmark_options | self.unfilled
            ),
            "training": other_than_default(options_class("strategy", "joint"), self.training),
            **({} if self.engine == "auto" else {"engine": self.engine}),
        }
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
        return f"{self.name}-{digest[:8]}.safetensors"

    @property
    def option(self) -> Path:
        """The option `front` of the runs, the same wherever results lie; `located` makes it a path."""
        return Path(_RESULTS, _FOLDER, self.file)

    def path(self, results: Path) -> Path:
        """The file among these results."""
        return results / _FOLDER / self.file


def located(config: RunConfig, results: Path) -> RunConfig:
    """The configuration with the path of its front among these results, if a study trained it."""
    front = config.strategy_options.get("front")
    if front is None or Path(front).parts[:1] != (_RESULTS,):
        return config
    path = results.joinpath(*Path(front).parts[1:])
    return dataclasses.replace(config, strategy_options={**config.strategy_options, "front": path})


def name_and_hash(front: Any) -> tuple[str, str] | None:
    """Of a run's option `front`, the name and hash that a study gave it; None if it is no front of a study."""
    parts = Path(front).parts if isinstance(front, str | Path) else ()
    found = _FILE.fullmatch(parts[-1]) if parts[:2] == (_RESULTS, _FOLDER) and len(parts) == 3 else None
    return (found["name"], found["hash"]) if found else None
