"""The connection to a Ray cluster, and what the cluster can hold."""

import contextlib
import importlib
import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require

_ADDRESS = re.compile(r"auto|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
_SECONDS_TO_ANSWER = 10.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do anyway some day, and warns of until then
}


def check_address(address: str | None) -> None:
    """Raises `UserError` for what is no address of a cluster."""
    require(
        address is None or _ADDRESS.fullmatch(address) is not None,
        f"address {address}: give auto, for the cluster that this machine belongs to, or its HOST:PORT as ray start"
        " --head prints it",
    )


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Inside, this process is connected to a cluster: its present one, that of `address`, or one of its own.

    Raises:
        UserError: no cluster answers there, or it wants a token.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    from ray._private import worker as ray_worker

    ray_worker._worker_logs_enabled = False  # a line of its own for each dead worker, in the midst of the display
    _knock(address)
    _choose_token(address)
    own: dict[str, Any] = {} if address else {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False}
    with _stderr_apart() as said:
        try:
            ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **own)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            ray.shutdown()
            if address is None:
                raise
            if "AuthToken" in said() or "Authentication" in type(error).__name__:
                raise UserError(
                    f"address {address}: the cluster asks for a token, and the one of this machine is missing or"
                    " another; copy ~/.ray/auth_token of the cluster's head here, or give it in RAY_AUTH_TOKEN"
                ) from None
            raise _no_answer(address, str(error).partition(". ")[0]) from None
    try:
        yield
    finally:
        ray.shutdown()


def _choose_token(address: str | None) -> None:
    """For a HOST:PORT Ray uses no token, even where one is; for a Ray of its own it would leave one in the home, after
    which every cluster that is started asks for it."""
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    there = bool(given) or Path(os.path.expanduser("~/.ray/auth_token")).is_file()
    if there and address:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        with contextlib.suppress(ImportError, AttributeError):  # of a Ray that was imported before, or has no tokens
            ray_raylet: Any = importlib.import_module("ray._raylet")
            ray_raylet.Config.initialize("")
    elif not address and not there:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _stderr_apart() -> Iterator[Callable[[], str]]:
    """Inside, what Ray's C++ writes to standard error goes to a file, whose text it gives."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _knock(address: str | None) -> None:
    """Raises `UserError` if nothing listens there, for which Ray itself takes minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, getattr(error, "strerror", None) or str(error)) from None


def _no_answer(address: str | None, said: str) -> UserError:
    return UserError(
        f"address {address}: no Ray cluster answers ({said.lower()}); start one with ray start --head, or leave"
        " --address out for a Ray of this machine alone"
    )


def room(threads: int, gpus: float) -> list[int]:
    """How many runs of so many CPU threads and GPUs each node can hold at once."""
    import ray

    found = []
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        runs = int(resources.get("CPU", 0) / threads)
        if gpus >= 1:
            runs = min(runs, int(resources.get("GPU", 0) // gpus))
        elif gpus:
            runs = min(runs, int(resources.get("GPU", 0)) * int(1 / gpus))
        found.append(runs)
    return found
