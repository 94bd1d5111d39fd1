"""The server of the live page: one page, its content with a tag, and nothing for anybody else."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from report_runs import write_run

from clhyper.cli.main import main
from clhyper.errors import UserError
from clhyper.figures.report.server import open_server


@pytest.fixture
def folder(tmp_path):
    results = tmp_path / "runs"
    write_run(results, "naive")
    return results


@pytest.fixture
def server(folder):
    with open_server(folder, "127.0.0.1", 0) as one:
        one.results.rest = 0
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_page_allows_itself_and_its_server_only(server):
    answer, body = ask(server, "/")
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert b"<title>" in body


def test_content_comes_again_only_when_it_is_another(server, folder):
    answer, body = ask(server, "/data")
    assert len(json.loads(body)["runs"]["name"]) == 1
    tag = answer.headers["ETag"]
    assert ask(server, "/data", If_None_Match=tag)[0].status == 304
    write_run(folder, "naive", seed=1)
    answer, body = ask(server, "/data", If_None_Match=tag)
    assert answer.status == 200
    assert answer.headers["ETag"] != tag
    assert len(json.loads(body)["runs"]["name"]) == 2
    (folder / "note.txt").write_text("changes nothing that is shown")
    assert ask(server, "/data", If_None_Match=answer.headers["ETag"])[0].status == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_get_and_head_is_answered(server, method):
    answer, _ = ask(server, "/data", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", ""])
def test_a_page_under_another_name_gets_nothing(server, host):
    for path in ("/", "/data"):
        answer, body = ask(server, path, Host=host)
        assert answer.status == 403
        assert b"runs" not in body


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "LOCALHOST"])
def test_its_own_names_are_answered(server, host):
    assert ask(server, "/data", Host=host)[0].status == 200


@pytest.mark.parametrize("path", ["/", "/data"])
def test_head_is_answered_as_get_is_but_for_the_body(server, path):
    answer, body = ask(server, path, "HEAD")
    expected, whole = ask(server, path)
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Length"] == expected.headers["Content-Length"] == str(len(whole))


def test_what_goes_wrong_unexpectedly_is_answered_and_told_once_in_the_terminal(server, monkeypatch, capsys):
    def fail(*_):
        raise ZeroDivisionError("of all\nthings")

    monkeypatch.setattr("clhyper.figures.report.live.read_or_wait", fail)
    for path in ("/", "/data", "/data"):
        answer, body = ask(server, path)
        assert answer.status == 500
        assert body == b"These results can't be shown, unexpectedly (ZeroDivisionError: of all).\n"
    error = capsys.readouterr().err
    assert error == "clhyper: these results can't be shown, unexpectedly (ZeroDivisionError: of all)\n"
    monkeypatch.undo()
    assert ask(server, "/data")[0].status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_to_others_it_is_known_by_the_machines_names_and_printed_with_its_address(folder, host):
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        server = open_server(folder, host, 0)
    except UserError:
        pytest.skip(f"{host} can't be listened at here")
    with server:
        name = socket.gethostname()
        for one in (name, f"{name.upper()}:80", f"{socket.getfqdn(name)}.", f"{name}.local", "localhost."):
            assert server.is_named(one)
        assert not server.is_named(f"{name}.evil.example")
        assert "//0.0.0.0:" not in server.url
        assert "//[::]:" not in server.url


def test_alone_it_is_not_known_by_the_machines_names(server):
    assert server.is_named("localhost.")
    assert not server.is_named(f"{socket.gethostname()}.local")


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/runs", "/data/"])
def test_there_is_nothing_else(server, path):
    assert ask(server, path)[0].status == 404


def test_no_folder_yet_is_waited_for(tmp_path):
    later = tmp_path / "later"
    with open_server(later, "127.0.0.1", 0) as server:
        server.results.rest = 0
        assert "no such folder" in json.loads(server.results.now()[0])["waiting"]
        write_run(later, "naive")
        assert json.loads(server.results.now()[0])["waiting"] == ""


def test_a_port_in_use_is_told_in_a_sentence(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}: can't be listened at .*--port 0"):
            open_server(folder, "127.0.0.1", port)


def test_bad_input_is_one_sentence(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    for words, part in (
        (["serve", str(tmp_path), "--port", "70000"], "port 70000: give a number from 0 to 65535"),
        (["serve", str(file)], "is a file; give a folder of runs"),
        (["serve", str(tmp_path), "--host", "no.such.host.invalid", "--port", "0"], "can't be listened at"),
        (["report", str(tmp_path / "nowhere")], "no such folder"),
        (["report", str(tmp_path)], "no runs in this folder"),
        (["report", str(tmp_path), "-o", str(tmp_path)], "is a folder; give a file such as"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert part in error
        assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_prints_where_the_page_is_and_ends_by_ctrl_c(folder):
    words = [sys.executable, "-m", "clhyper.cli.main", "serve", str(folder), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip() == "clhyper: stopped"
