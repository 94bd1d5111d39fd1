"""Fronts of a study: planned from its file, checked against the runs that take them, trained once."""

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require, unknown
from clhyper.registry import find
from clhyper.runs.config import RunConfig, checked_options
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


def check_fronts(planned: Iterable["Planned"]) -> None:
    """Reads the streams of fronts and of the runs that take them, and sees that they fit each other.

    Raises:
        UserError: data that can't be read, classes that there aren't or that a run's stream has too, or a front of
            another backbone, image shape or norm than a run takes.
    """
    from clhyper.runs.pretrain import single_experience

    planned = [one for one in planned if one.front]
    for front in fronts_of(planned):
        with _named(front):
            trained = single_experience(front.benchmark, front.classes, front.benchmark_options)
        different = {_what_must_fit(one.config): one for one in planned if one.front and one.front.file == front.file}
        for one in different.values():
            stream = find("benchmark", one.config.benchmark).load()(**one.config.benchmark_options)
            _check_classes(front, trained, one, stream)
            _check_stages(front, trained, one, stream)


def _what_must_fit(config: RunConfig) -> tuple[str, ...]:
    options = config.strategy_options
    return (config.benchmark, str(config.benchmark_options), str(options["freeze_depth"]), options["front_norm"])


@contextmanager
def _named(front: Front) -> "Iterator[None]":
    try:
        yield
    except UserError as error:
        raise UserError(f"front {front.name}: {error}") from None


def _check_classes(front: Front, trained: Any, one: "Planned", stream: Any) -> None:
    """Raises `UserError` if the front is trained on classes of the run's stream."""
    lie = [(front.benchmark, front.benchmark_options), (one.config.benchmark, one.config.benchmark_options)]
    places = [(benchmark, str(options.get("data"))) for benchmark, options in lie]
    same = trained.images.fingerprint == stream.images.fingerprint or places[0] == places[1]
    used = {label for experience in stream.train_stream for label in experience.original_classes} if same else set()
    shared = sorted(used & {*front.classes})
    require(
        not shared,
        f"front {front.name}: its classes and those of stream {one.stream} have {', '.join(map(str, shared))} in"
        " common; give the front others, or the stream a class_order without them",
    )


def _check_stages(front: Front, trained: Any, one: "Planned", stream: Any) -> None:
    """Raises `UserError` if the front's first stages aren't those of the run's."""
    from clhyper.backbones import split

    norm = one.config.strategy_options["front_norm"]
    require(
        front.training["norm"] == norm,
        f"front {front.name}: has {front.training['norm']} norm, and runs on stream {one.stream} take {norm} norm; give"
        f" the front norm = {norm!r}",
    )
    depth = one.config.strategy_options["freeze_depth"]
    (given, _), (wanted, _) = (split(side.backbone(), depth) for side in (trained, stream))
    shapes = [{name: tuple(value.shape) for name, value in part.state_dict().items()} for part in (given, wanted)]
    kinds = [
        f"{side.options.backbone} for images of {'x'.join(map(str, side.image_shape))}" for side in (trained, stream)
    ]
    require(
        shapes[0] == shapes[1],
        f"front {front.name}: is one of {kinds[0]}, and runs on stream {one.stream} take one of {kinds[1]}; give both"
        " the same backbone and image_size",
    )


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
    if not path.is_file():
        check_writable(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(Note("another process is training it; waits for that"))
        lock.acquire()
    with lock, _named(front):
        if path.is_file():
            notes = from_bytes(read_bytes(path, "file", "that of a front"), f"{path}")[1]
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
