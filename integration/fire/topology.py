"""What runs where: nodes, each a network namespace with an address, and the processes on them."""

from dataclasses import replace
from pathlib import Path

from dev_cluster import backends
from dev_cluster.layout import SERVICES, Layout, Program, Settings

# The run's network lies in a namespace of its own: no other run and nothing on this machine sees it.
SUBNET = "10.199.0"
CLIENTS = f"{SUBNET}.1"
NAMESPACES = Path("/run/netns")
# Hosts that one simulating agent stands for.
HOSTS = 6


class Topology(Layout):
    """etcd and PostgreSQL on a node each, one instance of every service on each of the control nodes, gateways on the first
    of them, an agent a node."""

    def __init__(self, folder: Path, settings: Settings, spread: bool, task_ms: str):
        super().__init__(folder, settings)
        self.spread = spread
        self.task_ms = task_ms
        self.nodes: dict[str, list[str]] = {"etcd": ["etcd"], "postgres": ["postgres"]}
        for n in range(settings.instances):
            self.nodes[f"control-{n + 1}"] = [f"{service}-{n + 1}" for service in SERVICES]
        for n in range(settings.gateways):
            self.nodes[f"control-{n % settings.instances + 1}"].append(f"gateway-{n + 1}")
        for n in range(settings.agents):
            self.nodes[f"rack-{n + 1}"] = [f"agent-{n + 1}"]
        self.node_of = {name: node for node, names in self.nodes.items() for name in names}
        self._numbers = {node: n + 2 for n, node in enumerate(self.nodes)}

    def address(self, node: str) -> str:
        return f"{SUBNET}.{self._numbers[node]}" if self.spread else "127.0.0.1"

    def ip(self, name: str) -> str:
        return self.address(self.node_of[name])

    def namespace(self, name: str) -> str:
        return str(NAMESPACES / self.node_of[name]) if self.spread else ""

    def gateway_flags(self) -> list[str]:
        return ["--api-plaintext"] if self.spread else []

    def agent_flags(self, n: int) -> list[str]:
        del n
        return ["--simulate", "--sim-delay-ms", self.task_ms, "--sim-cpus", "64", "--sim-memory", "65536"]

    def programs(self) -> list[Program]:
        """Every process, in the order of starting."""
        etcd, postgres = backends.etcd(self), backends.postgres(self)
        # Processes are killed, machines are not: what was written to a file is there.
        etcd.argv.append("--unsafe-no-fsync")
        for setting in ("fsync=off", "full_page_writes=off"):
            postgres.argv.extend(("-c", setting))
        ours = [*self.services(), *self.gateways(), *self.agents()]
        return [etcd, postgres, *(replace(each, env={**each.env, "GYRE_LOG_JSON": "true"}) for each in ours)]
