"""Whether what was measured may be compared: times, energy and peaks of memory depend on the machine and the engine."""

from typing import TYPE_CHECKING

from clhyper.runs.columns import TRAINING
from clhyper.runs.naming import plain_cell

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("_seconds", "_ms", "_joules")
_TIMING = ("device", "machine", "threads")


def differing(one: "pd.DataFrame", other: "pd.DataFrame") -> list[tuple[str, str, str]]:
    """What runs of two configurations were trained with, where it differs, as (name, the one's, the other's)."""
    names = dict.fromkeys((*TRAINING, "front", "device", "engine"))
    found = [(name, kinds(one, name), kinds(other, name)) for name in names]
    return [(name, ", ".join(first), ", ".join(second)) for name, first, second in found if first != second]


def kinds(rows: "pd.DataFrame", name: str) -> list[str]:
    """The values of a column in words, in order."""
    return sorted({str(plain_cell(value)) for value in rows[name].dropna()})


def caveats_of(metric: str, rows: "pd.DataFrame") -> list[str]:
    """What keeps the runs' measured numbers from being compared; nothing of what is counted."""
    import pandas as pd

    if not is_measured(metric):
        return []
    found = []
    most = rows["runs_at_once"].max()
    if metric.endswith(_TIMES) and pd.notna(most) and most > 1:
        found.append(f"measured with up to {int(most)} runs at once on the machine, which lengthens times")
    several = {name: known for name in _TIMING if len(known := kinds(rows, name)) > 1}
    return found + [
        f"measured on different {name.rstrip('s')}s ({', '.join(known)}), which can't be compared"
        for name, known in several.items()
    ]


def is_measured(metric: str) -> bool:
    """Whether the number depends on the machine and the engine; of other costs every repetition has the same."""
    return metric.endswith(_TIMES) or metric.startswith("peak_")
