"""The hosts' own word: what really runs, asked of the agents as a controller would ask; and who acted, from their logs."""

import json
import socket
import ssl
import struct
from datetime import datetime

from dev_cluster import process

from .findings import Findings
from .topology import Topology

STATES = {1: "RUNNING", 2: "PAUSED", 3: "STOPPED"}
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8


# -- as little of protocol buffers as is needed


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
        elif key & 7 == 2:
            length = varint()
            found.append((key >> 3, data[at : at + length]))
            at += length
        else:
            size = {1: 8, 5: 4}[key & 7]
            found.append((key >> 3, data[at : at + size]))
            at += size
    return found


# -- as little of HTTP/2


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _header(name: str, value: str) -> bytes:
    """A header that is written out: not indexed, not compressed."""
    length = lambda data: bytes((len(data),)) if len(data) < 127 else b"\x7f" + _varint(len(data) - 127)  # noqa: E731
    key, text = name.encode(), value.encode()
    return b"\x00" + length(key) + key + length(text) + text


class _Call:
    """One call on a connection of its own."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, path: str, seconds: float):
        raw = socket.create_connection(address, timeout=seconds)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        headers = {
            ":method": "POST",
            ":scheme": "https",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        block = b"".join(_header(name, value) for name, value in headers.items())
        # A large window, so that an answer comes whole.
        hello = _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) + _frame(_WINDOW, 0, 0, struct.pack(">I", 1 << 30))
        self.socket.sendall(_PREFACE + hello + _frame(_HEADERS, 4, 1, block))
        self.buffer = b""

    def send(self, message: bytes) -> None:
        self.socket.sendall(_frame(_DATA, 0, 1, b"\x00" + struct.pack(">I", len(message)) + message))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise OSError("the agent closed the connection")
            data += piece
        return data

    def receive(self) -> bytes:
        """The next message."""
        while True:
            if len(self.buffer) >= 5:
                length = struct.unpack(">I", self.buffer[1:5])[0]
                if len(self.buffer) >= 5 + length:
                    message, self.buffer = self.buffer[5 : 5 + length], self.buffer[5 + length :]
                    return message
            head = self._read(9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = self._read(length)
            if kind == _DATA:
                self.buffer += payload
            elif kind == _SETTINGS and not flags & 1:
                self.socket.sendall(_frame(_SETTINGS, 1, 0, b""))
            elif kind == _PING and not flags & 1:
                self.socket.sendall(_frame(_PING, 1, 0, payload))
            elif kind in (_RESET, _GOAWAY) or (kind == _HEADERS and flags & 1):
                raise OSError(f"the agent ended the call: {payload!r}")

    def close(self) -> None:
        self.socket.close()


def machines(topology: Topology, agent: str, host: str, fence: int) -> dict[str, str]:
    """The machines that an agent knows on one of its hosts, and what they do. Opens the host's session with this fence, which
    ends the one that there was: its owner takes it back with a higher one."""
    port = next(each.ports["agent"] for each in topology.agents() if each.name == agent)
    context = ssl.create_default_context(cafile=str(topology.certificates / "ca.pem"))
    context.load_cert_chain(str(topology.certificates / "host-1.pem"), str(topology.certificates / "host-1.key"))
    context.set_alpn_protocols(["h2"])
    call = _Call((topology.ip(agent), port), context, "/gyre.agent.v1.AgentService/Session", 10)
    try:
        instance = "00000000-0000-4000-8000-00000000f12e"
        hello = _field(1, host) + _field(2, fence) + _field(3, instance) + _field(4, 60_000)
        call.send(_field(1, hello))
        while True:
            for number, value in _fields(call.receive()):
                if number == 1 and isinstance(value, bytes):
                    return dict(_machine(facts) for at, facts in _fields(value) if at == 2 and isinstance(facts, bytes))
    finally:
        call.close()


def _machine(facts: bytes) -> tuple[str, str]:
    found = dict(_fields(facts))
    return found[1].decode(), STATES.get(found.get(2, 0), "?")


# -- logs

_ENDS = {"task done", "task failed"}
# A row says a little later that an operation ended than its owner knew.
CLOCK_SECONDS = 0.5


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _events(topology: Topology) -> list[dict]:
    """What agents wrote of tasks, over all of them in the order of time; a restart of an agent among it."""
    events = []
    for n in range(topology.settings.agents):
        name = f"agent-{n + 1}"
        try:
            lines = process.log_path(topology, name).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            continue
        time = ""
        for line in lines:
            if line.startswith("--- "):
                events.append({"time": time, "agent": name, "message": "agent started"})
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            time = event.get("time", time)
            if event.get("target") == "gyre_agent::task":
                events.append({**event, "agent": name})
    return sorted(events, key=lambda event: event["time"])


def logs(topology: Topology, findings: Findings, ends: dict[str, float]) -> int:
    """Who acted on the hosts, from the lines that agents write when a task begins and ends, and from when operations ended (in
    seconds since 1970). Answers how many tasks began."""
    starts = 0
    # By operation: the highest fence that acted, and whether it undid.
    fences: dict[str, tuple[int, bool]] = {}
    # By machine: the operation whose task is at it, and where it runs.
    at_work: dict[str, tuple[str, str]] = {}
    runs: dict[str, str] = {}
    for event in _events(topology):
        if event["message"] == "agent started":
            at_work = {vm: (agent, operation) for vm, (agent, operation) in at_work.items() if agent != event["agent"]}
            continue
        agent, vm, operation, kind = event["agent"], event.get("vm", ""), event.get("operation", ""), event.get("kind")
        if event["message"] == "task starts":
            starts += 1
            fence, undo = int(event.get("operation_fence", 0)), event.get("undo") in (True, "true")
            before = fences.get(operation, (0, False))
            if operation and ((fence, undo) < before):
                findings.add("agent took an old owner's task", f"after fence {before[0]}{', undoing' if before[1] else ''}: {json.dumps(event)}")
            fences[operation] = max(before, (fence, undo))
            late = _seconds(event["time"]) - ends.get(operation, float("inf"))
            if late > CLOCK_SECONDS:
                findings.add("acted after its operation's end", f"{late:.1f} s after it: {json.dumps(event)}")
            other = at_work.get(vm)
            if vm and other is not None and other[1] != operation:
                findings.add("two operations on one machine", f"operation {other[1]} is at it: {json.dumps(event)}")
            if vm and kind == "start_machine" and runs.get(vm, event["host"]) != event["host"]:
                findings.add("one machine on two hosts", f"it runs on host {runs[vm]}: {json.dumps(event)}")
            if vm:
                at_work[vm] = (agent, operation)
        elif event["message"] in _ENDS:
            at_work.pop(vm, None)
            if event["message"] == "task done":
                if kind == "start_machine":
                    runs[vm] = event["host"]
                elif kind in ("stop_machine", "remove_machine"):
                    runs.pop(vm, None)
    return starts
