"""A machine in the cluster, made by the commands that a person would type.

What is there already by its name is used as it is, so that it can be asked for again after a failure.
"""

import os
import subprocess
import time
import urllib.parse
from pathlib import Path

from . import Trouble, api, say
from .layout import Layout

NAME = "demo"
BRIDGE = "gyre-dev"
# Emulation on a busy machine takes its time.
GREETING_SECONDS = 30
GREETING = b"\r\nGyre: hello from a machine of the development cluster\r\n"


def boot_sector(greeting: bytes) -> bytes:
    """A disk whose first sector writes a text to the first serial port, and halts."""
    code = bytes.fromhex(
        "31c0 8ed8 fc be227c"  # ds = 0, upwards; si = the text, behind the code at 0x7c22
        "ac 84c0 7412"  # next: al = *si++; the end? then halt
        "88c4 bafd03 ec a820 74fb"  # wait until the port takes a byte
        "88e0 baf803 ee ebe9"  # write it; next
        "f4 ebfd"  # halt
    )
    sector = code + greeting + b"\0"
    if len(sector) > 440:
        raise ValueError("the greeting does not fit into a boot sector")
    return sector.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512)


class Gyre:
    """The command `gyre`, signed in to the cluster."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("GYRE_")}
        self.env["GYRE_SIGN_IN_FILE"] = str(api.sign_in(layout))
        self.token = api.token(layout, layout.endpoints[0])

    def run(self, *arguments: str, show: bool = False) -> None:
        """Runs a command; its progress and errors are always seen, what it answers only where that is wanted."""
        say(f"$ gyre {' '.join(arguments)}")
        done = subprocess.run(
            [self.layout.binary("gyre"), *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise Trouble(f"gyre {arguments[0]} {arguments[1]} failed")

    def read(self, *arguments: str) -> bytes:
        """What a command prints."""
        command = [self.layout.binary("gyre"), *arguments]
        done = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Trouble(f"gyre {arguments[0]} {arguments[1]} failed")
        return done.stdout

    def find(self, plural: str, name: str) -> dict | None:
        query = urllib.parse.urlencode({"filter": f'name = "{name}"'})
        page = api.call(f"{self.layout.endpoints[0]}/v1/{plural}?{query}", token=self.token)
        # The one list of the answer, whatever it is called.
        rows = next((value for value in page.values() if isinstance(value, list)), [])
        return rows[0] if rows else None

    def ensure(self, noun: str, plural: str, name: str, *flags: str) -> None:
        if self.find(plural, name):
            say(f"{noun} {name}: found")
        else:
            self.run(noun, "create", "--name", name, *flags)


def make(layout: Layout) -> None:
    """Makes a zone, the three hosts, storage, an image, a network and a machine on the first host."""
    gyre = Gyre(layout)
    files = layout.folder / "demo"
    files.mkdir(exist_ok=True)
    disk = files / "greeting.raw"
    disk.write_bytes(boot_sector(GREETING))

    gyre.ensure("zone", "zones", NAME)
    gyre.ensure("cluster", "clusters", NAME, "--zone", NAME)
    gyre.ensure("cluster", "clusters", "simulated", "--zone", NAME)
    for agent in layout.agents():
        cluster = "simulated" if "--simulate" in agent.argv else NAME
        if agent.name == "agent-1":
            cluster = NAME
        address = f"127.0.0.1:{agent.ports['agent']}"
        gyre.ensure("host", "hosts", agent.name, "--cluster", cluster, "--address", address, "--wait")
    _storage(gyre, files, disk)
    _network(gyre)
    gyre.ensure("offering", "instance-offerings", NAME, "--cpu-count", "1", "--memory", "64MiB")
    placed = ("--offering", NAME, "--image", NAME, "--network", NAME, "--cluster", NAME)
    gyre.ensure("vm", "vms", NAME, *placed, "--wait")
    gyre.run("vm", "list", show=True)
    if "--simulate" not in layout.agents()[0].argv:
        _greeting(gyre)


def _greeting(gyre: Gyre) -> None:
    """Waits until the machine has said what its disk makes it say."""
    deadline = time.monotonic() + GREETING_SECONDS
    while True:
        console = gyre.read("vm", "console", NAME, "--no-follow")
        if GREETING.strip() in console:
            say(f"its console says: {console.decode(errors='replace').strip()}")
            return
        if time.monotonic() > deadline:
            raise Trouble(f"the machine has said nothing within {GREETING_SECONDS} s")
        time.sleep(0.2)


def _storage(gyre: Gyre, files: Path, disk: Path) -> None:
    gyre.ensure(
        *("primary-storage", "primary-storages", NAME),
        *("--type", "local", "--cluster", NAME, "--path", str(files / "primary"), "--wait"),
    )
    gyre.ensure(
        *("image-server", "image-servers", NAME),
        *("--host", "agent-1", "--path", str(files / "images"), "--wait"),
    )
    gyre.ensure(
        *("image", "images", NAME),
        *("--image-server", NAME, "--url", "upload", "--format", "raw", "--shared", "--wait"),
    )
    image = gyre.find("images", NAME)
    if image and image.get("state", "").endswith("UPLOADING"):
        gyre.run("image", "upload", NAME, "--file", str(disk), "--wait")


def _network(gyre: Gyre) -> None:
    gyre.ensure("l2-network", "l2-networks", NAME, "--type", "bridge", "--cluster", NAME, "--bridge", BRIDGE)
    gyre.ensure("network", "l3-networks", NAME, "--l2-network", NAME, "--shared")
    gyre.ensure(
        *("ip-range", "ip-ranges", NAME, "--network", NAME),
        *("--start-address", "10.87.0.10", "--end-address", "10.87.0.250", "--gateway", "10.87.0.1", "--prefix-length", "24"),
    )


def forget() -> None:
    """Removes the bridge that an agent made for the network, and the taps on it, where no machine uses them any more."""
    ports = Path("/sys/class/net") / BRIDGE / "brif"
    if os.geteuid() != 0 or not ports.exists():
        return
    taps = [port.name for port in ports.iterdir()]
    if any((Path("/sys/class/net") / tap / "carrier").read_text().strip() == "1" for tap in taps):
        return
    for link in [*taps, BRIDGE]:
        subprocess.run(["ip", "link", "delete", link], check=False, stdin=subprocess.DEVNULL)
