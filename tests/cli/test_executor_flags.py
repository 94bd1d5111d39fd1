"""Flags that say where a sweep runs: what belongs together, and what is said of what doesn't."""

import socket

import pytest
import torch

from clhyper.cli.executors import chosen_executor
from clhyper.runs.executors import LocalExecutor
from clhyper.runs.ray_executor import RayExecutor
from clhyper.runs.slurm_executor import SlurmExecutor

SWEEP = "sweep split-digits naive --device cpu"
NOTHING = {
    **dict.fromkeys(("jobs", "runs_per_device", "gpus", "threads", "address", "gpus_per_run", "retries", "collect")),
    "slurm": (),
}


@pytest.mark.parametrize(
    ("flags", "pieces"),
    [
        ("--gpus 0,1", ["--gpus 0,1 with --device cpu: give --device cuda, or leave one of them out"]),
        ("--executor ray --gpus all", ["--gpus has no meaning with --executor ray: Ray spreads runs"]),
        ("--executor rya", ["--executor", "'rya'", "ray"]),
        ("--address auto", ["--address has no meaning with --executor local", "it is for --executor ray"]),
        ("--gpus-per-run 0.5", ["--gpus-per-run has no meaning with --executor local"]),
        ("--retries 0", ["--retries has no meaning with --executor local"]),
        ("--slurm time=3", ["--slurm has no meaning with --executor local", "it is for --executor slurm"]),
        ("--executor ray --jobs 2", ["--jobs has no meaning with --executor ray", "--gpus-per-run"]),
        ("--executor ray --runs-per-device 2", ["--runs-per-device has no meaning", "--gpus-per-run 0.25"]),
        ("--executor ray --slurm time=3", ["--slurm has no meaning with --executor ray"]),
        ("--executor ray --threads 0", ["threads 0: at least 1"]),
        ("--executor ray --address localhost", ["address localhost: give auto", "HOST:PORT"]),
        ("--executor ray --address ray://head:10001", ["address ray://head:10001: give auto"]),
        ("--executor ray --retries -1", ["retries -1: at least 0"]),
        ("--executor ray --gpus-per-run 1.5", ["gpus_per_run 1.5: give a fraction such as 0.25, or a whole number"]),
        ("--executor ray --gpus-per-run 0.5", ["gpus_per_run 0.5: with device cpu there is none to share"]),
        ("--executor ray --gpus-per-run nan", ["gpus_per_run nan"]),
        ("--executor ray --gpus-per-run inf", ["gpus_per_run inf: give a fraction such as 0.25, or a whole number"]),
        ("--executor ray --collect sometimes", ["--collect", "'sometimes'"]),
        ("--executor slurm --jobs 2", ["--jobs has no meaning with --executor slurm", "array_parallelism"]),
        ("--executor slurm --slurm gpu", ["--slurm gpu: give NAME=VALUE"]),
        ("--executor slurm --slurm time=3 time=4", ["time is given twice"]),
        ("--executor slurm --slurm time_min=3 time-min=4", ["time_min is given twice"]),
        ("--executor slurm --slurm cluster=local partiton=cpu", ["unknown option of slurm 'partiton'", "'partition'?"]),
        ("--executor slurm --slurm cluster=pbs", ["slurm cluster=pbs: give slurm, or local"]),
    ],
)
def test_what_belongs_to_another_executor_or_is_none_is_refused_in_one_sentence(
    flags, pieces, call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*SWEEP.split(), *flags.split())
    assert code == 2, error
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    for piece in pieces:
        assert piece in error
    assert not list(tmp_path.iterdir())


def test_a_numbered_gpu_is_refused_where_ray_gives_each_run_its_own(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*["sweep", "split-digits", "naive", "--device", "cuda:1", "--executor", "ray"])
    assert (code, error) == (2, "clhyper: device cuda:1: Ray gives each run its GPU; give cuda\n")


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="there are several GPUs")
def test_gpus_that_are_not_there_are_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*["sweep", "split-digits", "naive", "--device", "cuda", "--gpus", "0-1"])
    assert code == 2
    assert error.startswith(("clhyper: gpus 0-1: there are 0 GPUs here", "clhyper: gpus 0-1: there is 1 GPU here"))


def test_an_address_where_no_cluster_is_is_said_at_once(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and doesn't listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, error = call(*SWEEP.split(), "--executor", "ray", "--address", address)
    assert code == 2
    assert error.startswith(f"clhyper: address {address}: no Ray cluster answers (connection refused); start one")
    assert error.count("\n") == 1


def test_each_executor_gets_its_options_and_runs_elsewhere_take_one_thread():
    chosen = chosen_executor({**NOTHING, "executor": "local", "jobs": 3, "threads": 2}, "cpu")
    assert chosen == (LocalExecutor(3, 1), 2, "3 at once")
    given = {"executor": "ray", "address": "head:6379", "gpus_per_run": 0.25, "retries": 0, "collect": "always"}
    chosen = chosen_executor(NOTHING | given, "cuda")
    assert chosen[:2] == (RayExecutor("head:6379", 0.25, 0, "always"), 1)
    slurm = ("partition=gpu", "account=00123", "time=60", "mem-per-cpu=2G", "time_min=1-00:00:00")
    chosen = chosen_executor({**NOTHING, "executor": "slurm", "slurm": slurm, "threads": 4}, "cuda")
    options = {"partition": "gpu", "account": "00123", "time": 60, "mem_per_cpu": "2G", "time_min": "1-00:00:00"}
    assert chosen == (SlurmExecutor(options), 4, "a job each")


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_package_that_is_not_installed_is_said_with_how_to_install_it(name, call, monkeypatch):
    from importlib.util import find_spec

    missing = {"ray": "ray", "slurm": "submitit"}[name]
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package == missing else find_spec(package))
    code, _, error = call(*SWEEP.split(), "--executor", name, "--dry-run")
    assert code == 2
    assert error == f'clhyper: executor {name} needs {missing}: pip install "clhyper[{name}]"\n'


def test_a_dry_run_says_where_and_starts_nothing(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(*SWEEP.split(), "--executor", "ray", "--seeds", "2", "--dry-run")
    assert code == 0
    assert "2 runs, as many at once as the cluster holds, 1 CPU threads each, on cpu" in out
    assert not list(tmp_path.iterdir())
