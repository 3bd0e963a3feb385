"""A GDC on the loopback interface that misbehaves on purpose.

Each request for a file takes the next fault of the file's list; after the last one the server behaves. Every request is
logged with its fault, its Range header and its token.
"""

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pathgptomic.cohort.gdc.download import RemoteFile
from pathgptomic.cohort.gdc.mirror import matches, pick


@dataclass
class Request:
    uuid: str
    fault: str
    range: str | None
    token: str | None
    sent: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass
class FakeGdc:
    """What the server holds: files, their faults, JSON answers; and what it has seen."""

    files: dict[str, tuple[str, bytes | Path]] = field(default_factory=dict)
    controlled: set[str] = field(default_factory=set)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    hits: dict[str, list[dict]] = field(default_factory=lambda: {"files": [], "cases": []})
    status: dict = field(default_factory=lambda: {"status": "OK", "data_release": "Data Release 45.0"})
    answer_faults: list[str] = field(default_factory=list)
    log: list[Request] = field(default_factory=list)
    token: str = "secret-token"
    bytes_per_second: float | None = None
    url: str = ""

    def add(self, name: str, content: bytes, *faults: str, access: str = "open") -> RemoteFile:
        uuid = f"{len(self.files):08d}-0000-4000-8000-000000000000"
        self.files[uuid] = (name, content)
        self.faults[uuid] = list(faults)
        if access == "controlled":
            self.controlled.add(uuid)
        return RemoteFile(uuid, name, hashlib.md5(content).hexdigest(), len(content), access)

    def requests(self, file: RemoteFile) -> list[Request]:
        return [request for request in self.log if request.uuid == file.uuid]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gdc: FakeGdc

    def log_message(self, *args) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/status":
            return self._json(self.gdc.status)
        return self._file(self.path.removeprefix("/data/"))

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.gdc.answer_faults:
            fault = self.gdc.answer_faults.pop(0)
            if fault == "not json":
                return self._reply(200, b"<html>maintenance</html>")
            return self._reply(int(fault), b"{}", {"Retry-After": "0"})
        found = [hit for hit in self.gdc.hits[self.path.strip("/")] if matches(hit, payload["filters"])]
        start, size = payload.get("from", 0), payload["size"]
        hits = [pick(hit, payload["fields"].split(",")) for hit in found[start : start + size]]
        pages = {"count": len(hits), "total": len(found), "from": start, "size": size}
        return self._json({"data": {"hits": hits, "pagination": pages}, "warnings": {}})

    def _json(self, answer: dict) -> None:
        self._reply(200, json.dumps(answer).encode())

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _file(self, uuid: str) -> None:
        faults = self.gdc.faults.get(uuid, [])
        fault = faults.pop(0) if faults else ""
        request = Request(uuid, fault, self.headers.get("Range"), self.headers.get("X-Auth-Token"))
        self.gdc.log.append(request)
        if uuid not in self.gdc.files:
            return self._reply(404, b'{"message": "no such file"}')
        if uuid in self.gdc.controlled and request.token != self.gdc.token:
            return self._reply(403, b'{"message": "You do not have access to this file"}')
        if fault == "429 after 1 s":
            return self._reply(429, b"{}", {"Retry-After": "1"})
        if fault.isdigit():
            return self._reply(int(fault), b"{}", {"Retry-After": "0"} if fault == "429" else None)
        if fault == "redirect":
            return self._reply(302, b"", {"Location": "http://elsewhere.example/"})
        self._body(self.gdc.files[uuid][1], fault, request)
        return None

    def _body(self, content: bytes, fault: str, request: Request) -> None:
        start = int(request.range.removeprefix("bytes=").rstrip("-")) if request.range else 0
        total = len(content)
        if fault == "ignore range":
            start = 0
        elif request.range and start >= total:
            return self._reply(416, b"")
        elif request.range:
            content = content[start:]
        if fault == "wrong range":
            content = content[1:]
        self.send_response(206 if request.range and fault != "ignore range" else 200)
        length = len(content) // 2 if fault == "truncate" else len(content)
        chunked = fault.startswith("chunked")
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(length))))
        if request.range and fault != "ignore range":
            shift = 1 if fault == "wrong range" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{total - 1}/{total}")
        self.end_headers()
        if chunked:
            return self._chunks(content, fault, request)
        if fault == "flip":
            content = content[: length // 3] + bytes([content[length // 3] ^ 1]) + content[length // 3 + 1 :]
        if fault in {"drop", "reset", "stall"}:
            content = content[: length // 2]
        self._send(content[:length], request)
        if fault == "stall":
            time.sleep(1.5)
        if fault in {"drop", "stall"}:
            self.connection.shutdown(socket.SHUT_RDWR)
        if fault == "reset":
            # close with unsent data thrown away: the other side sees a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        if fault in {"drop", "reset", "stall"}:
            self.connection.close()
            self.close_connection = True
        return None

    def _chunks(self, content: bytes, fault: str, request: Request) -> None:
        """Send the body without saying its length first; broken off in the middle of a chunk, or whole."""
        half = len(content) // 2
        for piece in (content[:half], content[half:]):
            if not piece:
                continue
            self.wfile.write(f"{len(piece):x}\r\n".encode())
            if fault == "chunked drop" and request.sent:
                self._send(piece[: len(piece) // 2], request)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self._send(piece, request)
            self.wfile.write(b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, content: bytes, request: Request) -> None:
        rate = self.gdc.bytes_per_second
        step = len(content) if rate is None else max(int(rate / 50), 1)
        began = time.monotonic()
        for at in range(0, len(content), step or 1):
            self.wfile.write(content[at : at + step])
            request.sent += len(content[at : at + step])
            if rate:
                time.sleep(max(began + request.sent / rate - time.monotonic(), 0))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Say nothing: broken connections are the purpose."""


@contextlib.contextmanager
def serve(gdc: FakeGdc) -> Iterator[FakeGdc]:
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"gdc": gdc}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    gdc.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gdc
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
