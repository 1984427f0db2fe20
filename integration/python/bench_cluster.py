"""Runs `gyre-bench` against separate processes: etcd, PostgreSQL, services, gateway and a simulating agent, over mutual TLS.

    bench_cluster.py --programs target/dist -- create-vms --count 10000 --hosts 100
    bench_cluster.py --programs target/dist -- hosts --count 10000                   # the host service is started anew on the way
    performance.py record cluster -- python3 integration/python/bench_cluster.py --programs target/dist -- create-vms --count 10000

Everything is made anew in a folder of its own, with the flags that `deploy/dev-cluster` starts its processes with, and is ended and
removed afterwards. The driver is told of all processes, so that its figures are sums over them. PostgreSQL keeps its own settings,
those for durable commits among them.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "deploy"))

from dev_cluster import Trouble, api, backends, certificates, cluster, process  # noqa: E402
from dev_cluster.layout import Layout, Program, Settings  # noqa: E402

# Beside the cluster that somebody may have running.
BASE_PORT = 21000
# Hosts are told to send one every ten seconds, as large deployments do.
HEARTBEAT = "10s"
# Scenarios that tell no costs, and so ask for no processes.
WITHOUT_COSTS = ("flood",)


class Measured(Layout):
    """A cluster whose agents all simulate."""

    def __init__(self, folder: Path, settings: Settings, flags: list[str]):
        super().__init__(folder, settings)
        self.flags = flags

    def agent_flags(self, n: int) -> list[str]:
        del n
        return ["--simulate", "--sim-cpus", "256", "--sim-memory", "1048576", *self.flags]

    def services(self) -> list[Program]:
        services = super().services()
        for each in services:
            if each.name.startswith("host-"):
                each.argv.extend(("--heartbeat", HEARTBEAT))
        return services


def up(layout: Measured) -> None:
    layout.folder.chmod(0o711)
    certificates.make(layout)
    backends.prepare_postgres(layout)
    etcd, postgres = backends.etcd(layout), backends.postgres(layout)
    for each in (etcd, postgres):
        process.start(layout, each)
    backends.make_database(layout, cluster.READY_SECONDS)
    cluster.wait_ready(layout, [etcd])
    cluster.migrate(layout)
    for tier in (layout.services(), layout.gateways(), layout.agents()):
        for each in tier:
            process.start(layout, each)
        cluster.wait_ready(layout, tier)


def down(layout: Measured) -> None:
    tiers = [layout.gateways(), layout.services(), layout.agents(), [backends.postgres(layout)], [backends.etcd(layout)]]
    for tier in tiers:
        process.stop(layout, tier)
    shutil.rmtree(backends.postgres_folder(layout), ignore_errors=True)
    shutil.rmtree(layout.folder, ignore_errors=True)


def restart_hosts(layout: Measured) -> None:
    """Ends the instances of the host service, and starts them again."""
    hosts = [each for each in layout.services() if each.name.startswith("host-")]
    process.stop(layout, hosts)
    for each in hosts:
        process.start(layout, each)
    cluster.wait_ready(layout, hosts)


def measure(layout: Measured, words: list[str], again: list[str]) -> int:
    ours = [*layout.services(), *layout.gateways(), *layout.agents()]
    named = [backends.etcd(layout), backends.postgres(layout), *ours]
    pids = [str(pid) for each in named if (pid := process.pid(layout, each.name)) is not None]
    metrics = [f"http://{layout.ip(each.name)}:{each.ports['metrics']}" for each in ours]
    agents = [f"{layout.ip(each.name)}:{each.ports['agent']}" for each in layout.agents()]
    endpoint = layout.endpoints[0]
    env = {**os.environ, "GYRE_TOKEN": api.token(layout, endpoint), "GYRE_BENCH_AGENTS": ",".join(agents)}
    command = [layout.binary("gyre-bench"), *words, "--endpoint", endpoint]
    if words[0] not in WITHOUT_COSTS:
        command.extend(("--pids", ",".join(pids), "--metrics", ",".join(metrics)))
    if words[0] == "hosts":
        command.extend(("--restart", shlex.join([*again, "--restart-hosts", str(layout.folder)])))
    return subprocess.run(command, env=env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser("bench_cluster.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, required=True, help="the folder of the programs, gyre-bench among them")
    parser.add_argument("--instances", type=int, default=1, help="instances of each service (1)")
    parser.add_argument("--agents", type=int, default=1, help="simulating agents (1)")
    parser.add_argument("--agent-flag", action="append", default=[], help="what else agents are told, such as --sim-delay=20")
    parser.add_argument("--restart-hosts", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", metavar="WORD", help="a scenario of gyre-bench and its options, behind --")
    chosen, more = parser.parse_known_args()
    words = [*chosen.words, *more]
    settings = Settings(BASE_PORT, str(chosen.programs.absolute()), chosen.instances, gateways=1, agents=chosen.agents)
    if chosen.restart_hosts:
        # the driver's, in the middle of its run
        restart_hosts(Measured(chosen.restart_hosts, settings, chosen.agent_flag))
        return 0
    if not words:
        parser.error("name a scenario of gyre-bench behind --")
    # not where only this user can look: PostgreSQL may run as another
    folder = Path(tempfile.mkdtemp(prefix="gyre-bench-cluster-", dir="/var/tmp"))
    layout = Measured(folder, settings, chosen.agent_flag)
    again = [sys.executable, __file__, "--programs", settings.programs, "--instances", str(chosen.instances), "--agents", str(chosen.agents)]
    try:
        up(layout)
        code = measure(layout, words, again)
    except Trouble as trouble:
        print(f"bench_cluster: {trouble}", file=sys.stderr)
        code = 1
    finally:
        down(layout)
    return code


if __name__ == "__main__":
    sys.exit(main())
