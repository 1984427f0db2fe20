"""Which faults come when: a function of the seed, the time and the kinds that are wanted, and of nothing else."""

import random
from dataclasses import dataclass, field

from dev_cluster.layout import SERVICES

from .topology import Topology

KINDS = ("kills", "freezes", "cuts", "etcd", "postgres", "agents")
# At most so many faults at a time.
AT_ONCE = 3
LONGEST_FREEZE = 60.0


@dataclass(frozen=True)
class Fault:
    """One fault. `what` is kill, restart, freeze, unplug or drop; it ends after `seconds`."""

    at: float
    kind: str
    what: str
    # Processes, or for `unplug` one node.
    targets: tuple[str, ...]
    seconds: float
    # For `drop`: from whom to whom nothing comes through.
    pairs: tuple[tuple[str, str], ...] = ()
    # Processes whose clients may feel it.
    touched: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        if self.what == "drop":
            both = {frozenset(pair) for pair in self.pairs}
            one_way = len(both) == len(self.pairs)
            sides = sorted({tuple(sorted(pair)) for pair in self.pairs}) if not one_way else sorted(self.pairs)
            arrow = "->" if one_way else "<->"
            whom = " ".join(f"{a}{arrow}{b}" for a, b in sides)
            return f"{self.what:8} {whom} for {self.seconds:.1f} s"
        return f"{self.what:8} {' '.join(self.targets)} for {self.seconds:.1f} s"


def _length(draw: random.Random, longest: float) -> float:
    """Mostly short, sometimes as long as it gets."""
    low, high = draw.choices([(0.5, 5.0), (5.0, 20.0), (20.0, LONGEST_FREEZE)], weights=[4, 4, 2])[0]
    return round(min(draw.uniform(low, high), longest), 1)


class _Maker:
    def __init__(self, topology: Topology, draw: random.Random, longest: float):
        self.topology, self.draw, self.longest = topology, draw, longest
        self.control = [node for node in topology.nodes if node.startswith("control-")]
        self.racks = [node for node in topology.nodes if node.startswith("rack-")]
        self.instances = [f"{service}-{n + 1}" for service in SERVICES for n in range(topology.settings.instances)]
        # What most of the work goes through is hit more often.
        self.weights = [{"vm": 4, "host": 4, "storage": 2, "network": 2, "identity": 1}[name.rpartition("-")[0]] for name in self.instances]
        self.gateways = [f"gateway-{n + 1}" for n in range(topology.settings.gateways)]

    def victims(self) -> tuple[str, ...]:
        """One instance, a gateway, a whole node, or all instances of a service."""
        kind = self.draw.choices(["instance", "gateway", "node", "service"], weights=[6, 2, 2, 1])[0]
        if kind == "instance":
            return tuple(self.draw.choices(self.instances, weights=self.weights))
        if kind == "gateway":
            return (self.draw.choice(self.gateways),)
        if kind == "node":
            return tuple(self.topology.nodes[self.draw.choice(self.control)])
        service = self.draw.choice(SERVICES)
        return tuple(name for name in self.instances if name.rpartition("-")[0] == service)

    def make(self, kind: str, at: float) -> Fault:
        draw, down = self.draw, lambda most=20.0: round(min(self.draw.uniform(0.0, most), self.longest), 1)
        if kind == "kills":
            what = draw.choices(["kill", "restart"], weights=[4, 1])[0]
            return self.on(at, kind, what, self.victims(), down())
        if kind == "freezes":
            return self.on(at, kind, "freeze", self.victims(), _length(draw, self.longest))
        if kind == "cuts":
            return self.cut(at, kind)
        if kind in ("etcd", "postgres"):
            what = draw.choice(["kill", "freeze", "restart", "unplug"])
            seconds = min(_length(draw, self.longest), 30.0)
            return self.on(at, kind, what, (kind,), seconds)
        what = draw.choice(["kill", "freeze", "unplug"])
        node = draw.choice(self.racks)
        seconds = down() if what == "kill" else _length(draw, self.longest)
        return self.on(at, kind, what, tuple(self.topology.nodes[node]), seconds)

    def on(self, at: float, kind: str, what: str, names: tuple[str, ...], seconds: float) -> Fault:
        targets = (self.topology.node_of[names[0]],) if what == "unplug" else names
        return Fault(at, kind, what, targets, seconds, touched=names)

    def cut(self, at: float, kind: str) -> Fault:
        draw = self.draw
        node = draw.choice(self.control)
        seconds = _length(draw, self.longest)
        far = draw.choices(["all", "etcd", "postgres", "control", "racks"], weights=[3, 3, 3, 2, 2])[0]
        if far == "all":
            return self.on(at, kind, "unplug", tuple(self.topology.nodes[node]), seconds)
        others = {
            "etcd": ["etcd"],
            "postgres": ["postgres"],
            "control": [other for other in self.control if other != node],
            "racks": draw.sample(self.racks, k=draw.randint(1, len(self.racks))),
        }[far]
        way = draw.choices(["both", "out", "in"], weights=[4, 1, 1])[0]
        pairs = [(node, other) for other in others if way != "in"] + [(other, node) for other in others if way != "out"]
        return Fault(at, kind, "drop", tuple(sorted({node, *others})), seconds, tuple(pairs), tuple(self.topology.nodes[node]))


def make(topology: Topology, seed: int, seconds: float, kinds: tuple[str, ...]) -> list[Fault]:
    """The faults of a run: all of them are over by its end."""
    draw = random.Random(seed)
    longest = min(LONGEST_FREEZE, seconds / 4)
    maker = _Maker(topology, draw, longest)
    weights = {"kills": 6, "freezes": 4, "cuts": 5, "etcd": 2, "postgres": 2, "agents": 2}
    faults: list[Fault] = []
    at = 2.0
    while at < seconds - 3:
        fault = maker.make(draw.choices(kinds, weights=[weights[kind] for kind in kinds])[0], round(at, 1))
        fault = _within(fault, seconds)
        busy = [other for other in faults if other.at + other.seconds + 1 > fault.at]
        apart = not any(set(other.touched) & set(fault.touched) or set(other.targets) & set(fault.targets) for other in busy)
        if apart and len(busy) < AT_ONCE:
            faults.append(fault)
        at += draw.uniform(1.0, 8.0)
    return faults


def _within(fault: Fault, end: float) -> Fault:
    return Fault(fault.at, fault.kind, fault.what, fault.targets, round(min(fault.seconds, end - fault.at), 1), fault.pairs, fault.touched)
