import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on several threads wait for each other: on a busy machine twenty times as long.

    Before each test, since a command that runs in this process sets as many threads as there are cores; and after
    each, since fixtures of a module or of the session, which train too, begin before this one does for the next test.
    """
    import torch

    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache_of_images(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLHYPER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
