"""shows the report in a browser, live while runs go on"""

import sys

from clhyper.cli.common import RESULTS, folder_and_flags
from clhyper.cli.flags import Flag
from clhyper.errors import require


def main(arguments: list[str]) -> int:
    """Serves the page until Ctrl-C."""
    folder, values = folder_and_flags(
        "serve",
        f"Serves the report of the runs in DIR (default {RESULTS}), which need not be there yet. The page asks for\n"
        "what is new every few seconds. Nothing is written.\n\nExamples:\n"
        f"  clhyper serve {RESULTS}\n  clhyper serve {RESULTS} --port 0",
        [
            Flag("port", int, 8000, "the port; 0 takes one that is free"),
            Flag("host", str, "127.0.0.1", "the address; with another than this one, other machines can read the page"),
        ],
        arguments,
    )
    require(0 <= values["port"] <= 65535, f"port {values['port']}: give a number from 0 to 65535")
    require(not folder.exists() or folder.is_dir(), f"results {folder}: is a file; give a folder of runs")
    from clhyper.figures.report.server import is_local, open_server

    server = open_server(folder, values["host"], values["port"])
    with server:
        server.results.begin()
        if not is_local(values["host"]):
            print(
                f"clhyper: {values['host']} lets every machine that reaches this one read these results",
                file=sys.stderr,
            )
        print(f"{server.url} (Ctrl-C stops)", flush=True)
        server.serve_forever()
    return 0
