"""What a search is after: measures of a run, each with the direction that is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clhyper.errors import require, unknown
from clhyper.measures import LESS_IS_BETTER, MEASURES
from clhyper.runs.files import read_object
from clhyper.runs.folder import RESULT
from clhyper.runs.results import COSTS, METRICS

__all__ = ["Objective", "parse_objectives"]

_NEEDS_TWO = tuple(name for one in MEASURES.values() for name in one.metrics[1:4])


@dataclass(frozen=True)
class Objective:
    """A measure by its name in results: an accuracy, or a cost."""

    name: str

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Forgetting, bits and costs are better the lower they are."""
        return "minimize" if self.name in (*LESS_IS_BETTER, *COSTS) else "maximize"

    def of(self, folder: Path) -> tuple[float | None, str | None]:
        """The measure of a finished run, or None and why it was not measured."""
        result = read_object(folder / RESULT)
        part = result.get("cost" if self.name in COSTS else "metrics")
        value = part.get(self.name) if isinstance(part, dict) else None
        if type(value) in (int, float):
            return value, None
        reasons = result.get("reasons")
        reason = reasons.get(self.name) if isinstance(reasons, dict) else None
        return None, f"{self.name} was not measured" + (f": {reason}" if reason else "")


def parse_objectives(names: Sequence[str], experiences: int) -> tuple[Objective, ...]:
    """Measures by names such as acc, forgetting and train-macs; `experiences`: those that a trial learns.

    Raises:
        UserError: none, an unknown one, one that occurs twice, or one that a stream of one experience hasn't.
    """
    known = [name.replace("_", "-") for name in (*METRICS, *COSTS)]
    require(bool(names), "objectives: give at least one, such as acc")
    found: list[Objective] = []
    for given in names:
        name = given.replace("_", "-")
        if name not in known:
            raise unknown("objective", given, known)
        objective = Objective(name.replace("-", "_"))
        require(objective not in found, f"objectives: {name} occurs twice, each may occur once")
        require(
            experiences > 1 or objective.name not in _NEEDS_TWO,
            f"objectives {name}: needs trials of at least 2 experiences, and they have {experiences}",
        )
        found.append(objective)
    return tuple(found)
