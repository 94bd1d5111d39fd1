"""Sweeps on a Ray cluster of several nodes on this machine, which lose workers and nodes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from small_sweeps import (
    STREAM,
    TRAINING,
    assert_same_numbers,
    at_work_on,
    finished_records,
    longer_plan,
    numbers,
    small_plan,
    small_words,
    wait_until,
)

from clhyper.errors import UserError
from clhyper.runs import plan
from clhyper.runs.executors import executor
from clhyper.runs.outcome import Note, Outcome, Progress
from clhyper.runs.pretrain import pretrain
from clhyper.runs.ray_executor import RayExecutor
from clhyper.runs.run import run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(cache_of_images):
    """A cluster of two nodes that each hold one run; this process is connected."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.update({"RAY_worker_niceness": "0"})  # else all other work of the machine goes before the runs
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


class Story:
    """Notes what is reported, and does something once, when a run has told of its second experience."""

    def __init__(self, deed=lambda: None, strategies=("naive",)) -> None:
        self.deed, self.awaited, self.done = deed, set(strategies), False
        self.notes, self.ended = [], {}

    def __call__(self, config, message):
        if isinstance(message, Note):
            self.notes.append(message.text)
        elif isinstance(message, Outcome):
            self.ended[config.strategy] = message.status
        elif message.experience >= 2 and not self.done:
            self.awaited.discard(config.strategy)
            if not self.awaited:
                self.done = True
                return self.deed()
        return None


def processes_of(cluster, name: str) -> list[psutil.Process]:
    """Living processes of this cluster, of all that the machine may have, that Ray gave the name."""
    found = []
    for process in [process for node in cluster.list_all_nodes() for process in workers_of(node)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[:1] == [name]:
                found.append(process)
    return found


def workers_of(node) -> list[psutil.Process]:
    return psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)


def holds(process: psutil.Process, config, results: Path) -> bool:
    """Whether the process is at work on the run, which may have ended since it told."""
    try:
        return at_work_on(config.strategy, results).pid == process.pid
    except (ValueError, psutil.NoSuchProcess):
        return False


def test_a_killed_worker_costs_a_retry_and_the_numbers_are_those_of_runs_here(cluster, archive, longer, tmp_path):
    story = Story(lambda: at_work_on("naive", tmp_path).kill())
    configs = longer_plan(archive, ["naive", "latent-replay"])
    executor("ray").execute(configs, tmp_path, story)
    assert story.ended == {"naive": "complete", "latent-replay": "complete"}
    assert story.notes == ["its worker died; it goes on from its last finished experience (retry 1 of 3)"]
    assert_same_numbers(tmp_path, {config.name: longer[config.name] for config in configs})
    assert not [path for path in tmp_path.iterdir() if path.is_file()], "nothing but runs is left"


def test_what_a_removed_node_had_goes_on_on_another(cluster, archive, longer, tmp_path):
    cluster.add_node(num_cpus=1)
    story, removed = Story(), []

    def report(config, message):
        story(config, message)
        if isinstance(message, Progress) and message.experience >= 2 and not removed:
            for node in cluster.worker_nodes:  # the head stays
                if any(holds(process, config, tmp_path) for process in workers_of(node)):
                    removed.append(node)
                    cluster.remove_node(node, allow_graceful=False)
                    break

    executor("ray").execute(longer_plan(archive), tmp_path, report)
    assert set(story.ended.values()) == {"complete"}
    assert story.notes == ["its node died; it goes on from its last finished experience (retry 1 of 3)"]
    assert_same_numbers(tmp_path, longer)


def test_results_that_nodes_do_not_see_come_back_after_each_experience(cluster, archive, longer, tmp_path):
    """Under /proc/self each process has a file system of its own; a killed worker's run takes its checkpoint along."""
    finished = {}

    def kill():
        finished.update(finished_records(tmp_path / "r"))
        processes_of(cluster, "ray::work")[0].kill()

    door = os.open(tmp_path, os.O_RDONLY)
    configs = longer_plan(archive, ["naive", "latent-replay"])
    story = Story(kill, ("naive", "latent-replay"))
    try:
        executor("ray").execute(configs, Path(f"/proc/self/fd/{door}/r"), story)
    finally:
        os.close(door)
    assert set(story.ended.values()) == {"complete"}
    assert story.notes == ["its worker died; it goes on from its last finished experience (retry 1 of 3)"]
    assert len(finished) >= 2
    for name, records in finished.items():
        assert finished_records(tmp_path / "r")[name][: len(records)] == records, "trained again"
    assert_same_numbers(tmp_path / "r", {config.name: longer[config.name] for config in configs})


def test_a_killed_post_costs_neither_a_run_nor_an_experience_nor_the_word_to_stop(cluster, archive, longer, tmp_path):
    def kill():
        (post,) = processes_of(cluster, "ray::Post")
        post.kill()
        return True  # which stops the run that told last

    story = Story(kill, ("naive", "latent-replay"))
    configs = longer_plan(archive, ["naive", "latent-replay"])
    outcomes = executor("ray", collect="always").execute(configs, tmp_path, story)
    assert sorted(story.ended.values()) == ["complete", "stopped"]
    assert story.notes == []
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    (complete,) = [name for name, outcome in outcomes.items() if outcome.status == "complete"]
    (stopped,) = [name for name, outcome in outcomes.items() if outcome.status == "stopped"]
    assert 1 <= len(finished_records(tmp_path)[stopped]) < 4
    shutil.rmtree(tmp_path / stopped)
    assert_same_numbers(tmp_path, {complete: longer[complete]})


