import functools
import http.server
import threading

import pytest


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CLHYPER_CACHE", str(folder))
    return folder


@pytest.fixture
def datasets():
    return pytest.importorskip("torchvision").datasets


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the folder `served`."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(QuietHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
