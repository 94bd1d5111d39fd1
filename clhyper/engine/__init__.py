"""The training step and what surrounds it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy

__all__ = ["Strategy"]


def __getattr__(name: str) -> Any:
    if name == "Strategy":  # which imports Avalanche; the parts beside it don't
        from clhyper.engine import strategy

        return strategy.Strategy
    raise AttributeError(f"module 'clhyper.engine' has no attribute {name!r}")