def test_collected_runs_are_skipped_when_complete_and_left_alone_when_busy(cluster, archive, uninterrupted, tmp_path):
    from clhyper.runs.folder import RunFolder

    configs = small_plan(archive, ["naive", "ewc"])
    collecting = executor("ray", collect="always")
    with RunFolder(tmp_path, configs[1]).held():
        story = Story()
        collecting.execute(configs, tmp_path, story)
    assert story.ended == {"naive": "complete", "ewc": "busy"}
    story = Story()
    outcomes = collecting.execute(configs, tmp_path, story)
    assert story.ended == {"naive": "skipped", "ewc": "complete"}
    assert {outcome.folder.parent for outcome in outcomes.values()} == {tmp_path}
    assert_same_numbers(tmp_path, {config.name: uninterrupted[config.name] for config in configs})


def test_the_front_of_a_study_travels_to_where_results_are_not_seen(cluster, archive, tmp_path):
    front, results = Path("{results}", "fronts", "upper-01234567.safetensors"), tmp_path / "r"
    stream = {"data": archive, **STREAM}
    path = results / "fronts" / front.name
    path.parent.mkdir(parents=True)
    pretrain("split-npz", path, classes=range(4, 8), benchmark_options=stream, training={"epochs": 1})
    stream |= {"class_order": (0, 1, 2, 3), "experiences": 2}
    training = {**TRAINING, "front": front}
    (config,) = plan("split-npz", ["naive"], depths=[1], benchmark_options=stream, strategy_options=training)
    story = Story()
    executor("ray", collect="always").execute([config], results, story)
    assert story.ended == {"naive": "complete"}
    found = numbers(results / config.name)
    shutil.rmtree(results / config.name)
    run(config, results)
    assert numbers(results / config.name) == found


def test_a_run_stops_when_its_report_says_so_and_an_iterator_is_drawn_from_as_runs_end(cluster, archive, tmp_path):
    story, at_draw = Story(lambda: True), []

    def draw():
        for config in [*longer_plan(archive, ["naive"]), *small_plan(archive, ["latent-replay", "ewc"])]:
            at_draw.append(len(story.ended))
            yield config

    executor("ray").execute(draw(), tmp_path, story)
    assert story.ended == {"naive": "stopped", "latent-replay": "complete", "ewc": "complete"}
    assert at_draw == [0, 0, 1]
    stopped = next(name for name in finished_records(tmp_path) if "_naive_" in name)
    assert 1 <= len(finished_records(tmp_path)[stopped]) < 4
    assert not (tmp_path / stopped / "failure.json").exists()


def test_bad_input_is_found_before_a_run_starts_and_never_retried(cluster, archive, tmp_path):
    bad = small_plan(tmp_path / "none.npz", ["naive"])
    with pytest.raises(UserError, match=r"none\.npz"):
        executor("ray").execute([*small_plan(archive, ["naive"]), *bad], tmp_path / "r", Story())
    assert not (tmp_path / "r").exists()
    story = Story()
    (outcome,) = RayExecutor(cluster.address).execute(iter(bad), tmp_path / "r", story).values()
    assert (outcome.status, outcome.misuse, story.notes) == ("failed", True, [])
    assert "none.npz" in outcome.reason
    assert outcome.reason.endswith(f"(on node {os.uname().nodename})")


def test_a_run_whose_workers_die_too_often_fails_and_goes_on_later(cluster, archive, longer, tmp_path):
    (config,) = longer_plan(archive, ["naive"])
    story = Story(lambda: at_work_on("naive", tmp_path).kill())
    (outcome,) = executor("ray", retries=0).execute([config], tmp_path, story).values()
    assert outcome.status == "failed"
    assert outcome.reason == "its worker died; started again, it goes on from its last finished experience"
    finished = finished_records(tmp_path)[config.name]
    executor("ray").execute([config], tmp_path, Story())
    assert finished_records(tmp_path)[config.name][: len(finished)] == finished
    assert_same_numbers(tmp_path, {config.name: longer[config.name]})


def test_ctrl_c_ends_a_ray_of_its_own_with_one_sentence_and_leaves_nothing_behind(archive, tmp_path):
    words = [*small_words(archive, tmp_path / "r", ["naive"], epochs=200), "--executor", "ray"]
    command = [sys.executable, "-m", "clhyper.cli.main", *words]
    home = tmp_path / "home"
    home.mkdir()
    tokens = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    environment = {name: value for name, value in os.environ.items() if name not in tokens} | {"HOME": str(home)}
    output, how = subprocess.PIPE, {"start_new_session": True, "env": environment, "text": True}
    sweep = subprocess.Popen(command, stderr=output, stdout=output, **how)
    wait_until(lambda: list(tmp_path.glob("r/*/checkpoint.pt")), "an experience is finished", 120)
    started = psutil.Process(sweep.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in started)
    os.killpg(sweep.pid, signal.SIGINT)
    output, error = sweep.communicate(timeout=90)
    assert sweep.returncode == 130, error
    assert error.strip() == "clhyper: stopped; the same command goes on from the last finished experiences"
    assert "ray" not in output.lower()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive
    assert not (home / ".ray").exists(), "a token would make later clusters ask for it"
    assert finished_records(tmp_path / "r")
    assert not [path for path in (tmp_path / "r").iterdir() if path.is_file()]
