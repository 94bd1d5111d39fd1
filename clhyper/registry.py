"""Strategies, streams and backbones by name, found by reading their folders.

A file is an entry if it names one thing in `__all__`: `strategies/latent_replay.py` with `__all__ = ["LatentReplay"]`
is the strategy `latent-replay`. Files are parsed, not imported, until an entry is used: names, summaries and options
are known without torch. A third party's package adds its own module through an entry point in the group `strategies`,
`benchmarks` or `clhyper.backbones`.
"""

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from clhyper.errors import unknown
from clhyper.threads import process

Kind = Literal["benchmark", "strategy", "backbone"]
_PACKAGES: dict[Kind, str] = {
    "benchmark": "benchmarks",
    "strategy": "strategies",
    "backbone": "clhyper.backbones",
}
_KEPT: "ContextVar[dict[Kind, dict[str, Entry]] | None]" = ContextVar("kept entries", default=None)


@dataclass(frozen=True)
class Entry:
    """One strategy, stream or backbone: its name, the file it is in and the public object that the file exports."""

    kind: Kind
    name: str
    module: str
    path: Path
    exported: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path, self.path.stat().st_mtime_ns)

    @property
    def summary(self) -> str:
        """First line of the file's docstring."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0]

    def load(self) -> Any:
        """The exported class or function; imports the module, and with it what that imports."""
        return getattr(importlib.import_module(self.module), self.exported)

    def options(self) -> "type[Any]":
        """The file's dataclass `Options`, without importing torch: see `_light_module`."""
        with process:
            return _light_module(self.module).Options

    def constant(self, name: str, default: Any = None) -> Any:
        """A literal that the exported class, or another entry that it extends, assigns to `name`."""
        body = next(
            (node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == self.exported), None
        )
        for statement in body.body if body else ():
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
        for base in body.bases if body else ():
            for node in self.tree.body:
                if not isinstance(node, ast.ImportFrom) or ast.unparse(base) not in {a.name for a in node.names}:
                    continue
                package, _, module = (node.module or "").rpartition(".")
                if package in _PACKAGES.values():
                    parents = _entry(self.kind, f"{package}.{module}", self.path.with_name(f"{module}.py"))
                    return next((parent.constant(name, default) for parent in parents), default)
        return default


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of a kind by name, in order of name."""
    kept = _KEPT.get()
    if kept is not None and kind in kept:
        return kept[kind]
    found = {entry.name: entry for entry in (*_plugged_in(kind), *_in_folder(kind))}
    found = dict(sorted(found.items()))
    if kept is not None:
        kept[kind] = found
    return found


@contextlib.contextmanager
def read_once() -> Iterator[None]:
    """Inside, in this thread, the folders are read once however often they are asked for."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def studies() -> dict[str, Path]:
    """The files of studies in `benchmarks/studies`, by name."""
    folders = [folder / "studies" for folder in _folders(_PACKAGES["benchmark"])]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def find(kind: Kind, name: str) -> Entry:
    """The entry called `name`; raises `UserError` with the nearest right name."""
    known = entries(kind)
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]


def exported(package: str, attribute: str) -> Any:
    """What `from package import attribute` means: an entry's exported object. For a package's `__getattr__`."""
    kind = next(kind for kind, name in _PACKAGES.items() if name == package)
    for entry in entries(kind).values():
        if entry.exported == attribute:
            return entry.load()
    raise AttributeError(f"module {package!r} has no attribute {attribute!r}")


def field_help(options: type[Any]) -> dict[str, str]:
    """Help of each field of an options class: the docstring under it, in the class or in the nearest base."""
    texts: dict[str, str] = {}
    for base in reversed(options.__mro__):
        texts.update(getattr(sys.modules.get(base.__module__), "_field_help", {}).get(base.__name__, {}))
        if base.__module__ == "clhyper.options":
            tree = _parse(Path(sys.modules[base.__module__].__file__ or ""))
            texts.update(_docstrings(tree).get(base.__name__, {}))
    return texts


def _in_folder(kind: Kind) -> Iterator[Entry]:
    for folder in _folders(_PACKAGES[kind]):
        for path in sorted(folder.glob("*.py")):
            yield from _entry(kind, f"{_PACKAGES[kind]}.{path.stem}", path)


def _plugged_in(kind: Kind) -> Iterator[Entry]:
    for point in _entry_points(_PACKAGES[kind], tuple(sys.path)):
        spec = importlib.util.find_spec(point.module)
        if spec and spec.origin:
            yield from _entry(kind, point.module, Path(spec.origin), point.name)


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> metadata.EntryPoints:
    """Entry points of what is installed on `path`; kept, since reading every package's metadata takes 30 ms."""
    del path
    return metadata.entry_points(group=group)


def _folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _entry(kind: Kind, module: str, path: Path, name: str | None = None) -> Iterator[Entry]:
    exported = _only_export(path, path.stat().st_mtime_ns) if path.is_file() else None
    if exported:
        yield Entry(kind, name or path.stem.replace("_", "-"), module, path, exported)


def _parse(path: Path) -> ast.Module:
    """The file's syntax tree.

    Python 3.11 and 3.12 count the depth of all threads' parsing in one place (python/cpython#106905), so parsing can
    fail while another thread parses: our own take turns, and where somebody else's was in the way, it is repeated.
    """
    text = path.read_text(encoding="utf-8")
    for _ in range(9):
        with process, contextlib.suppress(SystemError):
            return ast.parse(text, filename=str(path))
    with process:
        return ast.parse(text, filename=str(path))


@functools.cache
def _parsed(path: Path, modified: int) -> ast.Module:
    """The file's syntax tree; kept until the file is modified."""
    del modified
    return _parse(path)


@functools.cache
def _only_export(path: Path, modified: int) -> str | None:
    """The one name in the file's `__all__`, if there is one; kept until the file is modified."""
    try:
        tree = _parsed(path, modified)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            return names[0] if len(names) == 1 else None
    return None


@functools.cache
def _light_module(name: str) -> ModuleType:
    """The dataclasses of a module, executed without the rest of it.

    Of the file's statements only these run: imports from the standard library and `clhyper.options`, imports of other
    entries' dataclasses (the same way), and the dataclasses themselves. So options are known at once, where importing
    a strategy would take as long as importing torch and Avalanche.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    tree = _parse(Path(spec.origin))
    module = ModuleType(f"_light.{name}")
    sys.modules[module.__name__] = module
    module.__dict__["_field_help"] = _docstrings(tree)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _PACKAGES.values():
            other = _light_module(node.module).__dict__
            module.__dict__.update({a.asname or a.name: other[a.name] for a in node.names if a.name in other})
        elif _is_light_import(node) or _is_dataclass(node):
            exec(compile(ast.Module([node], []), spec.origin, "exec"), module.__dict__)
    return module


def _is_light_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return node.module.split(".")[0] in sys.stdlib_module_names or node.module in (
            "clhyper.options",
            "clhyper.errors",
        )
    return isinstance(node, ast.Import) and all(a.name.split(".")[0] in sys.stdlib_module_names for a in node.names)


def _is_dataclass(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def _docstrings(tree: ast.Module) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found.setdefault(node.name, {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return found


def option_defaults(options: type[Any]) -> dict[str, Any]:
    """Default of each field of an options class."""
    return {field.name: field.default for field in dataclasses.fields(options)}
