import pytest

from clhyper.data import memory


@pytest.fixture
def free(monkeypatch):
    """Says how many bytes are free."""

    def say(count):
        monkeypatch.setattr(memory, "free_bytes", lambda device: count)

    return say
