"""A third party's package, as pip leaves one."""

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, modules: Mapping[str, str], entry_points: str) -> Path:
    """Installs a package of these modules, texts by name, with its entry points into a folder, and returns that."""
    package, about = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (package / f"{module}.py").write_text(text)
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n")
    (about / "entry_points.txt").write_text(entry_points)
    return folder
