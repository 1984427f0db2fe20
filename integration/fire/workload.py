"""Machines' lives: clients that make, stop, start, restart, delete, recover and expunge machines, and know what must come of it.

A client has its machines to itself. It repeats every call under its request id until it is acknowledged, and follows the
operation to its end, so it always knows in which states its machine may be. What hosts say by themselves blurs that: a machine
whose host does not answer is UNKNOWN instead of RUNNING; one whose simulated host forgets it (`forgetful`) may be found STOPPED.
"""

import random
import threading
import time
import uuid
from dataclasses import dataclass, field

from .door import Answer, Client, Door, GaveUp
from .findings import now
from .watch import ENDED, Watcher, short

# From which states each call is taken, and the state after it (services/vm/src/state.rs; a test there compares it with a table).
CALLS = {
    "start": ({"STOPPED"}, "RUNNING"),
    "stop": ({"RUNNING", "UNKNOWN"}, "STOPPED"),
    "reboot": ({"RUNNING"}, "RUNNING"),
    "destroy": ({"RUNNING", "STOPPED", "UNKNOWN"}, "DESTROYED"),
    "recover": ({"DESTROYED"}, "STOPPED"),
    "expunge": ({"DESTROYED"}, "GONE"),
}
# How long after its agent was killed the rows of a host's machines may change.
FORGETTING_SECONDS = 60.0
# What an operation may fail with because something was away for too long.
PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"}


@dataclass
class Work:
    """One call that took work."""

    what: str
    request_id: str
    operation: str
    begin: float
    cancelled: bool = False
    # How the operation ended, as the client was told.
    end: str = ""
    machine: str = ""


@dataclass
class Machine:
    name: str
    uuid: str = ""
    # In which of these it is, but for what its host says; none where it is gone.
    states: set[str] = field(default_factory=set)
    # Where it was last seen, and when it was last known to be in one of these states.
    host: str = ""
    since: float = 0.0


@dataclass(frozen=True)
class Site:
    cluster: str
    network: str
    offering: str
    image: str
    hosts: dict[str, str]


class Workload:
    def __init__(self, door: Door, site: Site, seed: int, clients: int, rate: float, forgetful: bool):
        self.door, self.site, self.findings = door, site, door.findings
        self.rate = rate
        self.forgetful = forgetful
        self.done: list[Work] = []
        self.machines: list[Machine] = []
        # Acknowledged, and not known to have ended.
        self.open: dict[str, Work] = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self._next = 0.0
        self.threads = [threading.Thread(target=self._client, args=(n, random.Random(f"{seed}/{n}")), daemon=True) for n in range(clients)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self, seconds: float) -> int:
        """Waits for the clients; answers how many are still at it."""
        deadline = now() + seconds
        for thread in self.threads:
            thread.join(max(0.0, deadline - now()))
        return sum(thread.is_alive() for thread in self.threads)

    def _turn(self) -> None:
        """Holds the rate of calls down, over all clients."""
        with self.lock:
            at = max(self._next, now())
            self._next = at + 1 / self.rate
        pause = at - now()
        if pause > 0:
            self.stop.wait(pause)

    def _client(self, number: int, draw: random.Random) -> None:
        client = Client(self.door, number)
        count = 0
        while not self.stop.is_set():
            count += 1
            machine = Machine(f"fire-{number}-{count}")
            try:
                Life(self, client, draw, machine).live()
            except GaveUp as error:
                self.findings.add("no answer for good", f"{machine.name} {machine.uuid}: {error}")
                return
            except Exception as error:  # noqa: BLE001 a client that dies silently would hide everything after it
                self.findings.add("harness", f"a client died: {error!r}")
                raise


