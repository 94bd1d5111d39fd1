"""What a run tells of itself while it goes on, and how it ended. Imports nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from clhyper.runs.config import RunConfig

Status = Literal["complete", "skipped", "failed", "busy", "stopped"]


@dataclass(frozen=True)
class Progress:
    """A run's state: `done` of `total` epochs over the stream, the present experience (from 1) and epoch (from 1),
    the batch's loss (None where it isn't told), and the mean of the stream's measure over the experiences learned so
    far (a fraction, bits where `measure` is bits, or None)."""

    done: int
    total: int
    experience: int
    experiences: int
    epoch: int
    epochs: int
    loss: float | None
    accuracy: float | None
    measure: str = "accuracy"


@dataclass(frozen=True)
class Note:
    """Why a run stopped for now and when it goes on, in one line."""

    text: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended: newly complete, skipped since it was, failed with a reason, busy in another process, or stopped
    since `Report` asked for it.

    `misuse`: the reason is bad input, the user's to mend. `out_of_memory`: with more of it, the run would go on.
    """

    status: Status
    folder: Path
    reason: str | None = None
    misuse: bool = False
    out_of_memory: bool = False
    metrics: dict[str, float | None] = field(default_factory=dict)


Message = Progress | Note | Outcome
Report = Callable[["RunConfig", Message], bool | None]
"""Told of each run's `Progress` and `Note` as they come and of its `Outcome` at the end. True in answer to a `Progress`
stops the run: what it finished is kept, and it goes on from there when it is executed again."""


class Stopped(BaseException):
    """Raised in a run that is to stop."""
