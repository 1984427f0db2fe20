"""The whole cluster: up in the order in which one part needs another, down in the other direction."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from . import Trouble, api, backends, certificates, demo, process, say
from .layout import Layout, Program, Settings

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# How long a tier may take until it answers.
READY_SECONDS = 60


@contextmanager
def locked(folder: Path):
    """One command at a time changes a cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Trouble(f"another dev-cluster command is at work on {folder}") from error
        yield


def build(release: bool) -> str:
    """Builds the programs; answers the folder that they are in."""
    if prebuilt := os.environ.get("GYRE_BIN_DIR"):
        return str(Path(prebuilt).absolute())
    say("building the programs")
    # The selection of the test command, so that both use one build.
    command = ["cargo", "build", "--workspace", "--all-features", "--bins", *(["--release"] if release else [])]
    if subprocess.run(command, cwd=REPOSITORY, check=False, stdin=subprocess.DEVNULL).returncode != 0:
        raise Trouble("the build failed")
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=REPOSITORY, check=True, capture_output=True
    )
    return str(Path(json.loads(metadata.stdout)["target_directory"]) / ("release" if release else "debug"))


def programs(layout: Layout) -> list[Program]:
    """Every process, in the order of starting."""
    return [
        backends.etcd(layout),
        backends.postgres(layout),
        *layout.services(),
        *layout.gateways(),
        *layout.agents(),
    ]


def program(layout: Layout, name: str) -> Program:
    named = {each.name: each for each in programs(layout)}
    if name not in named:
        raise Trouble(f"there is no process {name}; there are: {' '.join(named)}")
    return named[name]


def healthy(layout: Layout, each: Program) -> bool:
    return api.answers(each.health) if each.health else backends.postgres_answers(layout)


def wait_ready(layout: Layout, waiting: list[Program]) -> None:
    """Waits until all of them answer; one that ends meanwhile is trouble at once."""
    deadline = time.monotonic() + READY_SECONDS
    while waiting := [each for each in waiting if not healthy(layout, each)]:
        for each in waiting:
            if process.pid(layout, each.name) is None:
                raise Trouble(f"{each.name} ended:\n{process.log_tail(layout, each.name)}")
        if time.monotonic() > deadline:
            names = " ".join(each.name for each in waiting)
            tail = process.log_tail(layout, waiting[0].name)
            raise Trouble(f"not ready within {READY_SECONDS} s: {names}; {waiting[0].name} says:\n{tail}")
        time.sleep(0.1)


def _start_tier(layout: Layout, tier: list[Program]) -> None:
    started = [each.name for each in tier if process.start(layout, each)]
    if started:
        say(f"starting {' '.join(started)}")
    wait_ready(layout, tier)


def up(folder: Path, base_port: int | None, release: bool) -> Layout:
    """Brings up whatever of the cluster is not there."""
    with locked(folder):
        settings = Settings.load(folder) or Settings()
        running = settings.bin_dir and any(
            process.pid(Layout(folder, settings), path.stem) for path in (folder / "run").glob("*.json")
        )
        if base_port is not None and base_port != settings.base_port:
            if running:
                raise Trouble(f"the cluster runs on base port {settings.base_port}; `down` comes first")
            settings.base_port = base_port
        Layout(folder, settings)
        settings.bin_dir = build(release)
        settings.save(folder)
        folder.chmod(0o711)
        layout = Layout(folder, settings)

        if made := certificates.make(layout):
            say(f"made {made} certificates in {layout.certificates}")
        backends.prepare_postgres(layout)
        etcd, postgres = backends.etcd(layout), backends.postgres(layout)
        for each in (etcd, postgres):
            process.start(layout, each)
        backends.make_database(layout, READY_SECONDS)
        wait_ready(layout, [etcd])
        migrate(layout)
        _start_tier(layout, layout.services())
        _start_tier(layout, layout.gateways())
        _start_tier(layout, layout.agents())
        return layout


def migrate(layout: Layout) -> None:
    """Brings the database's tables up to date."""
    done = subprocess.run(
        [layout.binary("gyre-node"), "migrate"],
        env={"PATH": os.environ.get("PATH", ""), "GYRE_DATABASE": layout.database_url},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise Trouble(f"the migrations failed:\n{done.stdout}{done.stderr}".rstrip())


def down(folder: Path, machines_too: bool, wipe: bool) -> None:
    """Ends the cluster's processes, those that need others first."""
    settings = Settings.load(folder)
    if settings is None:
        say(f"there is no cluster in {folder}")
        return
    with locked(folder):
        layout = Layout(folder, settings)
        tiers = [layout.gateways(), layout.services(), layout.agents(), [backends.postgres(layout)], [backends.etcd(layout)]]
        for tier in tiers:
            living = [each.name for each in tier if process.pid(layout, each.name) is not None]
            if living:
                say(f"ending {' '.join(living)}")
            if forced := process.stop(layout, tier):
                say(f"did not end in time, and were killed: {' '.join(forced)}")
        left = machines(layout)
        if machines_too or wipe:
            end_machines(left)
        elif left:
            say(f"{len(left)} machines go on running, as they do when an agent ends; `down --machines` ends them too")
        if wipe:
            demo.forget()
            shutil.rmtree(backends.postgres_folder(layout), ignore_errors=True)
            shutil.rmtree(folder)
            say(f"removed {folder}")


def machines(layout: Layout) -> list[int]:
    """The QEMU processes of this cluster's agents: those that were started on files below the agents' folder."""
    mark = str(layout.folder / "agents").encode() + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system-" in os.path.basename(argv[0]) and any(mark in argument for argument in argv[1:]):
            found.append(int(entry.name))
    return found


def end_machines(found: list[int]) -> None:
    handles = []
    for each in found:
        try:
            handles.append(os.pidfd_open(each))
        except ProcessLookupError:
            continue
    for handle in handles:
        process.send(handle, signal.SIGTERM)
    deadline = time.monotonic() + 10
    for handle in handles:
        process.end_within(handle, deadline - time.monotonic())
        os.close(handle)
    if handles:
        say(f"ended {len(handles)} machines")
