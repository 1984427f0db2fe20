"""The nodes' network namespaces, and cutting them off from each other.

The whole run lies in network, mount and process namespaces of its own (`inside`), with a bridge that every node is plugged into by a
veth pair, and the clients at the bridge itself. Nothing of it is seen outside, and all of it ends when the run does, however that
ends. A cut is
the bridge's end of a veth down, or pairs of addresses in a set of a packet filter on the bridge that drops what goes from one to
the other: in one direction alone, where it shall be so.
"""

import os
import subprocess
import sys

from dev_cluster import Trouble

from .topology import CLIENTS, NAMESPACES, SUBNET, Topology

MARK = "GYRE_FIRE_INSIDE"
UNSHARE = ("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child", "--")
RULES = """
table bridge fire {
  set cut { type ipv4_addr . ipv4_addr; }
  chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }
  chain input { type filter hook input priority 0; ip saddr . ip daddr @cut drop; }
  chain output { type filter hook output priority 0; ip saddr . ip daddr @cut drop; }
}
"""


def _run(*argv: str, stdin: str = "") -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(argv)}: {done.stderr.strip()}")


def possible() -> str:
    """Why there can be no namespaces; nothing where there can."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    script = f"mkdir -p {NAMESPACES} && mount -t tmpfs tmpfs {NAMESPACES} && ip link add fire type bridge && nft -f -"
    try:
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", script],
            input=RULES,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        return f"{error.filename} is not installed (Debian: apt-get install util-linux iproute2 nftables)"
    return "" if done.returncode == 0 else f"network namespaces do not work here: {done.stderr.strip()}"


def inside() -> bool:
    return os.environ.get(MARK) == "1"


def enter() -> None:
    """Starts this program again in namespaces of its own."""
    argv = [*UNSHARE, sys.executable, *sys.argv]
    os.execvpe(argv[0], argv, {**os.environ, MARK: "1"})


def make(topology: Topology) -> None:
    """Makes the bridge and the nodes."""
    NAMESPACES.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "tmpfs", str(NAMESPACES))
    lines = ["link set lo up", "link add fire type bridge", f"addr add {CLIENTS}/24 dev fire", "link set fire up"]
    for node in topology.nodes:
        _run("ip", "netns", "add", node)
        lines += [f"link add {port(node)} type veth peer name eth0 netns {node}", f"link set {port(node)} master fire up"]
    _run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
    for node in topology.nodes:
        inner = ["link set lo up", f"addr add {topology.address(node)}/24 dev eth0", "link set eth0 up"]
        _run("ip", "-n", node, "-batch", "-", stdin="\n".join(inner) + "\n")
    _run("nft", "-f", "-", stdin=RULES)


def port(node: str) -> str:
    """The bridge's end of a node's veth pair."""
    return f"v-{node}"


def unplug(node: str) -> None:
    _run("ip", "link", "set", port(node), "down")


def plug(node: str) -> None:
    _run("ip", "link", "set", port(node), "up")


def _pairs(topology: Topology, pairs: list[tuple[str, str]]) -> str:
    address = lambda node: CLIENTS if node == "clients" else topology.address(node)  # noqa: E731
    return ", ".join(f"{address(a)} . {address(b)}" for a, b in pairs)


def drop(topology: Topology, pairs: list[tuple[str, str]]) -> None:
    """Drops what goes from the first to the second of each pair."""
    _run("nft", f"add element bridge fire cut {{ {_pairs(topology, pairs)} }}")


def undrop(topology: Topology, pairs: list[tuple[str, str]]) -> None:
    _run("nft", f"delete element bridge fire cut {{ {_pairs(topology, pairs)} }}")


def heal(topology: Topology) -> None:
    """Everything reaches everything."""
    for node in topology.nodes:
        plug(node)
    _run("nft", "flush set bridge fire cut")


__all__ = ["SUBNET", "drop", "enter", "heal", "inside", "make", "plug", "possible", "undrop", "unplug"]
