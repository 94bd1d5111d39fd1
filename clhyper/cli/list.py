"""lists the streams, strategies, backbones and studies that there are"""

import tomllib

from clhyper.errors import UserError
from clhyper.registry import Kind, entries, studies

_TITLES: dict[Kind, str] = {"benchmark": "benchmarks", "strategy": "strategies", "backbone": "backbones"}


def main(arguments: list[str]) -> int:
    """Prints names and what they are, one a line."""
    if arguments and arguments != ["--help"] and arguments != ["-h"]:
        raise UserError(f"list takes no arguments, and {arguments[0]!r} is one")
    if arguments:
        print("usage: clhyper list\n\nLists the streams, strategies, backbones and studies that there are.")
        return 0
    for kind, title in _TITLES.items():
        print(f"{title}:")
        for entry in entries(kind).values():
            print(f"  {entry.name:22} {entry.summary}")
        print()
    print(f"studies:\n{listed_studies()}\n")
    print("Options of a stream and a strategy together: clhyper run BENCHMARK STRATEGY --help")
    return 0


def listed_studies() -> str:
    """The studies and their titles, one a line."""
    titles = {
        name: tomllib.loads(path.read_text(encoding="utf-8")).get("title", "") for name, path in studies().items()
    }
    return "\n".join(f"  {name:22} {title}" for name, title in titles.items())
