"""The report, live: a server of one page and its content, which it reads anew when files have changed."""

import gzip
import hashlib
import ipaddress
import os
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clhyper.errors import UserError
from clhyper.figures.report.content import content
from clhyper.figures.report.page import as_json, page, policy
from clhyper.figures.report.source import read_or_wait

_NAMES = ("localhost",)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Results:
    """The content of a folder as JSON and its tag; read again only if the folder's files are others than before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen = ""
        self._data = ""
        self._tag = ""

    def now(self) -> tuple[str, str]:
        """The content as JSON, and its tag, which differs if anything but the time differs."""
        with self._lock:
            seen = _fingerprint(self.folder)
            if seen != self._seen or not self._data:
                found = content(read_or_wait(self.folder))
                tag = hashlib.sha256(as_json(found | {"when": ""}).encode()).hexdigest()[:20]
                if tag != self._tag:
                    self._data, self._tag = as_json(found), tag
                self._seen = seen
            return self._data, f'"{self._tag}"'


def _fingerprint(folder: Path) -> str:
    """Changes when a file in the folder, or in one of its folders, is written, replaced or removed."""
    found = hashlib.sha256()
    for path in (str(folder), *_folders(folder)):
        try:
            with os.scandir(path) as entries:
                for one in sorted(entries, key=lambda entry: entry.name):
                    if one.name.startswith("."):  # half written, or the index that reading writes
                        continue
                    state = one.stat()
                    found.update(f"{one.path}\0{state.st_mtime_ns}\0{state.st_size}\0{state.st_ino}\n".encode())
        except OSError:  # gone, or not ours to read
            found.update(f"{path}\0\n".encode())
    return found.hexdigest()


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(one.path for one in entries if one.is_dir())
    except OSError:
        return []


class Server(ThreadingHTTPServer):
    """Serves the page at `/` and its content at `/data`, to those who name it by its address or as localhost."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.results = Results(folder)
        self.names = {*_NAMES, host.lower()} | (set() if is_local(host) else {socket.gethostname().lower()})

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}/"

    def is_named(self, host: str) -> bool:
        """Whether a Host header is this server's: a name of its own, or an address, which no other site can take."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").lower()
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return name in self.names

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in mid-answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "clhyper", ""

    def do_GET(self) -> None:
        if not self.server.is_named(self.headers.get("Host", "")):
            self._say(HTTPStatus.FORBIDDEN, "This server doesn't go by that name.")
        elif self.path.partition("?")[0] == "/":
            self._page()
        elif self.path.partition("?")[0] == "/data":
            self._data()
        else:
            self._say(HTTPStatus.NOT_FOUND, "There is / and /data.")

    def _page(self) -> None:
        try:
            data, tag = self.server.results.now()
        except UserError as error:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return
        policies = {"Content-Security-Policy": f"{policy(live=True)}; frame-ancestors 'none'"}
        self._send(HTTPStatus.OK, page(data, live=tag), "text/html; charset=utf-8", policies)

    def _data(self) -> None:
        try:
            data, tag = self.server.results.now()
        except UserError as error:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return
        if tag in [known.strip().removeprefix("W/") for known in self.headers.get("If-None-Match", "").split(",")]:
            self._send(HTTPStatus.NOT_MODIFIED, "", "application/json", {"ETag": tag})
        else:
            self._send(HTTPStatus.OK, data, "application/json", {"ETag": tag})

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, f"{sentence}\n", "text/plain; charset=utf-8", {})

    def _send(self, status: HTTPStatus, text: str, kind: str, headers: dict[str, str]) -> None:
        body = text.encode()
        zipped = len(body) > 1000 and "gzip" in self.headers.get("Accept-Encoding", "")
        body = gzip.compress(body, compresslevel=1) if zipped else body
        self.send_response(status)
        fixed = {"Content-Encoding": "gzip"} if zipped else {}
        for name, value in (
            {"Content-Type": kind, "Content-Length": str(len(body))} | fixed | _HEADERS | headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Every other method, and what is no request, in a sentence."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status, message = HTTPStatus.METHOD_NOT_ALLOWED, "This server answers GET only."
        self.close_connection = True
        body = f"{message or status.phrase}\n".encode()
        self.send_response(status)
        allowed = {"Allow": "GET"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | allowed | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing: the terminal is for the address."""


def is_local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _NAMES


def open_server(folder: Path, host: str, port: int) -> Server:
    """A server that listens.

    Raises:
        UserError: the port is taken, may not be used, or the host is none of this machine's addresses.
    """
    try:
        return Server(folder, host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{host}:{port}: can't be listened at ({reason}); give another --port, or --port 0 for one that is free"
        ) from None
