"""The client: where the gateway is, who calls, and the services as attributes."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, Optional

from . import types
from ._call import Call, M, Source
from ._transport import Transport
from .calls import KINDS, Services
from .errors import ConnectionFailed, DeadlineExceeded, StreamBroken, Unauthenticated, Unavailable
from .operations import OperationMethods, pause
from .streams import Stream

VERSION = "0.1.0"
EARLY = timedelta(seconds=30)


class Client(Services):
    """A gateway of Gyre's, as one caller.

    Give a token or an API key, or an account and its password: then it signs in when it first has to, and again before the
    token ends. It may be used by several threads at once.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: Optional[str] = None,
        api_key: Optional[str] = None,
        account: Optional[str] = None,
        password: Optional[str] = None,
        ca_file: Optional[str] = None,
        timeout: float = 60.0,
        tries: int = 5,
    ) -> None:
        """endpoint: where the gateway is, such as "https://cloud.example.com:7070"
        token: a token of `sessions`, or an API key
        api_key: an API key
        account, password: who signs in
        ca_file: certificates to trust beside those of the system
        timeout: seconds that a call may take with all its tries, where it says nothing else
        tries: how often a call is made at most that may safely be made again
        """
        super().__init__(self)
        self.tries = tries
        self._transport = Transport(endpoint, ca_file, timeout, tries, f"gyre-client/{VERSION}")
        self._token = token or api_key
        self._expires: Optional[datetime] = None
        self._account = account
        self._password = password
        self._lock = threading.Lock()

    @classmethod
    def from_env(cls, **options: Any) -> "Client":
        """A client as the environment says: GYRE_ENDPOINT, and GYRE_TOKEN or GYRE_SIGN_IN_FILE; GYRE_CA_FILE."""
        endpoint = os.environ.get("GYRE_ENDPOINT", "http://127.0.0.1:7070")
        options.setdefault("ca_file", os.environ.get("GYRE_CA_FILE"))
        file = os.environ.get("GYRE_SIGN_IN_FILE")
        if os.environ.get("GYRE_TOKEN"):
            options.setdefault("token", os.environ["GYRE_TOKEN"])
        elif file:
            with open(file, encoding="utf-8") as opened:
                said = json.load(opened)
            options.setdefault("account", said["account"])
            options.setdefault("password", said["password"])
        return cls(endpoint, **options)

    def sign_in(self, account: str, password: str) -> "Client":
        """Signs in; answers the client."""
        self._account, self._password = account, password
        self._renew()
        return self

    def _renew(self) -> None:
        session = self.session.create(self._account or "", self._password or "")
        self._token, self._expires = session.token, session.expire_time

    def _authorized(self, call: Call[Any]) -> Dict[str, str]:
        """The headers of a call, with who makes it."""
        headers = call.headers()
        if call.answer is types.CreateSessionResponse:
            return headers
        with self._lock:
            late = self._expires is not None and datetime.now(timezone.utc) >= self._expires - EARLY
            if self._account and (self._token is None or late):
                self._renew()
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _signed(self, make: Callable[[Dict[str, str]], Any], call: Call[Any]) -> Any:
        """Makes a call with who makes it; a token that is not valid any more is renewed, once."""
        headers = self._authorized(call)
        try:
            return make(headers)
        except Unauthenticated:
            if not self._account or call.answer is types.CreateSessionResponse:
                raise
            with self._lock:
                if headers.get("Authorization") == f"Bearer {self._token}":
                    self._token = None
            return make(self._authorized(call))

    def _send(self, call: Call[M], request: Dict[str, Any], source: Optional[Source] = None) -> M:
        path, body = call.fill(request)

        def make(headers: Dict[str, str]) -> Any:
            content = None
            if source is not None:
                content = source
                headers["Content-Type"] = "application/octet-stream"
            elif body is not None:
                content = json.dumps(body).encode()
                headers["Content-Type"] = "application/json"
            return self._transport.send(call.verb, path, headers, content, call.timeout, call.again)

        answer, _ = self._signed(make, call)
        return self._bind(call.answer.decode(answer))

    def _open(self, call: Call[M], request: Dict[str, Any]) -> Stream[M]:
        path, _ = call.fill(request)
        opened = self._signed(lambda headers: self._transport.open(path, headers), call)
        return Stream(opened, lambda message: self._bind(call.answer.decode(message)))

    def _bind(self, message: M) -> M:
        """Lets operations know whom to ask."""
        if isinstance(message, OperationMethods):
            message._client = self
        for operation in getattr(message, "operations", None) or []:
            if isinstance(operation, OperationMethods):
                operation._client = self
        return message

    def resource(self, kind: str, uuid: str) -> Any:
        """Reads a resource of any kind, such as "vm"."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind that can be read; there are {', '.join(sorted(KINDS))}")
        return getattr(self, KINDS[kind]).get(uuid)

    def follow(self, kind: str, filter: str = "", position: str = "") -> Iterator[types.WatchResponse]:
        """The events of a list as they happen, without end. A stream that breaks is gone on with where it broke."""
        failures = 0
        while True:
            try:
                with self.watch.run(kind, filter=filter, position=position) as stream:
                    for event in stream:
                        failures = 0
                        position = event.position or position
                        yield event
            except (StreamBroken, ConnectionFailed, Unavailable, DeadlineExceeded):
                failures += 1
                if failures > self.tries:
                    raise
                time.sleep(pause(failures))

    def close(self) -> None:
        """Closes its connections."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
