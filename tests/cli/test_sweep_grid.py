"""Which runs a sweep consists of, as --dry-run tells."""

import pytest


def dry(call, *words) -> list[list[str]]:
    """Strategy, depth (if any) and seed of each run."""
    code, out, error = call("sweep", "split-digits", *words, "--dry-run", "--device", "cpu")
    assert code == 0, error
    return [line.split("_")[1:-1] for line in out.splitlines()[:-1]]


def test_a_dry_run_prints_the_runs_and_writes_nothing(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "sweep split-digits naive joint --seeds 2 --jobs 3 --threads 2 --device cpu --dry-run --results here/there"
    code, out, error = call(*words.split())
    assert (code, error) == (0, "")
    *runs, summary = out.splitlines()
    assert [run.split("_")[:-1] for run in runs] == [
        ["split-digits", "naive", "depth-0", "seed-0"],
        ["split-digits", "joint", "seed-0"],
        ["split-digits", "naive", "depth-0", "seed-1"],
        ["split-digits", "joint", "seed-1"],
    ]
    assert summary == "4 runs, 3 at once, 2 CPU threads each, on cpu"
    assert list(tmp_path.iterdir()) == []


def test_depth_zero_of_a_partial_hypernetwork_is_the_full_hypernetwork_and_run_once(call):
    found = dry(call, "partial-hypernetwork", "full-hypernetwork", "--freeze-depth", "0-2")
    assert found == [
        ["full-hypernetwork", "seed-0"],
        ["partial-hypernetwork", "depth-1", "seed-0"],
        ["partial-hypernetwork", "depth-2", "seed-0"],
    ]


def test_depth_zero_of_latent_replay_is_replay_and_run_once(call):
    found = dry(call, "replay", "latent-replay", "--freeze-depth", "0,3", "--buffer-size", "50")
    assert found == [["replay", "seed-0"], ["latent-replay", "depth-3", "seed-0"]]


def test_strategies_without_depth_run_once_a_seed(call):
    found = dry(call, "joint", "naive", "--freeze-depth", "1-2", "--seeds", "7,9")
    assert found == [
        ["joint", "seed-7"],
        ["naive", "depth-1", "seed-7"],
        ["naive", "depth-2", "seed-7"],
        ["joint", "seed-9"],
        ["naive", "depth-1", "seed-9"],
        ["naive", "depth-2", "seed-9"],
    ]


def test_a_strategy_named_twice_runs_once(call):
    assert dry(call, "naive", "naive", "--freeze-depth", "1,1", "--seeds", "3,3") == [["naive", "depth-1", "seed-3"]]


@pytest.mark.parametrize(
    ("jobs", "threads", "summary"),
    [
        (["--jobs", "5"], ["--threads", "3"], "5 at once, 3 CPU threads each"),
        (["--jobs", "1000"], [], "1000 at once, 1 CPU threads each"),
        (["--runs-per-device", "500"], [], "500 at once, 1 CPU threads each"),
        (["--jobs", "3", "--runs-per-device", "4"], ["--threads", "2"], "3 x 4 at once, 2 CPU threads each"),
        (["--runs-per-device", "auto"], ["--threads", "500"], "as many at once as memory and throughput allow"),
    ],
)
def test_jobs_and_threads_are_as_given_and_threads_never_none(jobs, threads, summary, call):
    code, out, _ = call("sweep", "split-digits", "naive", *jobs, *threads, "--dry-run", "--device", "cpu")
    assert code == 0
    assert summary in out.splitlines()[-1]


@pytest.mark.parametrize("number", ["0", "-2", "1.5", "several", "99999"])
def test_a_bad_number_of_runs_side_by_side_is_said_in_a_sentence(number, call):
    code, out, error = call("sweep", "split-digits", "naive", f"--runs-per-device={number}", "--dry-run")
    assert (code, out) == (2, "")
    assert error == f"clhyper: runs_per_device {number}: give a number from 1 to 9999, or auto\n"


def test_one_run_a_process_is_the_default_on_a_gpu_too(call):
    words = ["sweep", "split-digits", "naive", "--device", "cuda", "--dry-run"]
    assert "1 runs, 1 at once, " in call(*words)[1]
    assert "1 runs, as many at once as memory and throughput allow, " in call(*words, "--runs-per-device", "auto")[1]
