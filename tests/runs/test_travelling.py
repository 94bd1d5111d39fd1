"""Files of a run that travel between a node and the results."""

import pytest

from clhyper.errors import RunError
from clhyper.runs.files import write
from clhyper.runs.travelling import Changes, read_files, write_files


def test_only_what_has_changed_travels_and_what_is_gone_goes_there_too(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_files(here, {"config.toml": b"seed = 0", "failure.json": b"{}"})
    changes = Changes(here)
    assert changes.take() == {}
    write_files(there, read_files(here))
    write(here / "checkpoint.pt", b"state")
    write(here / "config.toml", b"seed = 0")  # the same again
    (here / "failure.json").unlink()
    (here / "lock").touch()
    taken = changes.take()
    assert taken == {"checkpoint.pt": b"state", "config.toml": b"seed = 0", "failure.json": None}
    write_files(there, taken)
    assert read_files(there) == {"checkpoint.pt": b"state", "config.toml": b"seed = 0"}
    assert changes.take() == {}


def test_what_goes_with_a_checkpoint_is_written_before_it(tmp_path):
    (tmp_path / "checkpoint.pt").mkdir()  # can't be replaced
    with pytest.raises(RunError, match="checkpoint"):
        write_files(tmp_path, {"checkpoint.pt": b"state", "experiences.jsonl": b"{}", "result.json": b"{}"})
    assert read_files(tmp_path) == {"experiences.jsonl": b"{}"}
