"""Runs as jobs, with submitit's executor of this machine in the place of Slurm."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from small_sweeps import (
    assert_same_numbers,
    at_work_on,
    finished_records,
    longer_plan,
    small_plan,
    small_words,
    wait_until,
)

from clhyper.errors import UserError
from clhyper.runs import load
from clhyper.runs.executors import executor
from clhyper.runs.outcome import Progress
from clhyper.runs.slurm_executor import JOBS, SlurmExecutor, SlurmRun

cluster = pytest.mark.cluster


@cluster
def test_jobs_give_the_numbers_of_runs_here_and_a_killed_one_fails_its_run_alone_and_goes_on(archive, longer, tmp_path):
    told, killed = [], []

    def report(config, message):
        told.append(message)
        if config.strategy == "naive" and isinstance(message, Progress) and not killed:
            killed.append(message)
            at_work_on("naive", tmp_path).kill()

    configs = longer_plan(archive, ["naive", "latent-replay"])
    outcomes = executor("slurm", options={"cluster": "local"}).execute(configs, tmp_path, report)
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "complete"]
    reason = outcomes[configs[0].name].reason
    assert "ended without a result" in reason
    assert Path(reason.partition("see ")[2].partition(";")[0]).is_file()
    assert any(isinstance(message, Progress) and message.experiences == 4 for message in told)
    finished = finished_records(tmp_path)[configs[0].name]
    again = SlurmExecutor({"cluster": "local", "array_parallelism": 1}).execute(iter(configs), tmp_path, report)
    assert sorted(outcome.status for outcome in again.values()) == ["complete", "skipped"]
    assert finished_records(tmp_path)[configs[0].name][: len(finished)] == finished
    shutil.rmtree(tmp_path / JOBS)
    assert_same_numbers(tmp_path, {config.name: longer[config.name] for config in configs})


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs(archive, tmp_path):
    words = [*small_words(archive, tmp_path / "r", ["naive"], epochs=200), "--executor", "slurm"]
    command = [sys.executable, "-m", "clhyper.cli.main", *words, "--slurm", "cluster=local"]
    sweep = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: list(tmp_path.glob("r/*/checkpoint.pt")), "an experience is finished", 120)
    sweep.send_signal(signal.SIGINT)
    output, error = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, error
    assert "1 jobs of this sweep are cancelled" in output
    assert error.endswith("clhyper: stopped; the same command goes on from the last finished experiences\n")
    assert not (tmp_path / "r" / JOBS).exists()
    (folder,) = tmp_path.glob("r/*")
    with FileLock(folder / "lock", timeout=20):
        assert not (folder / "result.json").exists()
    assert finished_records(tmp_path / "r")


def test_a_job_that_slurm_puts_back_goes_on_and_writes_no_failure(archive, uninterrupted, tmp_path, monkeypatch):
    (config,) = small_plan(archive, ["naive"])
    (tmp_path / JOBS).mkdir()
    job = SlurmRun(config, tmp_path)
    from clhyper.runs import files, folder

    def write_and_preempt(path, content):
        files.write(path, content)
        if path.name == "checkpoint.pt":
            waiting.append(job.checkpoint())
            raise SystemExit(-1)  # what submitit's handler of the signal does

    waiting: list = []
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", write_and_preempt)
        with pytest.raises(SystemExit):
            job()
    assert len(finished_records(tmp_path)[config.name]) == 1
    assert not (tmp_path / config.name / "failure.json").exists()
    assert waiting[0].function().status == "complete"
    (tmp_path / JOBS).rmdir()
    assert_same_numbers(tmp_path, {config.name: uninterrupted[config.name]})


def test_a_node_that_does_not_see_the_results_says_so(archive, tmp_path):
    (config,) = small_plan(archive, ["naive"])
    outcome = SlurmRun(config, tmp_path / "elsewhere")()
    assert outcome.misuse
    assert "doesn't see them; slurm needs a file system that all nodes share" in outcome.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cluster": "pbs"}, "slurm cluster=pbs: give slurm, or local"),
        ({"array_parallelism": "many"}, "slurm array_parallelism=many: give a number"),
    ],
)
def test_options_that_are_none_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        SlurmExecutor(options)


def test_an_unknown_option_of_slurm_is_refused_with_the_nearest_before_there_is_a_folder(archive, tmp_path):
    chosen = SlurmExecutor({"cluster": "local", "partitoin": "gpu"})
    with pytest.raises(UserError, match=r"^unknown option of slurm 'partitoin': did you mean 'partition'\?$"):
        chosen.execute(small_plan(archive, ["naive"]), tmp_path / "r", lambda config, message: None)
    assert not (tmp_path / "r").exists()


def test_without_slurm_on_the_machine_it_is_said(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="no Slurm on this machine"):
        SlurmExecutor().execute(small_plan(archive, ["naive"]), tmp_path / "r", lambda config, message: None)


def test_jobs_files_are_no_runs(archive, uninterrupted, tmp_path):
    (config,) = small_plan(archive, ["naive"])
    (tmp_path / JOBS).mkdir()
    assert SlurmRun(config, tmp_path)().status == "complete"
    assert load(tmp_path).attrs["unread"] == {}
