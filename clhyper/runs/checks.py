"""Bad input in the runs of a sweep, found before the first one starts."""

from collections.abc import Iterable

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig


def distinct(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Of runs on the same stream, at the same depth and with the same front, one."""
    return list(
        {
            (
                config.benchmark,
                str(config.benchmark_options),
                *(str(config.strategy_options.get(name)) for name in ("freeze_depth", "front", "front_norm")),
            ): config
            for config in configs
        }.values()
    )


def first_problem(configs: Iterable[RunConfig]) -> str | None:
    """What is wrong with the input of a run, or None.

    Reads each stream once, which also fills the cache of images, and tries each depth on its backbone.
    """
    from clhyper.runs.run import prepare

    try:
        for config in distinct(configs):
            prepare(config)
    except UserError as error:
        return str(error)
    except Exception:
        return None  # the runs will say why
    return None
