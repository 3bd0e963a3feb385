"""Talk to the GDC: one pool of connections, patience with a busy server, a token that is never shown."""

import contextlib
import json
import logging
import os
import random
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

logger = logging.getLogger(__name__)

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth another try
LONGEST_PAUSE_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
USER_AGENT = "pathgptomic"
CHUNK = 2**18  # bytes; what is lost at most when a connection breaks

# pauses are meant to differ between jobs that failed together, so this one generator has no seed
_dice = random.SystemRandom()


class TryAgain(Exception):
    """A fault that may pass: the connection broke, or the server asked for patience (`after_s`)."""

    def __init__(self, problem: str, after_s: float = 0.0):
        super().__init__(problem)
        self.after_s = after_s


class Refused(ValueError):
    """An answer that no repetition will change; `status` is the HTTP status."""

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Access:
    """How the GDC is reached.

    Attributes
    ----------
    base_url
        Address of the API, or of a proxy of it.
    connections
        Files fetched at the same time.
    timeout_s
        Seconds without a byte after which a connection counts as stalled.
    attempts
        Failures in a row, without a byte of progress between them, after which a request is given up.
    first_pause_s
        Longest pause before the first repetition; it doubles with each failure.
    token
        For files under controlled access; sent with these only.
    """

    base_url: str = "https://api.gdc.cancer.gov"
    connections: int = 4
    timeout_s: float = 60.0
    attempts: int = 8
    first_pause_s: float = 1.0
    token: str | None = field(default=None, repr=False)

    @classmethod
    def from_config(cls, gdc: Mapping[str, Any]) -> Self:
        """Read the section `gdc` of config.yaml; the token comes from its file or from the environment."""
        return cls(
            base_url=gdc["base_url"].rstrip("/"),
            connections=gdc["connections"],
            timeout_s=gdc["timeout_s"],
            attempts=gdc["attempts"],
            token=read_token(gdc["token_file"]),
        )


def read_token(token_file: str | None) -> str | None:
    """Return the GDC token of `token_file`, or of the file in GDC_TOKEN_FILE, or in GDC_TOKEN; None without any."""
    path = token_file or os.environ.get("GDC_TOKEN_FILE")
    if not path:
        return os.environ.get("GDC_TOKEN", "").strip() or None
    if not Path(path).is_file():
        raise ValueError(f"there is no GDC token file {path}; correct gdc.token_file or GDC_TOKEN_FILE.")
    return Path(path).read_text(encoding="utf-8").strip() or None


class Client:
    """A pool of connections to one GDC address."""

    def __init__(self, access: Access):
        self.access = access
        size = access.connections
        proxy = _proxy_of(access.base_url)
        options = {"maxsize": size, "block": True, "retries": False}
        self._pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        self._timeout = urllib3.Timeout(connect=access.timeout_s, read=access.timeout_s)

    def ask(self, path: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON answer of ``<base_url>/<path>``: POST with a payload, GET without."""
        return self.patiently(lambda: self._ask(path, payload), path)

    def _ask(self, path: str, payload: Mapping[str, Any] | None) -> dict[str, Any]:
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        with self.open("GET" if body is None else "POST", path, headers=headers, body=body) as response:
            content = b"".join(chunks(response))
        try:
            return json.loads(content)
        except ValueError as error:
            raise TryAgain(f"{self.access.base_url}/{path} answered with something that is not JSON") from error

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        with_token: bool = False,
        accept: frozenset[int] = frozenset({200}),
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Yield the answer with its body unread; a broken connection is `TryAgain`, a final answer `Refused`.

        Parameters
        ----------
        method, path, headers, body
            The request, `path` below the base address.
        with_token
            Send the token. No redirection is ever followed, so that it reaches no other host.
        accept
            HTTP statuses that are answers rather than faults.
        """
        url = f"{self.access.base_url}/{path}"
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if with_token and self.access.token:
            headers["X-Auth-Token"] = self.access.token
        with _network(url):
            response = self._pool.request(
                method, url, headers=headers, body=body, preload_content=False, redirect=False, timeout=self._timeout
            )
        try:
            if response.status not in accept:
                _raise_for(response, url)
            yield response
        finally:
            # a body read to its end has given its connection back; the rest of any other must not be read as an answer,
            # so that connection is closed, and its place in the pool given back, without which others wait for ever
            response.close()
            response.release_conn()

    def patiently(self, step: Callable[[], Any], what: str) -> Any:
        """Return ``step()``, repeated with growing pauses as long as it raises `TryAgain` and attempts are left."""
        for failures in range(1, self.access.attempts + 1):
            try:
                return step()
            except TryAgain as problem:
                if failures == self.access.attempts:
                    raise ValueError(f"{what}: {problem}, {failures} times in a row; try again later.") from problem
                time.sleep(self.pause(failures, problem))
        raise AssertionError

    def pause(self, failures: int, problem: TryAgain) -> float:
        """Return the seconds to wait after `failures` failures in a row: as the server asks, else with full jitter."""
        longest = min(LONGEST_PAUSE_S, self.access.first_pause_s * 2 ** (failures - 1))
        seconds = problem.after_s or _dice.uniform(0, longest)
        logger.debug("%s; next try in %.1f s", problem, seconds)
        return seconds


def chunks(response: urllib3.BaseHTTPResponse, size: int = CHUNK) -> Iterator[bytes]:
    """Yield the body in pieces of at most `size` bytes; raise `TryAgain` where it ends early."""
    while True:
        with _network(response.url or "the server"):
            piece = response.read(size, decode_content=False)
        if not piece:
            return
        yield piece


@contextlib.contextmanager
def _network(url: str) -> Iterator[None]:
    """Turn what goes wrong on the way to `url` into `TryAgain`, an untrusted certificate into `Refused`."""
    try:
        yield
    except SSLError as error:
        raise Refused(f"the certificate of {url} is not trusted: {error}.", 495) from error
    except (HTTPError, OSError) as error:
        raise TryAgain(f"the connection to {url} broke ({type(error).__name__})") from error


def _proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for `url`."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass_environment(parts.hostname or ""):
        return None
    return urllib.request.getproxies_environment().get(parts.scheme)


def _raise_for(response: urllib3.BaseHTTPResponse, url: str) -> None:
    """Turn a status that is no answer into `TryAgain` or `Refused`."""
    status = response.status
    if status in BUSY:
        raise TryAgain(f"{url} answered {status}", _retry_after(response.headers.get("Retry-After")))
    if 300 <= status < 400:
        raise Refused(
            f"{url} redirects to {response.headers.get('Location')}; name that address as gdc.base_url.", status
        )
    raise Refused(f"{url} answered {status}: {_message(response)}", status)


def _message(response: urllib3.BaseHTTPResponse) -> str:
    """Return what a refusal says, in at most 200 characters."""
    text = response.read(2000).decode(errors="replace").strip()
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(text)
        text = str(answer.get("message") or answer.get("error") or text)
    return text[:200] or "no reason given"


def _retry_after(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or as a date; 0 without one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
