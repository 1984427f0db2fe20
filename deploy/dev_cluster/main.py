"""The command `dev-cluster`."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from . import Trouble, api, cluster, demo, process
from .layout import DEFAULT_BASE_PORT, PORTS, Layout, Settings, default_folder

DESCRIPTION = """\
Runs Gyre on this machine as it runs in production: etcd and PostgreSQL (Debian's packages), two instances of each service, two
gateways and three agents (a real one where QEMU is installed), each a process of its own, with mutual TLS between them.
"""

EPILOG = f"""\
The cluster lives in GYRE_DEV_DIR, else /var/lib/gyre-dev-cluster for root and $XDG_STATE_HOME/gyre-dev-cluster for others.
GYRE_BIN_DIR names a folder of programs built elsewhere; without it the workspace is built first. Ports count from --base-port
(default {DEFAULT_BASE_PORT}, the first gateway's own), {PORTS} of them, on loopback only.
"""


def arguments() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("dev-cluster", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start what does not run; wait until everything answers")
    up.add_argument("--base-port", type=int, help="the first of the ports (kept for later)")
    up.add_argument("--release", action="store_true", help="build with optimizations")
    up.add_argument("--demo", action="store_true", help="then make a zone, hosts, storage, a network and a machine")
    commands.add_parser("status", help="show the processes and the members of the ring")
    down = commands.add_parser("down", help="end the processes; data and machines stay")
    down.add_argument("--machines", action="store_true", help="end the machines of the agents too")
    down.add_argument("--wipe", action="store_true", help="end the machines and remove all data")
    logs = commands.add_parser("logs", help="show what processes wrote")
    logs.add_argument("name", nargs="*", help="processes; all of them where none is named")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what they write")
    logs.add_argument("-n", "--lines", type=int, default=20, help="how many lines of each (20)")
    for command, text in (
        ("kill", "end processes at once, as a crash would"),
        ("stop", "ask processes to end in order"),
        ("start", "start processes again"),
    ):
        commands.add_parser(command, help=text).add_argument("name", nargs="+", help="processes, such as vm-1")
    commands.add_parser("env", help='print the environment for `gyre`: eval "$(deploy/dev-cluster env)"')
    return parser


def main() -> int:
    chosen = arguments().parse_args()
    folder = default_folder()
    try:
        return run(folder, chosen) or 0
    except Trouble as trouble:
        print(f"dev-cluster: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(folder: Path, chosen: argparse.Namespace) -> int | None:
    if chosen.command == "up":
        layout = cluster.up(folder, chosen.base_port, chosen.release)
        status(layout)
        if chosen.demo:
            demo.make(layout)
        welcome(layout)
        return None
    if chosen.command == "down":
        return cluster.down(folder, chosen.machines, chosen.wipe)
    settings = Settings.load(folder)
    if settings is None:
        raise Trouble(f"there is no cluster in {folder}; `dev-cluster up` makes one")
    layout = Layout(folder, settings)
    if chosen.command == "status":
        return status(layout)
    if chosen.command == "logs":
        return logs(layout, chosen)
    if chosen.command == "env":
        return environment(layout)
    return act(layout, chosen.command, chosen.name)


def table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h"


def status(layout: Layout) -> int:
    """Shows each process, and the ring as a gateway sees it; fails where something is not right."""
    rows = [["PROCESS", "PID", "UP", "STATE", "PORTS"]]
    right = True
    for each in cluster.programs(layout):
        living = process.pid(layout, each.name)
        state = "ended" if living is None else "ready" if cluster.healthy(layout, each) else "not ready"
        right = right and state == "ready"
        ports = " ".join(f"{what}={port}" for what, port in each.ports.items())
        up = duration(process.age(living)) if living else "-"
        rows.append([each.name, str(living or "-"), up, state, ports])
    table(rows)
    try:
        epoch, members = api.members(layout)
    except Trouble as trouble:
        print(f"\nmembers: {trouble}")
        return 1
    print(f"\nring, epoch {epoch}:")
    columns = ["service", "uuid", "address"]
    table([[column.upper() for column in columns], *([member.get(column, "") for column in columns] for member in members)])
    return 0 if right else 1


def welcome(layout: Layout) -> None:
    api.sign_in(layout)
    print(f"\nThe cluster answers at {' and '.join(layout.endpoints)}. To talk to it:\n")
    print(f'    eval "$({sys.argv[0]} env)"')
    print("    gyre vm list")


def environment(layout: Layout) -> None:
    print(f"export GYRE_ENDPOINT={shlex.quote(layout.endpoints[0])}")
    print(f"export GYRE_SIGN_IN_FILE={shlex.quote(str(layout.sign_in_file))}")
    print(f'export PATH={shlex.quote(layout.settings.bin_dir)}:"$PATH"')


def logs(layout: Layout, chosen: argparse.Namespace) -> None:
    names = chosen.name or [each.name for each in cluster.programs(layout)]
    paths = [str(process.log_path(layout, cluster.program(layout, name).name)) for name in names]
    sys.stdout.flush()
    command = ["tail", "-n", str(chosen.lines), *(["-F"] if chosen.follow else []), "--", *paths]
    os.execvp(command[0], command)


def act(layout: Layout, command: str, names: list[str]) -> None:
    wanted = [cluster.program(layout, name) for name in names]
    with cluster.locked(layout.folder):
        if command == "start":
            for each in wanted:
                print(f"{each.name}: {'started' if process.start(layout, each) else 'runs already'}")
            cluster.wait_ready(layout, wanted)
        elif command == "kill":
            for each in wanted:
                print(f"{each.name}: {'killed' if process.kill(layout, each.name) else 'does not run'}")
        else:
            words = {each.name: "ended" for each in wanted if process.pid(layout, each.name) is not None}
            words |= dict.fromkeys(process.stop(layout, wanted), "killed after its time")
            for each in wanted:
                print(f"{each.name}: {words.get(each.name, 'does not run')}")
