"""What the cluster consists of: its folder, its processes, their ports and their flags.

Ports are counted from one base, so that two clusters beside each other need two bases and nothing else.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import Trouble

SERVICES = ("identity", "host", "storage", "network", "vm")
INSTANCES = 2
GATEWAYS = 2
AGENTS = 3
DEFAULT_BASE_PORT = 17000

# Offsets from the base port.
GATEWAY_PUBLIC = 0
ETCD_CLIENT = 10
ETCD_PEER = 11
POSTGRES = 12
MESH = 20
METRICS = 60
PORTS = 100


def default_folder() -> Path:
    """Where the cluster lives: GYRE_DEV_DIR, or a folder for state. Root's own is out of reach for PostgreSQL's user."""
    if named := os.environ.get("GYRE_DEV_DIR"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/gyre-dev-cluster")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "gyre-dev-cluster"


@dataclass
class Settings:
    """What `up` was told, kept so that the other commands need not be told again."""

    base_port: int = DEFAULT_BASE_PORT
    bin_dir: str = ""
    instances: int = INSTANCES
    gateways: int = GATEWAYS
    agents: int = AGENTS

    @staticmethod
    def load(folder: Path) -> "Settings | None":
        try:
            return Settings(**json.loads((folder / "cluster.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise Trouble(f"{folder / 'cluster.json'} is not what `up` wrote: {error}") from error

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cluster.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class Program:
    """One process of the cluster."""

    name: str
    tier: str
    argv: list[str]
    ports: dict[str, int]
    env: dict[str, str] = field(default_factory=dict)
    # Answers 200 where the process does its work; empty where it is asked some other way.
    health: str = ""
    # How it is asked to end, and how long it may take.
    stop_signal: str = "SIGTERM"
    stop_seconds: float = 30
    # Runs as this user instead.
    user: str = ""
    # Runs in this network namespace (a file) instead of the caller's.
    namespace: str = ""


class Layout:
    """Paths, ports and processes of the cluster in one folder."""

    def __init__(self, folder: Path, settings: Settings):
        if not 1024 <= settings.base_port <= 65535 - PORTS:
            raise Trouble(f"base port {settings.base_port} is not between 1024 and {65535 - PORTS}")
        self.folder = folder
        self.settings = settings
        self.certificates = folder / "certificates"
        self.logs = folder / "logs"
        self.run = folder / "run"
        # What the identity service leaves, and what `gyre` reads.
        self.admin_file = folder / "admin.json"
        self.sign_in_file = folder / "sign-in.json"
        self.database_secret = folder / "database.secret"

    def port(self, offset: int) -> int:
        return self.settings.base_port + offset

    def ip(self, name: str) -> str:
        """The address at which a process listens and is reached. Whoever spreads the cluster over namespaces says otherwise."""
        del name
        return "127.0.0.1"

    def namespace(self, name: str) -> str:
        """The network namespace that a process runs in; nothing for the caller's own."""
        del name
        return ""

    @property
    def etcd_url(self) -> str:
        return f"http://{self.ip('etcd')}:{self.port(ETCD_CLIENT)}"

    @property
    def database_url(self) -> str:
        secret = self.database_secret.read_text().strip()
        return f"postgres://gyre:{secret}@{self.ip('postgres')}:{self.port(POSTGRES)}/gyre"

    @property
    def endpoints(self) -> list[str]:
        names = [f"gateway-{n + 1}" for n in range(self.settings.gateways)]
        return [f"http://{self.ip(name)}:{self.port(GATEWAY_PUBLIC + n)}" for n, name in enumerate(names)]

    def binary(self, name: str) -> str:
        return str(Path(self.settings.bin_dir) / name)

    def identities(self) -> dict[str, str]:
        """Who needs a certificate, and the role that it says."""
        roles = {f"{service}-{n + 1}": "service" for service in SERVICES for n in range(self.settings.instances)}
        roles |= {f"gateway-{n + 1}": "gateway" for n in range(self.settings.gateways)}
        roles |= {f"agent-{n + 1}": "agent" for n in range(self.settings.agents)}
        return roles

    def _tls(self, name: str) -> list[str]:
        at = self.certificates
        return ["--tls-cert", f"{at / name}.pem", "--tls-key", f"{at / name}.key", "--tls-ca", str(at / "ca.pem")]

    def _member(self, binary: str, name: str, index: int, tier: str, extra: list[str], ports: dict[str, int]) -> Program:
        mesh, metrics, ip = self.port(MESH + index), self.port(METRICS + index), self.ip(name)
        return Program(
            name=name,
            tier=tier,
            argv=[
                self.binary(binary),
                *("--listen", f"{ip}:{mesh}", "--advertise", f"{ip}:{mesh}"),
                *("--metrics-listen", f"{ip}:{metrics}"),
                *("--etcd", self.etcd_url),
                *self._tls(name),
                *extra,
            ],
            # The URL holds a password, and flags are for everybody to see.
            env={"GYRE_DATABASE": self.database_url} if tier == "service" else {},
            ports={**ports, "mesh": mesh, "metrics": metrics},
            health=f"http://{ip}:{metrics}/healthz",
            namespace=self.namespace(name),
        )

    def services(self) -> list[Program]:
        programs = []
        for service in SERVICES:
            for n in range(self.settings.instances):
                extra = []
                if service == "identity":
                    extra = ["--admin-file", str(self.admin_file), "--public-endpoint", self.endpoints[0]]
                programs.append(self._member(f"gyre-{service}", f"{service}-{n + 1}", len(programs), "service", extra, {}))
        return programs

    def gateway_flags(self) -> list[str]:
        """What else gateways are told."""
        return []

    def gateways(self) -> list[Program]:
        first = len(SERVICES) * self.settings.instances
        programs = []
        for n in range(self.settings.gateways):
            name, public = f"gateway-{n + 1}", self.port(GATEWAY_PUBLIC + n)
            extra = ["--api-listen", f"{self.ip(name)}:{public}", *self.gateway_flags()]
            programs.append(self._member("gyre-gateway", name, first + n, "gateway", extra, {"public": public}))
        return programs

    def agent_flags(self, n: int) -> list[str]:
        """What else an agent is told. The first one is real where QEMU is installed."""
        return [] if n == 0 and shutil.which("qemu-system-x86_64") else ["--simulate"]

    def agents(self) -> list[Program]:
        first = len(SERVICES) * self.settings.instances + self.settings.gateways
        programs = []
        for n in range(self.settings.agents):
            name = f"agent-{n + 1}"
            ip = self.ip(name)
            listen, metrics = self.port(MESH + first + n), self.port(METRICS + first + n)
            programs.append(
                Program(
                    name=name,
                    tier="agent",
                    argv=[
                        self.binary("gyre-agent"),
                        *("--listen", f"{ip}:{listen}", "--metrics-listen", f"{ip}:{metrics}"),
                        *("--state-dir", str(self.folder / "agents" / name)),
                        *self._tls(name),
                        *self.agent_flags(n),
                    ],
                    ports={"agent": listen, "metrics": metrics},
                    health=f"http://{ip}:{metrics}/healthz",
                    namespace=self.namespace(name),
                )
            )
        return programs
