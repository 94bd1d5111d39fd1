"""Fronts of a study: planned from its file, trained once."""

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clhyper.errors import RunError, UserError, require, unknown
from clhyper.registry import find
from clhyper.runs.config import checked_options
from clhyper.runs.fronts import DEALING, Front
from clhyper.runs.study_file import NOT_OPTIONS, filled, known_options
from clhyper.runs.sweep import parse_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clhyper.runs.outcome import Note, Outcome, Progress
    from clhyper.runs.study import Planned, Study

_OF_FRONT = ("stream", "benchmark", "classes", "seed")


def plan_front(
    study: "Study",
    name: str,
    paths: Mapping[str, str],
    changes: Mapping[str, Any],
    device: str = "cpu",
    loading: str = "auto",
    engine: str = "auto",
    **run: Any,
) -> Front:
    """A front of the study. Options are the study's and the stream's where they say what its images and its backbone
    are, then the front's own, then the changes; its norm is that of the fronts of runs.

    Raises:
        UserError: a path that is missing, an unknown option, or a value that isn't right.
    """
    del run
    table, where = study.fronts[name], f"front {name} of study {study.name}"
    stream = study.streams[table["stream"]] if "stream" in table else {"benchmark": table["benchmark"]}
    of_stream = [option for option in known_options("benchmark", stream["benchmark"]) if option not in DEALING]
    of_training = [option for option in known_options("strategy", "joint") if option != "front_norm"]
    own = {option: value for option, value in table.items() if option not in _OF_FRONT}
    for option in own:
        require(
            option not in DEALING,
            f"{option} of {where}: all classes of a front are one experience; leave it out, classes says which",
        )
        if option not in (*of_stream, *of_training):
            raise unknown(f"option of {where}", option, (*of_stream, *of_training))
    theirs = study.options | {option: value for option, value in stream.items() if option not in NOT_OPTIONS}
    changed = {option: value for option, value in changes.items() if option not in ("norm", "front_norm")}
    changed |= {"norm": changes["front_norm"]} if "front_norm" in changes else {}
    options = {option: value for option, value in theirs.items() if option in of_stream} | own | changed
    values = {option: filled(where, study.data, value, paths) for option, value in options.items()}
    classes = parse_numbers(table["classes"], f"classes of {where}")
    require(len(classes) > 1, f"classes {table['classes']} of {where}: at least two are told apart")
    of_both = [
        checked_options(entry, {option: value for option, value in values.items() if option in known})
        for entry, known in (
            (find("benchmark", stream["benchmark"]), of_stream),
            (find("strategy", "joint"), of_training),
        )
    ]
    return Front(
        name,
        stream["benchmark"],
        tuple(classes),
        of_both[0],
        of_both[1] | {"front_norm": of_both[1]["norm"]},
        {option: value for option, value in options.items() if option in of_stream and values[option] != value},
        table.get("seed", 0),
        device,
        loading,
        engine,
    )


def fronts_of(planned: Iterable["Planned"]) -> list[Front]:
    """The fronts that planned runs take, each once."""
    return list({one.front.file: one.front for one in planned if one.front}.values())


@contextmanager
def named(front: Front) -> "Iterator[None]":
    """Says of what goes wrong within that it is the front's."""
    try:
        yield
    except (UserError, RunError) as error:
        raise type(error)(f"front {front.name}: {error}") from error.__cause__


def train_front(front: Front, results: "Path", report: "Callable[[Progress | Note], None] | None" = None) -> "Outcome":
    """Trains the front into the results, unless it is there; another process that does so is waited for.

    Raises:
        UserError: the file that is there is damaged or of other data, or none can be written.
        RunError: training diverged, or the file can no longer be written at its end.
    """
    from filelock import FileLock, Timeout

    from clhyper.backbones.tensor_file import from_bytes, read_bytes
    from clhyper.runs.outcome import Note, Outcome
    from clhyper.runs.pretrain import check_writable, pretrain, single_experience

    tell = report or (lambda message: None)
    path = front.path(results)
    with named(front):
        check_writable(path, "file", "another folder with --results")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(Note("another process is training it; waits for that"))
        lock.acquire()
    with lock, named(front):
        if path.is_file():
            try:
                notes = from_bytes(read_bytes(path, "file", "that of a front"), f"{path}")[1]
            except UserError as error:
                raise UserError(f"{error}; delete it and it is trained anew") from None
            stream = single_experience(front.benchmark, front.classes, front.benchmark_options)
            require(
                notes.get("data") == stream.images.fingerprint,
                f"{path} was trained on other data; move it and the runs that took it away to train it anew",
            )
            return Outcome("skipped", path)
        notes = pretrain(
            front.benchmark,
            path,
            classes=front.classes,
            benchmark_options=front.benchmark_options,
            training=front.training,
            seed=front.seed,
            device=front.device,
            loading=front.loading,  # type: ignore[arg-type]
            engine=front.engine,  # type: ignore[arg-type]
            report=tell,
        )
    return Outcome("complete", path, metrics={"acc": notes["accuracy"]})
