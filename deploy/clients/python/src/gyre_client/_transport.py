"""HTTP: connections that are used again, tries that are made again where that is safe, and answers that are refusals.

A call is tried again when the gateway cannot be reached or says that something needed does not answer (503), that there
were too many calls (429, where it says when to come again), or that time ran out (504): only where the same call twice does
what it does once, which is so for reads and for all calls that carry a request id.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import threading
import time
from typing import Any, Dict, List, Optional, Tuple, Union
from urllib.parse import urlsplit

from .errors import ApiError, ConnectionFailed, api_error

Body = Union[None, bytes, Any]
RETRIED = (429, 503, 504)
LONGEST_PAUSE = 5.0
IDLE_CONNECTIONS = 8


class Transport:
    """A gateway and the ways to it."""

    def __init__(self, endpoint: str, ca_file: Optional[str], timeout: float, tries: int, agent: str) -> None:
        parts = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{endpoint!r} is no http:// or https:// address")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.prefix = parts.path.rstrip("/")
        self.context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self.timeout = timeout
        self.tries = tries
        self.agent = agent
        self._idle: List[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A new connection."""
        if self.context is not None:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def _take(self, timeout: float) -> Tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None or connection.sock is None:
            return self.connect(timeout), False
        connection.sock.settimeout(timeout)
        return connection, True

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def send(
        self, verb: str, path: str, headers: Dict[str, str], body: Body, timeout: Optional[float], again: bool
    ) -> Tuple[Dict[str, Any], http.client.HTTPMessage]:
        """Makes a call within its time; answers the body of a success and its headers."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        tries = self.tries if again and not hasattr(body, "read") else 1
        for number in range(1, tries + 1):
            left = max(end - time.monotonic(), 0.001)
            try:
                return self._once(verb, path, headers, body, left)
            except (ApiError, ConnectionFailed) as error:
                pause = self._pause(error, number)
                if number == tries or pause is None or time.monotonic() + pause >= end:
                    raise
                time.sleep(pause)
        raise AssertionError("there is at least one try")

    @staticmethod
    def _pause(error: Exception, number: int) -> Optional[float]:
        """How long to wait before the next try; nothing where another try makes no sense."""
        pause = min(0.1 * 2.0**number, LONGEST_PAUSE) * random.uniform(0.5, 1)
        if isinstance(error, ConnectionFailed):
            return pause
        if isinstance(error, ApiError) and error.status in RETRIED:
            if error.status == 429 and error.retry_after is None:
                return None
            return max(pause, error.retry_after or 0)
        return None

    def _once(
        self, verb: str, path: str, headers: Dict[str, str], body: Body, timeout: float
    ) -> Tuple[Dict[str, Any], http.client.HTTPMessage]:
        headers = {**headers, "X-Request-Timeout": f"{timeout:.3f}", "User-Agent": self.agent}
        connection, used = self._take(timeout)
        try:
            try:
                response = exchange(connection, verb, self.prefix + path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # the gateway closes connections that were idle for long; one that was just opened is another matter
                connection.close()
                if not used or hasattr(body, "read"):
                    raise
                connection = self.connect(timeout)
                response = exchange(connection, verb, self.prefix + path, body, headers)
            raw = response.read()
        except socket.timeout as error:
            connection.close()
            raise ConnectionFailed(f"{self.host}:{self.port} did not answer in {timeout:.1f} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionFailed(f"{self.host}:{self.port} does not answer: {error}") from error
        if response.will_close:
            connection.close()
        else:
            self._give_back(connection)
        if 200 <= response.status < 300:
            return (json.loads(raw) if raw else {}), response.headers
        raise refusal(response, raw)

    def open(
        self, path: str, headers: Dict[str, str]
    ) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Opens a stream on a connection of its own."""
        # the gateway shows a sign of life every 15 seconds
        connection = self.connect(60)
        try:
            connection.request("GET", self.prefix + path, None, {**headers, "User-Agent": self.agent})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionFailed(f"{self.host}:{self.port} does not answer: {error}") from error
        if response.status != 200:
            raw = response.read()
            connection.close()
            raise refusal(response, raw)
        return connection, response


def exchange(
    connection: http.client.HTTPConnection, verb: str, path: str, body: Body, headers: Dict[str, str]
) -> http.client.HTTPResponse:
    """Sends a request and reads the head of its answer. A gateway that refuses a body stops reading it, and says why."""
    try:
        connection.request(verb, path, body, headers)
    except (BrokenPipeError, ConnectionResetError):
        if body is None or connection.sock is None:
            raise
        response = http.client.HTTPResponse(connection.sock, method=verb)
        response.begin()
        # what was not sent is in the way of another request
        connection.close()
        return response
    return connection.getresponse()


def refusal(response: http.client.HTTPResponse, raw: bytes) -> ApiError:
    """The exception of an answer that is no success."""
    try:
        problem = json.loads(raw)
    except ValueError:
        problem = {}
    after = response.headers.get("Retry-After")
    seconds = float(after) if after is not None and after.isdigit() else None
    return api_error(response.status, problem if isinstance(problem, dict) else {}, seconds)
