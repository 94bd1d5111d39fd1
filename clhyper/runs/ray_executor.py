"""Runs of a sweep on a Ray cluster, or on a Ray of this machine's own: every run a task, which Ray places."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clhyper.errors import RunError, require
from clhyper.runs.config import RunConfig
from clhyper.runs.outcome import Outcome, Report
from clhyper.runs.ray_cluster import check_address, connected
from clhyper.runs.ray_sweep import Sweep


@dataclass(frozen=True)
class RayExecutor:
    """Tasks of a Ray cluster, each with the run's threads as CPUs; a run whose worker or node dies goes on elsewhere.

    `address`: auto or HOST:PORT; None for the cluster that this process is connected to, or one of its own, which ends
    with the sweep. `gpus_per_run`: a fraction of 1 or a whole number; None for one on cuda and none on a CPU.
    `retries`: how often a run goes on elsewhere. `collect`: auto lets nodes write into the results folder if they see
    it; always lets each run work in a folder of its node, from which its files travel after each finished experience,
    as they do from a node that doesn't see it.
    """

    address: str | None = None
    gpus_per_run: float | None = None
    retries: int = 3
    collect: Literal["auto", "always"] = "auto"

    def __post_init__(self) -> None:
        check_address(self.address)
        gpus = self.gpus_per_run
        require(
            gpus is None or 0 < gpus <= 1 or (gpus > 1 and float(gpus).is_integer()),
            f"gpus_per_run {gpus}: give a fraction such as 0.25, or a whole number",
        )
        require(self.retries >= 0, f"retries {self.retries}: at least 0")
        require(self.collect in ("auto", "always"), f"collect {self.collect}: give auto or always")

    def execute(self, configs: Iterable[RunConfig], results: Path, report: Report) -> dict[str, Outcome]:
        """As `Executor` says.

        Raises:
            UserError: as there; or no cluster answers, or this machine can't hold a run.
            RunError: the cluster answers no longer.
        """
        configs = list(configs) if isinstance(configs, Sized) else configs
        for config in configs if isinstance(configs, list) else []:
            self.gpus(config)
        with connected(self.address):
            from ray.exceptions import RayError

            try:
                return Sweep(self, configs, results, report).run()
            except RayError as error:
                reason = f"Ray no longer answers ({type(error).__name__})"
                raise RunError(f"{reason}; the same command goes on from the last finished experiences") from error

    def gpus(self, config: RunConfig) -> float:
        """GPUs of a run."""
        if config.device == "cpu":
            require(not self.gpus_per_run, f"gpus_per_run {self.gpus_per_run}: with device cpu there is none to share")
            return 0
        require(config.device == "cuda", f"device {config.device}: Ray gives each run its GPU; give cuda")
        return self.gpus_per_run or 1
