"""One process: started in a session of its own, found again through a record, ended by handle.

A pid alone says little: it may be someone else's by now. The record keeps the kernel's start time beside it, and a signal goes
through a pidfd that was opened before the start time was compared, so that nothing but our own process is ever ended.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from . import Trouble
from .layout import Layout, Program

# What a process inherits: never the caller's GYRE_… settings, but for how much it says and to whom.
INHERITED = ("PATH", "HOME", "LANG", "TZ", "RUST_BACKTRACE", "GYRE_LOG", "GYRE_OTLP_ENDPOINT")


def _started(pid: int) -> str | None:
    """Which boot and which clock tick the process began at; nothing where it is gone or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"


def _record(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.json"


def pid(layout: Layout, name: str) -> int | None:
    """The process id, where the process lives."""
    try:
        record = json.loads(_record(layout, name).read_text())
    except FileNotFoundError:
        return None
    return record["pid"] if _started(record["pid"]) == record["started"] else None


def age(process: int) -> float:
    """For how many seconds a process has run."""
    started = _started(process)
    if started is None:
        return 0
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return max(0, uptime - int(started.rpartition("/")[2]) / os.sysconf("SC_CLK_TCK"))


def log_path(layout: Layout, name: str) -> Path:
    return layout.logs / f"{name}.log"


def log_tail(layout: Layout, name: str, lines: int = 20) -> str:
    try:
        text = log_path(layout, name).read_bytes()[-65536:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start(layout: Layout, program: Program) -> bool:
    """Starts a process that is not there; tells whether it had to."""
    if pid(layout, program.name) is not None:
        return False
    if shutil.which(program.argv[0]) is None:
        raise Trouble(f"{program.argv[0]} is not there to run")
    for what, port in program.ports.items():
        if not program.namespace and not _port_is_free(port):
            raise Trouble(f"port {port} ({program.name}, {what}) is taken by another program; choose another --base-port")
    argv = program.argv
    if program.user:
        argv = ["setpriv", f"--reuid={program.user}", f"--regid={program.user}", "--clear-groups", "--", *argv]
    if program.namespace:
        argv = ["nsenter", f"--net={program.namespace}", "--", *argv]
    env = {name: os.environ[name] for name in INHERITED if name in os.environ} | program.env
    layout.run.mkdir(parents=True, exist_ok=True)
    layout.logs.mkdir(parents=True, exist_ok=True)
    with log_path(layout, program.name).open("ab") as log:
        log.write(f"--- {time.strftime('%F %T')} {' '.join(program.argv)}\n".encode())
        log.flush()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    # `nsenter` and `setpriv` become the program: one pid, one start time.
    started = _started(child.pid)
    record = _record(layout, program.name)
    scratch = record.with_suffix(".new")
    scratch.write_text(json.dumps({"pid": child.pid, "started": started}))
    scratch.replace(record)
    return True


def _open(layout: Layout, name: str) -> int | None:
    """A handle on the process, where it lives."""
    living = pid(layout, name)
    if living is None:
        return None
    try:
        handle = os.pidfd_open(living)
    except ProcessLookupError:
        return None
    # Still ours, now that no other process can take its place behind the handle.
    if pid(layout, name) != living:
        os.close(handle)
        return None
    return handle


def end_within(handle: int, seconds: float) -> bool:
    """Waits for the process behind a handle; tells whether it ended."""
    return bool(select.select([handle], [], [], max(0, seconds))[0])


def send(handle: int, what: signal.Signals) -> None:
    """Signals the process behind a handle, where it still is."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, what)


def _children(parents: set[int]) -> list[int]:
    """Everything that processes have started and that still is their child, or a child's child."""
    family, found = set(parents), []
    parent_of = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent_of[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    while fresh := [pid for pid, parent in parent_of.items() if parent in family and pid not in family]:
        family.update(fresh)
        found.extend(fresh)
    return found


def signal_family(layout: Layout, name: str, what: signal.Signals) -> bool:
    """Signals a process and its children, as when a machine freezes or loses its power; tells whether there was one. The
    process comes first, so that it starts no more children."""
    handle = _open(layout, name)
    if handle is None:
        return False
    handles = [handle]
    try:
        living = pid(layout, name)
        children = _children({living}) if living is not None else []
        if what == signal.SIGKILL:
            # Children of a process that is gone belong to nobody: handles first.
            for child in children:
                with suppress(OSError):
                    handles.append(os.pidfd_open(child))
            for each in handles:
                send(each, what)
            for each in handles:
                end_within(each, 10)
        else:
            send(handle, what)
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, what)
    finally:
        for each in handles:
            os.close(each)
    if what == signal.SIGKILL:
        _record(layout, name).unlink(missing_ok=True)
    return True


def kill(layout: Layout, name: str) -> bool:
    """Ends a process at once, as a crash would; tells whether there was one."""
    handle = _open(layout, name)
    if handle is None:
        return False
    try:
        send(handle, signal.SIGKILL)
        end_within(handle, 10)
    finally:
        os.close(handle)
    _record(layout, name).unlink(missing_ok=True)
    return True


def stop(layout: Layout, programs: list[Program]) -> list[str]:
    """Asks processes to end, all at once, and ends those that do not within their time; tells which these were."""
    handles = {program.name: handle for program in programs if (handle := _open(layout, program.name)) is not None}
    forced = []
    try:
        begin = time.monotonic()
        for program in programs:
            if program.name in handles:
                send(handles[program.name], signal.Signals[program.stop_signal])
        for program in programs:
            handle = handles.get(program.name)
            if handle is not None and not end_within(handle, begin + program.stop_seconds - time.monotonic()):
                forced.append(program.name)
                send(handle, signal.SIGKILL)
                end_within(handle, 10)
    finally:
        for handle in handles.values():
            os.close(handle)
    for program in programs:
        if pid(layout, program.name) is None:
            _record(layout, program.name).unlink(missing_ok=True)
    return forced
