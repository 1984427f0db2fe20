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

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.port(ETCD_CLIENT)}"

    @property
    def database_url(self) -> str:
        secret = self.database_secret.read_text().strip()
        return f"postgres://gyre:{secret}@127.0.0.1:{self.port(POSTGRES)}/gyre"

    @property
    def endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port(GATEWAY_PUBLIC + n)}" for n in range(GATEWAYS)]

    def binary(self, name: str) -> str:
        return str(Path(self.settings.bin_dir) / name)

    def identities(self) -> dict[str, str]:
        """Who needs a certificate, and the role that it says."""
        roles = {f"{service}-{n + 1}": "service" for service in SERVICES for n in range(INSTANCES)}
        roles |= {f"gateway-{n + 1}": "gateway" for n in range(GATEWAYS)}
        roles |= {f"agent-{n + 1}": "agent" for n in range(AGENTS)}
        return roles

    def _tls(self, name: str) -> list[str]:
        at = self.certificates
        return ["--tls-cert", f"{at / name}.pem", "--tls-key", f"{at / name}.key", "--tls-ca", str(at / "ca.pem")]

    def _member(self, binary: str, name: str, index: int, tier: str, extra: list[str], ports: dict[str, int]) -> Program:
        mesh, metrics = self.port(MESH + index), self.port(METRICS + index)
        return Program(
            name=name,
            tier=tier,
            argv=[
                self.binary(binary),
                *("--listen", f"127.0.0.1:{mesh}", "--advertise", f"127.0.0.1:{mesh}"),
                *("--metrics-listen", f"127.0.0.1:{metrics}"),
                *("--etcd", self.etcd_url),
                *self._tls(name),
                *extra,
            ],
            # The URL holds a password, and flags are for everybody to see.
            env={"GYRE_DATABASE": self.database_url} if tier == "service" else {},
            ports={**ports, "mesh": mesh, "metrics": metrics},
            health=f"http://127.0.0.1:{metrics}/healthz",
        )

    def services(self) -> list[Program]:
        programs = []
        for service in SERVICES:
            for n in range(INSTANCES):
                extra = []
                if service == "identity":
                    extra = ["--admin-file", str(self.admin_file), "--public-endpoint", self.endpoints[0]]
                programs.append(self._member(f"gyre-{service}", f"{service}-{n + 1}", len(programs), "service", extra, {}))
        return programs

    def gateways(self) -> list[Program]:
        first = len(SERVICES) * INSTANCES
        programs = []
        for n in range(GATEWAYS):
            public = self.port(GATEWAY_PUBLIC + n)
            extra = ["--api-listen", f"127.0.0.1:{public}"]
            programs.append(self._member("gyre-gateway", f"gateway-{n + 1}", first + n, "gateway", extra, {"public": public}))
        return programs

    def agents(self) -> list[Program]:
        first = len(SERVICES) * INSTANCES + GATEWAYS
        programs = []
        for n in range(AGENTS):
            name = f"agent-{n + 1}"
            listen, metrics = self.port(MESH + first + n), self.port(METRICS + first + n)
            real = n == 0 and shutil.which("qemu-system-x86_64") is not None
            programs.append(
                Program(
                    name=name,
                    tier="agent",
                    argv=[
                        self.binary("gyre-agent"),
                        *("--listen", f"127.0.0.1:{listen}", "--metrics-listen", f"127.0.0.1:{metrics}"),
                        *("--state-dir", str(self.folder / "agents" / name)),
                        *self._tls(name),
                        *([] if real else ["--simulate"]),
                    ],
                    ports={"agent": listen, "metrics": metrics},
                    health=f"http://127.0.0.1:{metrics}/healthz",
                )
            )
        return programs
