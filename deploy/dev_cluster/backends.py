"""etcd and PostgreSQL, from Debian's packages, on loopback and in the cluster's folder.

PostgreSQL refuses to run as root: there it runs as Debian's user for it, in a folder that this user can reach.
"""

import hashlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import Trouble, process
from .layout import ETCD_CLIENT, ETCD_PEER, POSTGRES, Layout, Program


def etcd(layout: Layout) -> Program:
    client, peer = layout.port(ETCD_CLIENT), layout.port(ETCD_PEER)
    binary = shutil.which("etcd")
    if binary is None:
        raise Trouble("etcd is not installed (Debian: apt-get install etcd-server)")
    peers = f"http://{layout.ip('etcd')}:{peer}"
    return Program(
        name="etcd",
        tier="store",
        argv=[
            *(binary, "--name", "dev", "--data-dir", str(layout.folder / "etcd"), "--logger", "zap"),
            *("--listen-client-urls", layout.etcd_url, "--advertise-client-urls", layout.etcd_url),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"dev={peers}"),
            *("--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h"),
        ],
        ports={"client": client, "peer": peer},
        health=f"{layout.etcd_url}/health",
        stop_seconds=10,
        namespace=layout.namespace("etcd"),
    )


def _postgres_binaries() -> Path:
    found = [Path(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if found:
        return max(found, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))
    if initdb := shutil.which("initdb"):
        return Path(initdb).parent
    raise Trouble("PostgreSQL is not installed (Debian: apt-get install postgresql)")


def _postgres_user() -> str:
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Trouble("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as")


def _as(user: str, argv: list[str]) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv] if user else argv


def postgres_folder(layout: Layout) -> Path:
    """In the cluster's folder where PostgreSQL's user can get there; else beside, named after it."""
    user = _postgres_user()
    inside = layout.folder / "postgres"
    layout.folder.mkdir(parents=True, exist_ok=True)
    if not user or subprocess.run(_as(user, ["test", "-x", str(layout.folder)]), check=False).returncode == 0:
        return inside
    name = hashlib.sha256(str(layout.folder).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"gyre-dev-cluster-{name}"


def postgres(layout: Layout) -> Program:
    port = layout.port(POSTGRES)
    settings = {
        "listen_addresses": layout.ip("postgres"),
        "port": str(port),
        "unix_socket_directories": "",
        # Five services twice, a small pool each.
        "max_connections": "200",
    }
    return Program(
        name="postgres",
        tier="store",
        argv=[
            *(str(_postgres_binaries() / "postgres"), "-D", str(postgres_folder(layout))),
            *(flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")),
        ],
        ports={"sql": port},
        # Fast: whoever is still connected is cut off.
        stop_signal="SIGINT",
        user=_postgres_user(),
        namespace=layout.namespace("postgres"),
    )


def prepare_postgres(layout: Layout) -> None:
    """Makes the database's files on the first start."""
    if not layout.database_secret.exists():
        layout.database_secret.touch(mode=0o600)
        layout.database_secret.write_text(secrets.token_urlsafe(24) + "\n")
    folder, user = postgres_folder(layout), _postgres_user()
    if (folder / "PG_VERSION").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, user, user)
    with tempfile.NamedTemporaryFile("w") as password:
        password.write(layout.database_secret.read_text())
        password.flush()
        if user:
            shutil.chown(password.name, user)
        made = subprocess.run(
            _as(
                user,
                [
                    *(str(_postgres_binaries() / "initdb"), "--pgdata", str(folder), "--username", "gyre"),
                    *("--auth", "scram-sha-256", "--pwfile", password.name, "--encoding", "UTF8", "--locale", "C"),
                ],
            ),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise Trouble(f"initdb failed: {made.stderr.strip()}")
    if layout.ip("postgres") != "127.0.0.1":
        # initdb lets in loopback alone; the address is one of the cluster's own network.
        with (folder / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")


def psql(layout: Layout, database: str, statement: str) -> subprocess.CompletedProcess:
    """Runs SQL. What it answers is in `stdout`, unadorned."""
    secret = layout.database_secret.read_text().strip()
    return subprocess.run(
        [
            *(str(_postgres_binaries() / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"),
            *("--host", layout.ip("postgres"), "--port", str(layout.port(POSTGRES)), "--username", "gyre", "--dbname", database),
            *("--command", statement),
        ],
        env={"PATH": os.environ.get("PATH", ""), "PGPASSWORD": secret, "PGCONNECT_TIMEOUT": "5"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def postgres_answers(layout: Layout) -> bool:
    return psql(layout, "postgres", "SELECT 1").returncode == 0


def make_database(layout: Layout, seconds: float) -> None:
    """Waits for PostgreSQL and makes the database in it."""
    deadline = time.monotonic() + seconds
    while not postgres_answers(layout):
        if process.pid(layout, "postgres") is None:
            raise Trouble(f"postgres ended:\n{process.log_tail(layout, 'postgres')}")
        if time.monotonic() > deadline:
            raise Trouble(f"postgres does not answer within {seconds:.0f} s:\n{process.log_tail(layout, 'postgres')}")
        time.sleep(0.1)
    if psql(layout, "postgres", "SELECT 1 FROM pg_database WHERE datname = 'gyre'").stdout.strip() != "1":
        made = psql(layout, "postgres", "CREATE DATABASE gyre")
        if made.returncode != 0:
            raise Trouble(f"the database cannot be made: {made.stderr.strip()}")
