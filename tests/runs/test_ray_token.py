"""A cluster that asks for a token, as Ray starts one where the user's home has one."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from small_sweeps import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

_CONNECT = """
import sys
from clhyper.errors import UserError
from clhyper.runs.ray_cluster import connected
try:
    with connected(sys.argv[1]):
        import ray
        print(len(ray.nodes()), "node")
except UserError as error:
    print(error)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    return tmp_path


@pytest.fixture
def address(home, tmp_path_factory):
    """A head that runs on its own, to be ended without `ray stop`, which would end every Ray of the machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    words += [f"--temp-dir={tmp_path_factory.mktemp('ray')}", "--disable-usage-stats"]
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *words]
    log = (home / "head.log").open("w+")
    head = subprocess.Popen(command, env=environment(home), stdout=log, stderr=log, start_new_session=True)
    wait_until(lambda: head.poll() is not None or "Ray runtime started" in (home / "head.log").read_text(), "it is up")
    assert head.poll() is None, (home / "head.log").read_text()
    started = psutil.Process(head.pid).children(recursive=True)
    yield f"127.0.0.1:{port}"
    head.send_signal(signal.SIGTERM)
    head.wait(60)
    _, alive = psutil.wait_procs(started, timeout=10)
    for process in alive:
        process.kill()
    log.close()


def environment(home, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "HOME": str(home), **variables}


def test_its_token_is_used_for_an_address_and_a_wrong_one_is_said_in_one_sentence(address, home):
    command = [sys.executable, "-c", _CONNECT, address]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    right = subprocess.Popen(command, env=environment(home), **how)
    wrong = subprocess.Popen(command, env=environment(home, RAY_AUTH_TOKEN="f" * 64), **how)
    assert right.communicate(timeout=90) == ("1 node\n", "")
    said, lines = wrong.communicate(timeout=90)
    assert said.startswith(f"address {address}: the cluster asks for a token, and the one of this machine is missing")
    assert (said.count("\n"), lines) == (1, "")
