"""What is removed of killed sweeps, and what isn't."""

import socket
import subprocess
import sys

from clhyper.runs.ray_leftovers import RUN, SWEEP, clear_away, prefix


def test_what_a_dead_process_of_this_host_left_goes_and_all_else_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    gone = tmp_path / f"{RUN}{host}-{dead.pid}-abc"
    (gone / "run").mkdir(parents=True)
    (gone / "run" / "checkpoint.pt").touch()
    token = tmp_path / f"{SWEEP}{host}-{dead.pid}-abc"
    token.touch()
    kept = {f"{prefix(RUN)}abc", f"{RUN}{host}x-{dead.pid}-abc", f"{RUN}{host}-mine", f"{SWEEP}{host}-1-abc", "a_run"}
    for name in kept:
        (tmp_path / name).mkdir()
    clear_away(tmp_path, SWEEP)
    assert not token.exists()
    assert gone.exists()
    clear_away(tmp_path, RUN)
    assert {path.name for path in tmp_path.iterdir()} == kept