class Life:
    """One machine's."""

    def __init__(self, load: Workload, client: Client, draw: random.Random, machine: Machine):
        self.load, self.client, self.draw, self.machine = load, client, draw, machine
        self.findings = load.findings

    def live(self) -> None:
        with self.load.lock:
            self.load.machines.append(self.machine)
        if not self.create():
            return
        for _ in range(self.draw.randint(1, 6)):
            if self.load.stop.is_set() or not self.machine.states:
                return
            self.step()
        if self.draw.random() < 0.8:
            self.remove()

    def step(self) -> None:
        # What is UNKNOWN counts as running until its host says otherwise.
        states = self.machine.states
        names = [name for name, (sources, _) in CALLS.items() if states & sources and name != "expunge"]
        # Deleting ends most lives: not too early.
        weights = [{"destroy": 1, "recover": 4}.get(name, 5) for name in names]
        if self.draw.random() < 0.06:
            return self.contend()
        self.call(self.draw.choices(names, weights=weights)[0])

    def remove(self, cancels: bool = True) -> None:
        """Away with it, for good: a machine that a passing fault kept is tried again."""
        for _ in range(10):
            if not self.machine.states or cancels and self.load.stop.is_set():
                return
            self.call("expunge" if self.machine.states == {"DESTROYED"} else "destroy", cancels)

    # -- calls

    def create(self) -> bool:
        site = self.load.site
        body = {
            "name": self.machine.name,
            "instanceOfferingUuid": site.offering,
            "imageUuid": site.image,
            "l3NetworkUuids": [site.network],
            "clusterUuid": site.cluster,
        }
        cancel = self.draw.random() < 0.08
        work, end = self.work("create", "POST", "/v1/vms", body, cancel)
        if work is None:
            self.findings.add("wrong refusal", f"create {self.machine.name}: {end}")
            return False
        self.machine.states = {"RUNNING"} if work.end == "SUCCEEDED" else set()
        self.machine.since = work.begin
        self.compare(f"after create ended {work.end}", end)
        return work.end == "SUCCEEDED"

    def allowed(self) -> set[str]:
        """The states in which the machine may be seen."""
        machine, faults = self.machine, self.client.door.faults
        allowed = set(machine.states) or {"GONE"}
        if "RUNNING" in allowed and faults is not None and faults.anything(machine.since, now()):
            allowed.add("UNKNOWN")
            agent = self.load.site.hosts.get(machine.host)
            if self.load.forgetful and (agent is None or faults.killed(agent, machine.since - FORGETTING_SECONDS)):
                allowed.add("STOPPED")
        return allowed

    def request(self, what: str) -> tuple[str, str, dict | None]:
        path = f"/v1/vms/{self.machine.uuid}"
        if what == "destroy":
            return "DELETE", path, None
        body: dict = {}
        if what in ("stop", "reboot"):
            body = {"force": self.draw.random() < 0.5, "graceSeconds": 5}
        return "POST", f"{path}:{what}", body

    def call(self, what: str, cancels: bool = True) -> None:
        before = set(self.machine.states)
        after = CALLS[what][1]
        cancel = cancels and self.draw.random() < 0.05
        work, end = self.work(what, *self.request(what), cancel)
        if work is None:
            self.refused(what, end)
            return
        if work.end == "SUCCEEDED":
            self.machine.states = set() if after == "GONE" else {after}
            self.machine.since = work.begin
        elif work.end == "FAILED" and end.get("error", {}).get("reason") == "WRONG_STATE":
            # It waited in the lane, or its machine's host said something meanwhile.
            self.wrong_state(what, end["error"].get("metadata", {}).get("state", ""), str(end["error"]))
            return
        else:
            # Undone: as it was. But what was told to go off may have gone off, or do so yet, and its row says so when its host does.
            off = what in ("stop", "destroy", "reboot") and "RUNNING" in before
            self.machine.states = before | ({"STOPPED"} if off else set())
            self.compare(f"after {what} ended {work.end} ({end.get('error', {}).get('reason', '')})", end, settles=not off)
            return
        self.compare(f"after {what} ended {work.end}", end)

    def refused(self, what: str, answer: Answer) -> None:
        if answer.reason == "WRONG_STATE":
            self.wrong_state(what, answer.body.get("metadata", {}).get("state", ""), str(answer))
        else:
            self.findings.add("wrong refusal", f"{what} {self.machine.uuid} in {sorted(self.machine.states)}: {answer}")
            self.look()

    def wrong_state(self, what: str, state: str, text: str) -> None:
        """A refusal for the machine's state: it must be one that the machine may have, and that the call is not taken from."""
        allowed = self.allowed()
        if state in allowed and state not in CALLS[what][0]:
            self.findings.count(f"refused rightly: {what} while {state}")
            self.settle(state)
        else:
            self.findings.add("wrong refusal", f"{what} {self.machine.uuid}, which must be one of {sorted(allowed)}: {text}")
            self.look()

    def contend(self) -> None:
        """Two calls at once on one machine: one after the other, in either order."""
        pair = self.draw.choice([("stop", "destroy"), ("stop", "reboot"), ("start", "stop"), ("reboot", "destroy"), ("stop", "stop")])
        works = [self.begin(what, *self.request(what)) for what in pair]
        self.findings.count("two calls at once")
        for what, (work, answer) in zip(pair, works, strict=True):
            if work is None:
                if answer.reason != "WRONG_STATE":
                    self.findings.add("wrong refusal", f"{what} beside {pair}: {answer}")
                continue
            end = self.follow(work)
            error = end.get("error", {})
            if work.end == "FAILED" and error.get("reason") != "WRONG_STATE":
                self.judge_failure(work, error)
        self.look()

    # -- operations

    def work(self, what: str, method: str, path: str, body: dict | None, cancel: bool) -> tuple[Work | None, dict | Answer]:
        """A call, followed to its end. Without work: the refusal."""
        work, answer = self.begin(what, method, path, body)
        if work is None:
            return None, answer
        if cancel:
            time.sleep(self.draw.uniform(0, 0.3))
            self.cancel(work)
        end = self.follow(work)
        if work.end == "FAILED" and end.get("error", {}).get("reason") != "WRONG_STATE":
            self.judge_failure(work, end.get("error", {}))
        if work.end == "CANCELLED" and not work.cancelled:
            self.findings.add("cancelled by nobody", f"{what} operation {work.operation}")
        return work, end

    def begin(self, what: str, method: str, path: str, body: dict | None) -> tuple[Work | None, Answer]:
        self.load._turn()
        request_id = str(uuid.UUID(int=self.draw.getrandbits(128), version=4))
        headers = {"X-Request-Id": request_id}
        begin = now()
        answer = self.client.retried(method, path, body, headers)
        if not answer.good:
            return None, answer
        self.findings.took("acknowledged", now() - begin)
        work = Work(what, request_id, answer.body["uuid"], begin, machine=answer.body.get("resourceUuid", ""))
        if what == "create":
            self.machine.uuid = work.machine
        with self.load.lock:
            self.load.open[work.operation] = work
        if self.draw.random() < 0.15:
            # Said again, at the other gateway.
            self.client.other()
            again = self.client.retried(method, path, body, headers)
            if again.body.get("uuid") != work.operation:
                self.findings.add("request id", f"{what} with request id {request_id}: operation {work.operation}, said again: {again} {again.body.get('uuid')}")
            self.findings.count("said again")
        if body and self.draw.random() < 0.03:
            other = {**body, "name": "another"} if what == "create" else {**body, "force": not body.get("force", False)} if "force" in body else None
            if other is not None:
                refused = self.client.retried(method, path, other, headers)
                if refused.reason != "REQUEST_ID_REUSED":
                    self.findings.add("request id", f"{what} with request id {request_id} and another body: {refused} {refused.body.get('uuid')}")
        return work, answer

    def cancel(self, work: Work) -> None:
        # A cancel that was taken, and whose answer was lost, is refused when it is said again.
        work.cancelled = True
        answer = self.client.retried("POST", f"/v1/operations/{work.operation}:cancel", {})
        if answer.good:
            self.findings.count("cancels taken")
        elif answer.reason != "NOT_CANCELLABLE":
            self.findings.add("wrong refusal", f"cancel of operation {work.operation}: {answer}")

    def follow(self, work: Work) -> dict:
        """To its end: as a stream, by waiting, or by asking."""
        way = self.draw.choices(["watch", "wait", "poll"], weights=[4, 4, 2])[0]
        path = f"/v1/operations/{work.operation}"
        if self.draw.random() < 0.5:
            self.client.other()
        if way == "watch":
            end = Watcher(self.client, work.operation).follow()
        else:
            while True:
                if way == "wait":
                    answer = self.client.retried("POST", f"{path}:wait", {"timeout": "10s"})
                else:
                    answer = self.client.get(path)
                if not answer.good:
                    self.findings.add("operation lost", f"{work.what} operation {work.operation}: {answer}")
                    raise GaveUp(f"operation {work.operation}: {answer}")
                end = answer.body
                if end["state"] in ENDED:
                    break
                if now() > self.client.door.give_up:
                    raise GaveUp(f"{work.what} operation {work.operation} is {short(end['state'])}")
                if way == "poll":
                    time.sleep(0.3)
        work.end = short(end["state"])
        self.findings.took(f"operations: {work.what}", now() - work.begin)
        self.findings.count(f"{work.what}: {work.end}")
        with self.load.lock:
            self.load.open.pop(work.operation, None)
            self.load.done.append(work)
        return end

    def judge_failure(self, work: Work, error: dict) -> None:
        """An operation that failed: for something that was away, while something was."""
        text = f"{work.what} operation {work.operation}: {error.get('code')} {error.get('reason')}: {error.get('message')}"
        faults = self.client.door.faults
        if error.get("code") not in PASSING:
            self.findings.add("operation failed", text)
        elif faults is not None and not faults.anything(work.begin, now()):
            self.findings.add("operation failed without a fault", text)
        else:
            self.findings.count(f"failed by a fault: {error.get('code')} {error.get('reason')}")

    # -- the machine

    def compare(self, when: str, end: dict, settles: bool = True) -> None:
        """What the machine is, against what it must be. What an operation tells as its end is durable: any instance knows it."""
        seen = self.state()
        allowed = self.allowed()
        if seen not in allowed:
            self.findings.add("wrong state", f"vm {self.machine.uuid} {when} (operation {end.get('uuid', '-')}) is {seen}, not {' or '.join(sorted(allowed))}")
        if settles or seen not in allowed:
            self.settle(seen)

    def look(self) -> None:
        """Learns anew what the machine is, after calls whose order nobody knows."""
        while (seen := self.state()) not in {"RUNNING", "STOPPED", "DESTROYED", "UNKNOWN", "GONE"}:
            if now() > self.client.door.give_up:
                raise GaveUp(f"vm {self.machine.uuid} stays {seen}")
            time.sleep(0.3)
        self.settle(seen)

    def settle(self, seen: str) -> None:
        """From here on, this is known."""
        self.machine.states = set() if seen == "GONE" else {"RUNNING"} if seen == "UNKNOWN" else {seen}
        self.machine.since = now()

    def state(self) -> str:
        answer = self.client.get(f"/v1/vms/{self.machine.uuid}")
        if answer.status == 404:
            return "GONE"
        if not answer.good:
            raise GaveUp(f"vm {self.machine.uuid}: {answer}")
        self.machine.host = answer.body.get("hostUuid", "")
        return answer.body["state"].removeprefix("VM_STATE_")
