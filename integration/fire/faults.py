"""Carries the schedule out, starts again what ended by itself as systemd would, and heals everything in the end."""

import signal
import threading
import time
from contextlib import suppress

from dev_cluster import Trouble, api, cluster, process
from dev_cluster.layout import Program

from . import network
from .findings import Findings, now, say
from .schedule import Fault
from .topology import Topology

# A process that ended by itself is started again after this long, as `RestartSec=` in deploy/systemd.
RESTART_SECONDS = 2.0
# How long after its fault a process may still not be itself: connections are opened anew, leases found.
RECOVERY_SECONDS = 8.0


class Faults:
    def __init__(self, topology: Topology, findings: Findings):
        self.topology = topology
        self.findings = findings
        self.programs: dict[str, Program] = {each.name: each for each in topology.programs()}
        self.count = 0
        self._lock = threading.Lock()
        # Processes that shall run now, and the times in which each was in trouble (no end: still is).
        self._wanted = set(self.programs)
        self._trouble: dict[str, list[list[float | None]]] = {name: [] for name in self.programs}
        self._kills: dict[str, list[float]] = {}
        self._stop = threading.Event()
        self._stopping: list[threading.Thread] = []
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    # -- what was in trouble when

    def _begin(self, names: tuple[str, ...]) -> None:
        with self._lock:
            for name in names:
                if name in self._trouble:
                    self._trouble[name].append([now(), None])

    def _end(self, names: tuple[str, ...]) -> None:
        with self._lock:
            for name in names:
                for span in self._trouble.get(name, []):
                    if span[1] is None:
                        span[1] = now()

    def troubled(self, name: str, begin: float, end: float) -> bool:
        """Whether a process was in trouble at some time of a span, or had just been."""
        with self._lock:
            return any(
                span[0] - 0.5 <= end and (span[1] is None or span[1] + RECOVERY_SECONDS >= begin) for span in self._trouble[name]
            )

    def anything(self, begin: float, end: float) -> bool:
        """Whether anything was."""
        return any(self.troubled(name, begin, end) for name in self._trouble)

    def which(self, begin: float, end: float) -> str:
        """Everything that was, for people."""
        return " ".join(name for name in self._trouble if self.troubled(name, begin, end)) or "nothing"

    def killed(self, name: str, begin: float) -> bool:
        """Whether a process was killed since."""
        with self._lock:
            return any(at >= begin - 0.5 for at in self._kills.get(name, []))

    # -- the schedule

    def start_supervisor(self) -> None:
        self._supervisor.start()

    def run(self, faults: list[Fault], begin: float, seconds: float) -> None:
        """Carries faults out; `begin` is the run's time that their times count from. Returns when the time is over."""
        ends: list[tuple[float, Fault]] = []
        waiting = list(faults)
        while waiting or ends:
            due = min([*(fault.at for fault in waiting[:1]), *(end for end, _ in ends)])
            pause = begin + due - now()
            if pause > 0:
                time.sleep(min(pause, 0.5))
                continue
            for end, fault in [each for each in ends if each[0] <= due]:
                ends.remove((end, fault))
                self._guarded(self._undo, fault)
            while waiting and waiting[0].at <= due:
                fault = waiting.pop(0)
                say(f"fault {self.count + 1:3}  {fault}")
                self.count += 1
                self.findings.count(f"faults: {fault.kind}")
                self._guarded(self._do, fault)
                ends.append((fault.at + fault.seconds, fault))
        while (left := begin + seconds - now()) > 0:
            time.sleep(min(left, 0.5))

    def _guarded(self, what, fault: Fault) -> None:
        try:
            what(fault)
        except (Trouble, OSError) as error:
            self.findings.add("harness", f"{fault}: {error}")

    def _do(self, fault: Fault) -> None:
        self._begin(fault.touched)
        if fault.what == "kill":
            with self._lock:
                self._wanted -= set(fault.targets)
            for name in fault.targets:
                process.signal_family(self.topology, name, signal.SIGKILL)
                self._kills.setdefault(name, []).append(now())
        elif fault.what == "restart":
            with self._lock:
                self._wanted -= set(fault.targets)
            programs = [self.programs[name] for name in fault.targets]
            thread = threading.Thread(target=process.stop, args=(self.topology, programs), daemon=True)
            thread.start()
            with self._lock:
                self._stopping.append(thread)
        elif fault.what == "freeze":
            for name in fault.targets:
                process.signal_family(self.topology, name, signal.SIGSTOP)
        elif fault.what == "unplug":
            network.unplug(fault.targets[0])
        elif fault.what == "drop":
            network.drop(self.topology, list(fault.pairs))

    def _undo(self, fault: Fault) -> None:
        if fault.what in ("kill", "restart"):
            # The supervisor starts them, as soon as what is being stopped has ended.
            with self._lock:
                self._wanted |= set(fault.targets)
            return
        if fault.what == "freeze":
            for name in fault.targets:
                process.signal_family(self.topology, name, signal.SIGCONT)
        elif fault.what == "unplug":
            network.plug(fault.targets[0])
        elif fault.what == "drop":
            network.undrop(self.topology, list(fault.pairs))
        self._end(fault.touched)

    # -- as systemd does

    def _supervise(self) -> None:
        ended: dict[str, float] = {}
        running: set[str] = set(self.programs)
        starting: set[str] = set()
        while not self._stop.wait(0.25):
            with self._lock:
                wanted = set(self._wanted)
                self._stopping = [thread for thread in self._stopping if thread.is_alive()]
                stopping = bool(self._stopping)
            for name in starting.copy():
                if name in wanted and cluster.healthy(self.topology, self.programs[name]):
                    starting.discard(name)
                    self._end((name,))
            for name in wanted:
                if process.pid(self.topology, name) is not None:
                    ended.pop(name, None)
                    running.add(name)
                    continue
                if name in running and name not in ended and not self._was_killed(name):
                    self._by_itself(name)
                running.discard(name)
                if ended.setdefault(name, now()) + (0 if self._was_killed(name) else RESTART_SECONDS) > now():
                    continue
                if stopping and process.pid(self.topology, name) is not None:
                    continue
                with suppress(Trouble, OSError):
                    process.start(self.topology, self.programs[name])
                    starting.add(name)
                    running.add(name)
                    ended.pop(name, None)

    def _was_killed(self, name: str) -> bool:
        """Whether its end was ours: it is in trouble, and has not run since."""
        with self._lock:
            return any(span[1] is None for span in self._trouble[name])

    def _by_itself(self, name: str) -> None:
        tail = process.log_tail(self.topology, name, 6)
        self._begin((name,))
        self.findings.count(f"ended by itself: {name.rpartition('-')[0] or name}")
        say(f"{name} ended by itself; its log:\n{tail}")

    def dead(self) -> list[str]:
        return [name for name in self.programs if process.pid(self.topology, name) is None]

    # -- healing

    def heal(self, seconds: float) -> None:
        """Everything runs and reaches everything."""
        with self._lock:
            self._wanted = set(self.programs)
            stopping = list(self._stopping)
        if self.topology.spread:
            network.heal(self.topology)
        for name in self.programs:
            process.signal_family(self.topology, name, signal.SIGCONT)
        for thread in stopping:
            thread.join(35)
        deadline = now() + seconds
        waiting = list(self.programs.values())
        while waiting := [each for each in waiting if not cluster.healthy(self.topology, each)]:
            if now() > deadline:
                for each in waiting:
                    tail = process.log_tail(self.topology, each.name, 8)
                    self.findings.add("not healthy again", f"{each.name} does not answer {seconds:.0f} s after all was healed:\n{tail}")
                break
            time.sleep(0.25)
        for name in self.programs:
            self._end((name,))

    def thaw(self) -> None:
        """For the end of a run that did not heal: what is frozen cannot end."""
        for name in self.programs:
            process.signal_family(self.topology, name, signal.SIGCONT)

    def close(self) -> None:
        self._stop.set()
        if self._supervisor.is_alive():
            self._supervisor.join(5)


def ring(topology: Topology) -> dict[str, int]:
    """How many members each service has, as a gateway sees it."""
    _, members = api.members(topology)
    counts: dict[str, int] = {}
    for member in members:
        counts[member["service"]] = counts.get(member["service"], 0) + 1
    return counts
