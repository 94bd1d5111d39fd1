"""What fronts from files were trained on: they may have seen what a search holds out."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clhyper.errors import UserError
from clhyper.runs.files import read_object
from clhyper.runs.folder import EXPERIENCES, RESULT
from clhyper.tune.tuning import Tuning

__all__ = ["Fronts"]


class Fronts:
    """The front files that a search uses: the one that is given, or those that it chooses from."""

    def __init__(self, tuning: Tuning) -> None:
        searched = [value for d in tuning.space.dimensions if d.name == "front" for value in d.ends]
        found = searched or [tuning.space.given.get("front")]
        self.paths = [Path(path) for path in found if path is not None]
        self._notes: dict[Path, dict[str, Any] | None] = {}

    def sentences(self, run: Path | None = None) -> list[str]:
        """One on each front, for whoever reads the result; run: folder of a finished run, whose stream is compared."""
        return [" ".join(self._sentence(path, run).splitlines()) for path in self.paths]

    def _sentence(self, path: Path, run: Path | None) -> str:
        from clhyper.engine.front import FrontFile

        if path not in self._notes:
            self._notes[path] = _notes(path)
        notes = self._notes[path]
        if notes is None:
            return f"What the front {path} was trained on can't be read here."
        front = FrontFile(path, "", notes)
        trained_on = front.source()
        if trained_on == str(path):
            return (
                f"What the front {path} was trained on isn't recorded in it: held-out or test images may be among it."
            )
        images, classes = _stream(run) if run is not None else (None, [])
        with_overlap = front.source(images, classes)
        if with_overlap == trained_on:
            return f"The front was trained on {trained_on}."
        unless = ", unless its own --validation was the same" if notes.get("evaluated_on") == "validation" else ""
        return f"The front was trained on {with_overlap}; the held-out images were not kept from it{unless}."


def _notes(path: Path) -> dict[str, Any] | None:
    from clhyper.backbones.tensor_file import SUFFIX, from_bytes, read_bytes

    try:
        content = read_bytes(path, "front", "another")
        return from_bytes(content, f"front {path}")[1] if path.suffix == SUFFIX else {}
    except UserError:
        return None


def _stream(run: Path) -> tuple[Any, list[int]]:
    """A finished run's data, by its fingerprint, and the classes that it learned; nothing where its files are gone."""
    try:
        lines = (run / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        classes = {label for line in lines for label in json.loads(line)["classes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None, []
    return SimpleNamespace(fingerprint=read_object(run / RESULT).get("data")), sorted(classes)
