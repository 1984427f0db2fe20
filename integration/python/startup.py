"""How long `gyre` takes from its start to its end: wall time and processor time of many runs, the smallest and the median of each.

    startup.py target/release/gyre --runs 100

`vm list` asks the node that the environment names (GYRE_SIGN_IN_FILE, GYRE_ENDPOINT, …). What starts no process of its own is left
out: `true` shows what starting anything costs. On a machine that does other work the smallest of many is what the command itself
needs.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = (["--version"], ["--help"], ["vm", "list", "--help"], ["vm", "list"], ["vm", "list", "--columns", "name,host.name"])


def measured(words: list[str], runs: int) -> tuple[list[float], list[float]]:
    """Wall and processor time of each run, in milliseconds."""
    walls, cpus = [], []
    for _ in range(runs):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        walls.append((time.perf_counter() - begin) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return walls, cpus


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description="how long `gyre` takes to start")
    parser.add_argument("gyre")
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    print(f"{'command':<40} {'wall min':>9} {'median':>7} {'cpu min':>9} {'median':>7}  (ms)")
    for words in (["true"], *([args.gyre, *words] for words in COMMANDS)):
        walls, cpus = measured(words, args.runs)
        name = " ".join(["gyre", *words[1:]]) if len(words) > 1 else words[0]
        figures = (min(walls), statistics.median(walls), min(cpus), statistics.median(cpus))
        print(f"{name:<40} {figures[0]:>9.1f} {figures[1]:>7.1f} {figures[2]:>9.1f} {figures[3]:>7.1f}")


if __name__ == "__main__":
    sys.exit(main())
