"""Calling the gateways: one connection a thread and gateway, every answer judged."""

import http.client
import json
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field

from .faults import Faults
from .findings import Findings, now
from .topology import Topology

# The kinds of errors after which the same call may be made again.
RETRYABLE = {"UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
# An answer, whatever it says, is there within this long, unless its gateway is in trouble.
ANSWER_SECONDS = 60.0


@dataclass
class Answer:
    status: int
    body: dict = field(default_factory=dict)
    gateway: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        return self.body.get("code", "")

    @property
    def reason(self) -> str:
        return self.body.get("reason", "")

    def __str__(self) -> str:
        return f"{self.status} {self.code} {self.reason}: {self.body.get('detail', '')} (by {self.gateway}, trace {self.body.get('traceId', '-')})"


class Broken(Exception):
    """No answer came."""


class GaveUp(Exception):
    """The time for trying again is over."""


class Door:
    """What all clients share: where the gateways are, and a token."""

    def __init__(self, topology: Topology, findings: Findings, password: str, slow: float):
        self.topology = topology
        self.findings = findings
        # Slower answers are findings: a dead or frozen owner is noticed when its lease ends (5 s), and replaced within 10 s.
        self.slow = slow
        self.faults: Faults | None = None
        self.password = password
        self.gateways = []
        for endpoint, n in zip(topology.endpoints, range(topology.settings.gateways), strict=True):
            host, _, port = endpoint.removeprefix("http://").rpartition(":")
            self.gateways.append((f"gateway-{n + 1}", host, int(port)))
        # Until when calls are tried again, in the run's time.
        self.give_up = float("inf")
        self._token = ""
        self._token_until = 0.0
        self._token_lock = threading.Lock()

    def token(self) -> str:
        with self._token_lock:
            if now() < self._token_until:
                return self._token
            client = Client(self, 0)
            answer = client.retried("POST", "/v1/sessions", {"account": "admin", "password": self.password}, signed=False)
            if not answer.good:
                raise GaveUp(f"signing in: {answer}")
            self._token = answer.body["token"]
            # Long before it ends, so that a token that is refused is a finding.
            self._token_until = now() + 120
            return self._token


class Client:
    """One client: its connections, and the gateway that it prefers."""

    def __init__(self, door: Door, number: int):
        self.door = door
        self.at = number % len(door.gateways)
        self._open: dict[str, http.client.HTTPConnection] = {}

    def other(self) -> None:
        """Goes to the next gateway."""
        self.at = (self.at + 1) % len(self.door.gateways)

    def connection(self, seconds: float) -> tuple[str, http.client.HTTPConnection]:
        name, host, port = self.door.gateways[self.at]
        connection = self._open.get(name)
        if connection is None:
            connection = self._open[name] = http.client.HTTPConnection(host, port, timeout=seconds)
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        return name, connection

    def drop(self, name: str) -> None:
        connection = self._open.pop(name, None)
        if connection is not None:
            connection.close()

    def once(
        self, method: str, path: str, body: dict | None = None, headers: dict | None = None, seconds: float = ANSWER_SECONDS, signed: bool = True
    ) -> Answer:
        """One call. What breaks is judged here: a gateway that is well answers."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if signed:
            sent["Authorization"] = f"Bearer {self.door.token()}"
        name, connection = self.connection(seconds)
        fresh = connection.sock is None
        begin = now()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            data = answer.read()
            parsed = json.loads(data) if data else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.drop(name)
            self._broke(name, begin, f"{method} {path}", error, fresh)
            raise Broken(f"{name}: {error!r}") from error
        if answer.headers.get("Connection", "").lower() == "close":
            self.drop(name)
        result = Answer(answer.status, parsed if isinstance(parsed, dict) else {}, name)
        took = now() - begin
        if path.endswith(":wait") or "Prefer" in sent:
            return result
        if took > self.door.slow and self.door.faults is not None and not self.door.faults.troubled(name, begin, now()):
            away = self.door.faults.which(begin, now())
            self.door.findings.add("slow answer", f"{method} {path} at {name}, which was well: {took:.1f} s for {result.status} {result.code} {result.reason}; in trouble: {away}")
        self.door.findings.took("answers: good" if result.good else f"answers: {result.code or result.status}", took)
        return result

    def _broke(self, name: str, begin: float, call: str, error: Exception, fresh: bool) -> None:
        faults = self.door.faults
        if faults is None or faults.troubled(name, begin, now()):
            self.door.findings.count("connections broken with their gateway")
            return
        if not fresh and isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError):
            # The gateway closed a connection that was idle; it had not read the call.
            self.door.findings.count("idle connections that were closed")
            return
        kind = "no answer in time" if isinstance(error, TimeoutError | socket.timeout) else "broken connection"
        self.door.findings.add(kind, f"{call} at {name}, which was well: {error!r} after {now() - begin:.1f} s")

    def retried(self, method: str, path: str, body: dict | None = None, headers: dict | None = None, signed: bool = True) -> Answer:
        """Calls until an answer says something for good: a success, or a refusal that trying again does not change. Retryable
        errors and broken connections lead to the other gateway."""
        wait = 0.2
        while True:
            try:
                answer = self.once(method, path, body, headers, signed=signed)
            except Broken:
                answer = None
            if answer is not None:
                if answer.good or not self.passing(method, path, answer):
                    return answer
            if now() > self.door.give_up:
                raise GaveUp(f"{method} {path}: {answer if answer is not None else 'no answer'}")
            self.other()
            time.sleep(wait)
            wait = min(wait * 1.6, 3.0)

    def passing(self, method: str, path: str, answer: Answer) -> bool:
        """Whether an error goes by; one that must never be seen is a finding, and tried again to learn the end."""
        findings = self.door.findings
        if answer.code in RETRYABLE and answer.status in (409, 429, 503, 504):
            findings.count(f"refused: {answer.code} {answer.reason}")
            if not answer.reason:
                findings.add("no reason", f"{method} {path}: {answer}")
            return True
        if answer.status >= 500 or answer.status in (401, 403, 408, 499) or not answer.code:
            findings.add(f"answer {answer.status} {answer.code} {answer.reason}", f"{method} {path}: {answer}")
            return True
        return False

    def get(self, path: str) -> Answer:
        return self.retried("GET", path)

    def make(self, path: str, body: dict) -> dict:
        """Makes something that is only rows."""
        answer = self.retried("POST", path, body, {"X-Request-Id": str(uuid.uuid4())})
        if not answer.good:
            raise GaveUp(f"{path}: {answer}")
        return answer.body

    def done(self, method: str, path: str, body: dict | None) -> str:
        """A call that takes work and must succeed; answers its resource."""
        answer = self.retried(method, path, body, {"X-Request-Id": str(uuid.uuid4()), "Prefer": "wait=20"})
        while answer.good and not answer.body.get("endTime"):
            answer = self.retried("POST", f"/v1/operations/{answer.body['uuid']}:wait", {"timeout": "15s"})
        if not answer.good or answer.body.get("state") != "OPERATION_STATE_SUCCEEDED":
            raise GaveUp(f"{path}: {answer} {answer.body.get('error', '')}")
        return answer.body["resourceUuid"]
