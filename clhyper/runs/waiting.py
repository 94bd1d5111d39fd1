"""Runs that are yet to start: all of a list, or what an iterator gives, drawn when there is room."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized

from clhyper.runs.config import RunConfig


class Waiting:
    """Gives out runs in their order, each to a device that has room.

    What has no length is drawn from only when the device of the run drawn last has room, since what it gives may depend
    on how earlier runs ended.
    """

    def __init__(self, configs: Iterable[RunConfig]) -> None:
        listed = isinstance(configs, Sized)
        self._drawn: deque[RunConfig] = deque(configs if listed else ())
        self._source: Iterator[RunConfig] | None = None if listed else iter(configs)
        self._device: str | None = None

    def take(self, has_room: Callable[[str], bool]) -> RunConfig | None:
        """The next run of a device that has room; None if none waits for one."""
        config = next((config for config in self._drawn if has_room(config.device)), None)
        if config is not None:
            self._drawn.remove(config)
            return config
        if self._source is None or self._drawn or not (self._device is None or has_room(self._device)):
            return None
        config = next(self._source, None)
        if config is None:
            self._source = None
            return None
        self._device = config.device
        if has_room(config.device):
            return config
        self._drawn.append(config)
        return None

    def add(self, config: RunConfig) -> None:
        """One more, after those that wait."""
        self._drawn.append(config)
