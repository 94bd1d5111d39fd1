"""The report, live: a server of one page and its content, which it reads anew when files have changed."""

import gzip
import ipaddress
import os
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clhyper.errors import UserError
from clhyper.figures.report.live import Results
from clhyper.figures.report.page import page, policy
from clhyper.runs.variants import printable

_NAMES = ("localhost",)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Server(ThreadingHTTPServer):
    """Serves the page at `/` and its content at `/data`, to those who name it by its address or as localhost."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.results = Results(folder)
        self.names = {*_NAMES, _bare(host)} | (set() if is_local(host) else _names_of_this_machine())
        self.complaint = ""

    @property
    def url(self) -> str:
        """Where the page is, for those who may read it."""
        host, port = self.server_address[:2]
        name = str(host)
        if ipaddress.ip_address(name.partition("%")[0]).is_unspecified:
            name = _address_of_this_machine(self.address_family)
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    def is_named(self, host: str) -> bool:
        """Whether a Host header is this server's: a name of its own, or an address, which no other site can take."""
        name = _bare(host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host)
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return name in self.names

    def complain(self, sentence: str) -> None:
        """Says in the terminal what is wrong, once for as long as it is."""
        if sentence != self.complaint:
            print(f"clhyper: {sentence}", file=sys.stderr, flush=True)
        self.complaint = sentence

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in mid-answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "clhyper", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self.server.is_named(self.headers.get("Host", "")):
            self._say(HTTPStatus.FORBIDDEN, "This server doesn't go by that name.")
        elif path not in ("/", "/data"):
            self._say(HTTPStatus.NOT_FOUND, "There is / and /data.")
        elif found := self._content():
            (self._page if path == "/" else self._data)(*found)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _content(self) -> tuple[str, str] | None:
        """The content and its tag; answers why there is none."""
        try:
            found = self.server.results.now()
        except UserError as error:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, printable(error))
        except Exception as error:
            name, said = type(error).__name__, str(error).partition("\n")[0]
            sentence = printable(f"these results can't be shown, unexpectedly ({name}: {said})"[:300])
            self.server.complain(sentence)
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"{sentence[0].upper()}{sentence[1:]}.")
        else:
            self.server.complaint = ""
            return found
        return None

    def _page(self, data: str, tag: str) -> None:
        policies = {"Content-Security-Policy": f"{policy(live=True)}; frame-ancestors 'none'"}
        self._send(HTTPStatus.OK, page(data, live=tag), "text/html; charset=utf-8", policies)

    def _data(self, data: str, tag: str) -> None:
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
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Every other method, and what is no request, in a sentence."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status, message = HTTPStatus.METHOD_NOT_ALLOWED, "This server answers GET and HEAD only."
        self.close_connection = True
        body = f"{message or status.phrase}\n".encode()
        self.send_response(status)
        allowed = {"Allow": "GET, HEAD"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
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
        return _bare(host) in _NAMES


def _bare(name: str) -> str:
    """A host's name or address as it is compared: without brackets, capitals and the dot that ends a full name."""
    return name.strip("[]").lower().removesuffix(".")


def _names_of_this_machine() -> set[str]:
    name = socket.gethostname()
    return {_bare(one) for one in (name, socket.getfqdn(name), f"{name}.local")}


def _address_of_this_machine(family: int) -> str:
    """The address by which others reach this machine, or else its name; asks nobody."""
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))  # sends nothing
            return str(one.getsockname()[0])
        except OSError:
            return socket.gethostname()


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
