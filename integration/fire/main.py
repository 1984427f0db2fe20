"""The command: up, faults and load, healing, checks, verdict."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from dev_cluster import Trouble, api, backends, certificates, cluster, process
from dev_cluster.layout import DEFAULT_BASE_PORT, Settings

from . import agents, network, schedule
from .audit import Audit
from .door import Client, Door, GaveUp
from .faults import Faults
from .findings import Findings, now, say
from .topology import HOSTS, Topology
from .watch import short
from .workload import CALLS, Life, Machine, Site, Workload

# What clients ask for; the rest Gyre does by itself.
ASKED_FOR = {f"{what}-vm" for what in ("create", *CALLS)}

DESCRIPTION = """\
Runs Gyre's processes under fire: etcd, PostgreSQL, several instances of each service, gateways and agents with simulated hosts,
each node in a network namespace; machines are made, stopped, started and deleted while processes are killed, frozen, restarted
and cut off at random from a seed. Then all is healed, and everything is checked. Ends with 1 where something was found.
"""

EPILOG = """\
GYRE_BIN_DIR names a folder of built programs; without it the workspace is built first. Namespaces need root: without, nothing is
cut off, which GYRE_TEST_REQUIRE makes an error. The faults are a function of the seed, the minutes, the kinds and the instances.
"""


def arguments() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("integration/fire", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults come (5)")
    parser.add_argument("--seed", type=int, help="repeats a run; a new one by default")
    parser.add_argument("--only", default=",".join(schedule.KINDS), help=f"kinds of faults: {','.join(schedule.KINDS)} (all), or none")
    parser.add_argument("--rate", type=float, default=8.0, help="most calls a second that change something (8)")
    parser.add_argument("--clients", type=int, default=40, help="how many clients, each with a machine at a time (40)")
    parser.add_argument("--instances", type=int, default=3, help="instances of each service (3)")
    parser.add_argument("--agents", type=int, default=4, help=f"agents, {HOSTS} simulated hosts each (4)")
    parser.add_argument("--bound", type=float, default=180.0, help="seconds within which all is over after the faults (180)")
    parser.add_argument("--slow", type=float, default=20.0, help="seconds that an answer may take (20)")
    parser.add_argument("--task-ms", default="50-1500", help="how long a simulated host takes for a task (50-1500)")
    parser.add_argument("--schedule", action="store_true", help="print the faults, and run nothing")
    parser.add_argument("--keep", action="store_true", help="leave the processes running and all files where they are")
    return parser


def main() -> int:
    chosen = arguments().parse_args()
    if chosen.seed is None:
        # In the environment, so that the program that is started again in namespaces has the same.
        chosen.seed = int(os.environ.setdefault("GYRE_FIRE_SEED", str(random.SystemRandom().randrange(1, 1_000_000))))
    kinds = tuple(kind for kind in schedule.KINDS if kind in chosen.only.split(","))
    if wrong := set(chosen.only.split(",")) - set(schedule.KINDS) - {"none", ""}:
        print(f"fire: there are no faults {' '.join(sorted(wrong))}; there are: {' '.join(schedule.KINDS)}", file=sys.stderr)
        return 2
    if chosen.schedule:
        print_schedule(chosen, kinds)
        return 0
    if not network.inside():
        print(f"fire: seed {chosen.seed}", flush=True)
        why = network.possible()
        if not why:
            build(chosen)
            network.enter()
        if os.environ.get("GYRE_TEST_REQUIRE"):
            print(f"fire: {why}", file=sys.stderr)
            return 1
        print(f"fire: {why}: nothing is cut off", flush=True)
        build(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return Run(chosen, kinds, network.inside()).all()
    except Trouble as trouble:
        print(f"fire: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build(chosen: argparse.Namespace) -> None:
    """Outside of the namespaces, where the registry can be reached."""
    del chosen
    os.environ["GYRE_BIN_DIR"] = cluster.build(release=False)


def settings(chosen: argparse.Namespace, bin_dir: str = "") -> Settings:
    return Settings(DEFAULT_BASE_PORT + 2000, bin_dir, instances=chosen.instances, gateways=2, agents=chosen.agents)


def faults_of(chosen: argparse.Namespace, topology: Topology, kinds: tuple[str, ...]) -> list[schedule.Fault]:
    made = schedule.make(topology, chosen.seed, chosen.minutes * 60, kinds) if kinds else []
    return made if topology.spread else [fault for fault in made if fault.what not in ("unplug", "drop")]


def print_schedule(chosen: argparse.Namespace, kinds: tuple[str, ...]) -> None:
    topology = Topology(Path("/nowhere"), settings(chosen), spread=True, task_ms=chosen.task_ms)
    print(f"seed {chosen.seed}")
    for fault in faults_of(chosen, topology, kinds):
        print(f"{fault.at:8.1f} s  {fault}")


class Run:
    def __init__(self, chosen: argparse.Namespace, kinds: tuple[str, ...], spread: bool):
        self.chosen = chosen
        self.folder = Path(tempfile.mkdtemp(prefix=f"gyre-fire-{chosen.seed}-"))
        self.folder.chmod(0o711)
        self.topology = Topology(self.folder, settings(chosen, os.environ["GYRE_BIN_DIR"]), spread, chosen.task_ms)
        self.findings = Findings()
        self.audit = Audit(self.topology, self.findings)
        self.faults: Faults | None = None
        self.schedule = faults_of(chosen, self.topology, kinds)
        # Whether a simulated host's machines are gone when its agent is killed.
        self.forgetful = not self.remembers() and any(fault.kind == "agents" and fault.what == "kill" for fault in self.schedule)

    def remembers(self) -> bool:
        """Whether the simulator of these programs keeps its machines on disk."""
        program = Path(self.topology.binary("gyre-agent"))
        return b"simulated hosts have been rebooted" in program.read_bytes()

    def all(self) -> int:
        say(f"seed {self.chosen.seed}; files in {self.folder}")
        kept = True
        try:
            self.up()
            self.fire()
            self.check()
            code = self.verdict()
            if code != 0:
                self.audit.dump(self.folder)
            kept = self.chosen.keep or code != 0
            return code
        finally:
            if self.faults is not None:
                self.faults.thaw()
                self.faults.close()
            if self.chosen.keep:
                say(f"the cluster goes on: {' '.join(self.topology.endpoints)}, in the namespaces of process {os.getpid()}")
                signal.pause()
            self.down()
            if kept:
                say(f"logs are in {self.topology.logs}")
            else:
                self.wipe()

    # -- up and down

    def up(self) -> None:
        topology = self.topology
        if topology.spread:
            network.make(topology)
        certificates.make(topology)
        backends.prepare_postgres(topology)
        programs = {each.name: each for each in topology.programs()}
        for name in ("etcd", "postgres"):
            process.start(topology, programs[name])
        backends.make_database(topology, cluster.READY_SECONDS)
        cluster.wait_ready(topology, [programs["etcd"]])
        cluster.migrate(topology)
        self.audit.setup()
        for tier in ("service", "gateway", "agent"):
            members = [each for each in programs.values() if each.tier == tier]
            for each in members:
                process.start(topology, each)
            cluster.wait_ready(topology, members)
        self.faults = Faults(topology, self.findings)
        self.door = Door(topology, self.findings, api.admin_password(topology), self.chosen.slow)
        self.site = self.make_site()
        self.door.faults = self.faults
        self.faults.start_supervisor()
        say(f"{len(programs)} processes on {len(topology.nodes)} nodes, {len(self.site.hosts)} hosts")

    def make_site(self) -> Site:
        client = Client(self.door, 0)
        zone = client.make("/v1/zones", {"name": "fire"})["uuid"]
        place = client.make("/v1/clusters", {"name": "fire", "zoneUuid": zone})["uuid"]
        hosts = {}
        for each in self.topology.agents():
            address = f"{self.topology.ip(each.name)}:{each.ports['agent']}"
            for n in range(HOSTS):
                host = {"name": f"{each.name}-{n + 1}", "clusterUuid": place, "address": address}
                hosts[client.done("POST", "/v1/hosts", host)] = each.name
        storage = {"name": "fire", "type": "PRIMARY_STORAGE_TYPE_LOCAL", "clusterUuid": place, "path": "/srv/fire"}
        client.done("POST", "/v1/primary-storages", storage)
        server = {"name": "fire", "hostUuid": next(iter(hosts)), "path": "/srv/images"}
        server = client.done("POST", "/v1/image-servers", server)
        image = {"name": "fire", "imageServerUuid": server, "url": "http://images.invalid/fire.raw", "format": "IMAGE_FORMAT_RAW", "shared": True}
        image = client.done("POST", "/v1/images", image)
        l2 = {"name": "fire", "type": "L2_NETWORK_TYPE_BRIDGE", "clusterUuid": place, "bridge": "fire"}
        l2 = client.make("/v1/l2-networks", l2)["uuid"]
        l3 = client.make("/v1/l3-networks", {"name": "fire", "l2NetworkUuid": l2, "shared": True})["uuid"]
        ip_range = {
            "name": "fire",
            "l3NetworkUuid": l3,
            "startAddress": "10.80.0.10",
            "endAddress": "10.80.255.250",
            "gateway": "10.80.0.1",
            "prefixLength": 16,
        }
        client.make("/v1/ip-ranges", ip_range)
        offering = client.make("/v1/instance-offerings", {"name": "fire", "cpuCount": 1, "memoryBytes": str(64 << 20)})["uuid"]
        return Site(place, l3, offering, image, hosts)

    def down(self) -> None:
        programs = list(reversed(self.topology.programs()))
        quick = [each for each in programs if each.tier != "store"]
        for each in quick:
            process.signal_family(self.topology, each.name, signal.SIGKILL)
        process.stop(self.topology, [each for each in programs if each.tier == "store"])

    def wipe(self) -> None:
        shutil.rmtree(backends.postgres_folder(self.topology), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the fire

    def fire(self) -> None:
        chosen = self.chosen
        load = self.load = Workload(self.door, self.site, chosen.seed, chosen.clients, chosen.rate, self.forgetful)
        load.start()
        seconds = chosen.minutes * 60
        say(f"{len(self.schedule)} faults in {seconds:.0f} s")
        begin = now()
        telling = threading.Thread(target=self.progress, args=(begin + seconds,), daemon=True)
        telling.start()
        self.faults.run(self.schedule, begin, seconds)
        load.stop.set()
        self.faults.heal(60)
        self.healed = now()
        say(f"all healed; {len(load.open)} operations under way")
        self.door.give_up = self.healed + chosen.bound
        left = load.join(chosen.bound + 45)
        self.quiet = now()
        if left:
            self.findings.add("client not done", f"{left} clients are still at it {now() - self.healed:.0f} s after all was healed")
        say(f"clients were done {self.quiet - self.healed:.1f} s after all was healed")

    def progress(self, until: float) -> None:
        while now() < until:
            time.sleep(min(15.0, max(0.1, until - now())))
            done, under_way = len(self.load.done), len(self.load.open)
            say(f"{done} operations ended, {under_way} under way, {self.faults.count} faults, {len(self.findings)} findings")

    # -- checks

    def check(self) -> None:
        say("checking")
        self.settle("after the faults")
        self.compare_operations()
        self.takeovers = self.audit.takeovers()
        self.empty()
        self.settle("after everything was deleted")
        for row in self.audit.machines().values():
            self.findings.add("machine left", f"after all were deleted: {json.dumps(row)}")
        self.audit.history()
        self.starts = agents.logs(self.topology, self.findings, self.audit.ends())
        self.read_logs()

    def settle(self, when: str) -> None:
        """All sums agree, and hosts run what the rows say, within the bound."""
        deadline = now() + self.chosen.bound
        begin, said = now(), {}
        while True:
            wrong = self.audit.sums()
            if not wrong:
                wrong = self.hosts()
            if not wrong or now() > deadline:
                break
            seen = {what: len(rows) for what, rows in wrong.items()}
            if seen != said and now() - begin > 5:
                said = seen
                say(f"{when}, not settled yet: {', '.join(f'{what} ({len(rows)}, such as {json.dumps(rows[0])})' for what, rows in wrong.items())}")
            time.sleep(1)
        for what, rows in wrong.items():
            for row in rows:
                self.findings.add(what, f"{when}: {json.dumps(row)}")
        say(f"{when}: {'everything agrees' if not wrong else 'something is wrong'}, {now() - begin:.1f} s")
        # The owners of the hosts take back the sessions that were opened to ask.
        deadline = now() + 30
        time.sleep(2)
        while self.audit.rows("SELECT 1 FROM host WHERE status <> 'CONNECTED'") and now() < deadline:
            time.sleep(0.5)

    def hosts(self) -> dict[str, list[dict]]:
        """What agents run against what rows say."""
        wrong: list[dict] = []
        fences = self.audit.fences()
        rows = self.audit.machines()
        for host, agent in self.site.hosts.items():
            try:
                real = agents.machines(self.topology, agent, host, fences.get(host, 0) + 1)
            except (OSError, KeyError) as error:
                wrong.append({"host": host, "agent": agent, "error": str(error)})
                continue
            mine = {uuid: row["state"] for uuid, row in rows.items() if row["host_uuid"] == host}
            for uuid in sorted(set(real) | set(mine)):
                has, says = real.get(uuid, "nothing"), mine.get(uuid, "nothing")
                if (has == "RUNNING") != (says == "RUNNING") or says == "nothing":
                    wrong.append({"host": host, "agent": agent, "vm": uuid, "host_has": has, "row_says": says})
        return {"host and row differ": wrong} if wrong else {}

    def compare_operations(self) -> None:
        """What clients were told against what is durable."""
        rows = self.audit.operations()
        for work in self.load.done:
            row = rows.get(work.operation)
            if row is None or row["state"] != work.end:
                self.findings.add("wrong final answer", f"{work.what} operation {work.operation}: told {work.end}, durable is {row and row['state']}")
        for work in self.load.open.values():
            row = rows.get(work.operation)
            self.findings.add("end not told", f"{work.what} operation {work.operation}, durable is {row and row['state']}")
        asked = {work.request_id for work in [*self.load.done, *self.load.open.values()]}
        for row in rows.values():
            if row["workflow"] in ASKED_FOR and row["request_id"] not in asked:
                self.findings.add("work that nobody was told of", json.dumps(row))

    def empty(self) -> None:
        """Deletes every machine that is left, through the API."""
        self.door.give_up = now() + self.chosen.bound
        left = list(self.audit.machines().values())
        states = Counter(row["state"] for row in left)
        say(f"deleting what is left: {', '.join(f'{count} {state}' for state, count in sorted(states.items())) or 'nothing'}")
        queue = list(left)
        lock = threading.Lock()

        def work(number: int) -> None:
            client = Client(self.door, number)
            while True:
                with lock:
                    if not queue:
                        return
                    row = queue.pop()
                life = Life(self.load, client, random.Random(row["uuid"]), Machine(row["name"], row["uuid"], {row["state"]}))
                try:
                    life.remove(cancels=False)
                except GaveUp as error:
                    self.findings.add("cannot be deleted", f"vm {row['uuid']}: {error}")

        self.load.rate = 100.0
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.chosen.bound + 60)

    def read_logs(self) -> None:
        """Panics are findings; errors are counted by what they say."""
        self.errors: Counter[str] = Counter()
        for path in sorted(self.topology.logs.glob("*.log")):
            service = path.stem.rpartition("-")[0] or path.stem
            if service in ("etcd", "postgres"):
                continue
            with path.open(errors="replace") as lines:
                for line in lines:
                    if "panicked at" in line:
                        self.findings.add("panic", f"{path.stem}: {line.strip()[:400]}")
                    elif '"ERROR"' in line:
                        try:
                            event = json.loads(line)
                        except ValueError:
                            continue
                        text = str(event.get("message") or event.get("fields", {}).get("message", ""))
                        cause = str(event.get("cause") or event.get("fields", {}).get("cause", "") or event.get("error", ""))[:160]
                        self.errors[f"{service}: {text}{': ' if cause else ''}{cause}"] += 1

    # -- verdict

    def verdict(self) -> int:
        findings, load = self.findings, self.load
        print("\n== counts")
        for what, count in sorted(findings.counts.items()):
            print(f"{count:7}  {what}")
        print("\n== how long things took")
        for line in findings.spans():
            print(line)
        print(f"\ntasks that agents told of: {self.starts}")
        print(f"operations taken over: {sum(self.takeovers.values())} {json.dumps(self.takeovers)}")
        print(f"quiet {self.quiet - self.healed:.1f} s after all was healed")
        if self.errors:
            print("\n== errors in the logs")
            for text, count in self.errors.most_common(25):
                print(f"{count:7}  {text}")
        ends = Counter(work.end for work in load.done)
        print(
            f"\nfire: seed {self.chosen.seed}, {self.chosen.minutes:g} min, {self.faults.count} faults, {len(load.done)} operations "
            f"({', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}), {len(load.machines)} machines"
        )
        if not len(findings):
            print("fire: no findings", flush=True)
            return 0
        print(f"fire: {len(findings)} findings:")
        for line in findings.report(all_of_them=False):
            print(f"  {line}")
        (self.folder / "findings.txt").write_text("\n".join(findings.report(all_of_them=True)) + "\n")
        print(f"fire: files and logs in {self.folder}", flush=True)
        return 1


__all__ = ["main", "short"]
