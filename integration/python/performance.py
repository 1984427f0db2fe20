"""Keeps what `gyre-bench` measured, and writes the tables and plots of docs/performance.md from it.

    performance.py record embedded -- target/release/gyre-bench create-vms --embedded --count 10000
    performance.py write                  # tables and plots anew
    performance.py check                  # whether they are what was kept says; for CI

A name (`embedded`) is a file of docs/performance: NAME.jsonl. `record` runs the command with `--json` and appends what it prints,
behind a line that says what ran, when, and on what. Its table stands in performance.md between

    <!-- figures NAME -->
    <!-- end NAME -->

Runs that tell their rate in parts (`rates_per_s`) are drawn into NAME.svg: machines that are there to the right, rate upwards.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
MARKED = re.compile(r"(<!-- figures (?P<name>[a-z0-9-]+) -->\n)(?P<text>.*?)(<!-- end (?P=name) -->)", re.DOTALL)
# What has a column of its own, or is of no use in a table.
SHOWN = {
    *("scenario", "count", "ok", "failed", "wall_s", "rate_per_s", "p50_ms", "p90_ms", "p99_ms", "max_ms"),
    *("cpu_ms_per_call", "cpu_ms_per_call_by_process", "commits_per_call", "statements_per_call", "agent_trips_per_call"),
    *("by_name", "rss_mb", "rss_mb_by_process", "machines", "concurrency", "rates_per_s", "by_act", "problem", "database"),
}
COLORS = ("#1f6feb", "#d1495b", "#2e8b57", "#8e5bd0", "#c77700", "#00838f")


class Trouble(Exception):
    """Something that whoever runs this can mend."""


def runs(file: Path) -> list[tuple[dict, list[dict]]]:
    """What is kept in a file: each run, with what it printed."""
    kept: list[tuple[dict, list[dict]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            told = json.loads(line)
        except ValueError as error:
            raise Trouble(f"{file}:{number} is no JSON: {error}") from error
        if "run" in told:
            kept.append((told["run"], []))
        elif not kept:
            raise Trouble(f"{file}:{number}: no line before it says what ran")
        elif "scenario" in told:
            kept[-1][1].append(told)
    return kept


def shown(value: float | None, digits: int = 2) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.{digits}f}"


def split(by_name: dict) -> str:
    """A figure by process, largest first; nothing where there is one process."""
    if len(by_name) < 2:
        return ""
    ordered = sorted(by_name.items(), key=lambda item: -item[1])
    return " (" + ", ".join(f"{name} {shown(value)}" for name, value in ordered) + ")"


def further(figures: dict) -> str:
    """What a scenario tells besides."""
    told = []
    for key, value in figures.items():
        if key in SHOWN or value is None:
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {shown(part)}" for name, part in value.items())
        told.append(f"{key} {shown(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value}")
    for act, latencies in figures.get("by_act", {}).items():
        told.append(f"{act} {latencies['count']}: p50 {shown(latencies['p50_ms'])}, p99 {shown(latencies['p99_ms'])}")
    if figures.get("problem"):
        told.append(f"first problem: {figures['problem']}")
    return "; ".join(told).replace("|", "\\|")


def row(number: int, figures: dict) -> str:
    """A line of the table."""
    cells = [
        str(number),
        figures["scenario"],
        shown(figures.get("count")) + (f", {shown(figures['failed'])} failed" if figures["failed"] else ""),
        shown(figures.get("wall_s")),
        shown(figures.get("rate_per_s"), 1),
        ", ".join(shown(figures.get(key)) for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")),
        shown(figures.get("cpu_ms_per_call")) + split(figures.get("cpu_ms_per_call_by_process", {})),
        ", ".join(shown(figures.get(key)) for key in ("commits_per_call", "statements_per_call", "agent_trips_per_call")),
        shown(figures.get("rss_mb"), 0) + split(figures.get("rss_mb_by_process", {})),
        further(figures),
    ]
    return "| " + " | ".join(cells) + " |"


def table(name: str, kept: list[tuple[dict, list[dict]]], plotted: bool) -> str:
    """The text between the marks."""
    heads = ["run", "scenario", "count", "s", "a second", "p50, p90, p99, max ms", "processor ms a call"]
    heads += ["commits, statements, agent trips a call", "MiB", "besides"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for number, (_, all_figures) in enumerate(kept, start=1):
        lines += [row(number, figures) for figures in all_figures]
    lines.append("")
    for number, (run, _) in enumerate(kept, start=1):
        note = f"; {run['note']}" if run.get("note") else ""
        lines.append(f"{number}. `{run['command']}`, {run['date']}, commit {run['commit']}, {run['machine']}{note}")
    if plotted:
        lines += ["", f"![machines a second over machines that are there](performance/{name}.svg)"]
    return "\n".join(lines) + "\n"


def ceiling(value: float) -> float:
    """The next round number: 1, 2 or 5 times a power of ten."""
    step = 10.0 ** (len(str(int(max(value, 1)))) - 1)
    return next(step * factor for factor in (1, 2, 5, 10) if step * factor >= value)


def plot(kept: list[tuple[dict, list[dict]]]) -> str | None:
    """Rates over machines that are there, as SVG; nothing where no run tells them."""
    lines = []
    for run, all_figures in kept:
        for figures in all_figures:
            rates = figures.get("rates_per_s")
            if rates:
                part = figures["count"] / len(rates)
                before = figures["machines"] if figures["scenario"].startswith("create") else 0
                points = [(before + part * (place + 0.5), rate) for place, rate in enumerate(rates)]
                if figures["scenario"].startswith("delete"):
                    points = [(figures["count"] - x, y) for x, y in points]
                lines.append((f"{figures['scenario']} {figures['count']:,}, {run['date']}", points))
    if not lines:
        return None
    width, height, left, top = 760, 380, 70, 20
    bottom = height - 50 - 18 * len(lines)
    most_x = ceiling(max(x for _, points in lines for x, _ in points))
    most_y = ceiling(max(y for _, points in lines for _, y in points))

    def at(x: float, y: float) -> str:
        return f"{left + (width - left - 20) * x / most_x:.1f},{bottom - (bottom - top) * y / most_y:.1f}"

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for part in range(5):
        x, y = most_x * part / 4, most_y * part / 4
        (px, _), (_, py) = at(x, 0).split(","), at(0, y).split(",")
        svg.append(f'<line x1="{left}" y1="{py}" x2="{width - 20}" y2="{py}" stroke="#ddd"/>')
        svg.append(f'<text x="{left - 6}" y="{float(py) + 4:.1f}" text-anchor="end">{y:,.0f}</text>')
        svg.append(f'<text x="{px}" y="{bottom + 18}" text-anchor="middle">{x:,.0f}</text>')
    svg.append(f'<text x="{(left + width) / 2:.0f}" y="{bottom + 34}" text-anchor="middle">machines that are there</text>')
    svg.append(f'<text x="14" y="{(top + bottom) / 2:.0f}" transform="rotate(-90 14 {(top + bottom) / 2:.0f})" '
               'text-anchor="middle">machines a second</text>')
    for place, (label, points) in enumerate(lines):
        color, y = COLORS[place % len(COLORS)], bottom + 54 + 18 * place
        drawn = " ".join(at(*point) for point in points)
        svg.append(f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{drawn}"/>')
        svg.append(f'<line x1="{left}" y1="{y - 4}" x2="{left + 24}" y2="{y - 4}" stroke="{color}" stroke-width="2"/>')
        svg.append(f'<text x="{left + 30}" y="{y}">{label}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"


def written(docs: Path) -> dict[Path, str]:
    """Every file that is made, with what should be in it."""
    page = docs / "performance.md"
    text = page.read_text(encoding="utf-8")
    files = {file.stem: file for file in sorted((docs / "performance").glob("*.jsonl"))}
    marked = [found["name"] for found in MARKED.finditer(text)]
    for name in sorted(set(files) ^ set(marked)):
        where = f"{page} has no marks for it" if name in files else f"{docs / 'performance' / name}.jsonl is not there"
        raise Trouble(f"figures {name}: {where}")
    made = {}
    tables = {}
    for name, file in files.items():
        kept = runs(file)
        drawn = plot(kept)
        if drawn is not None:
            made[file.with_suffix(".svg")] = drawn
        tables[name] = table(name, kept, drawn is not None)
    made[page] = MARKED.sub(lambda found: found[1] + tables[found["name"]] + found[4], text)
    return made


def record(docs: Path, name: str, note: str, command: list[str]) -> None:
    """Runs a command and keeps what it prints."""
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise Trouble(f"{name!r} is no name: write small letters, digits and dashes")
    if not command:
        raise Trouble("name a command behind --")
    ended = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(ended.stdout)
    if ended.returncode != 0:
        raise Trouble(f"{command[0]} ended with {ended.returncode}: nothing is kept")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    run = {
        "command": " ".join([Path(command[0]).name, *command[1:]]),
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "note": note,
    }
    file = docs / "performance" / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as kept:
        kept.write(json.dumps({"run": run}) + "\n" + ended.stdout)


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description="keeps what gyre-bench measured and writes its tables")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder with performance.md")
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record", help="runs a command and keeps what it prints")
    recording.add_argument("--note", default="", help="what else to say of it")
    recording.add_argument("name")
    recording.add_argument("command", nargs="+")
    verbs.add_parser("write", help="writes the tables and plots")
    verbs.add_parser("check", help="fails where they are not what was kept says")
    args = parser.parse_args()
    if args.verb == "record":
        record(args.docs, args.name, args.note, args.command)
        return
    stale = [file for file, text in written(args.docs).items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    if args.verb == "write":
        for file, text in written(args.docs).items():
            file.write_text(text, encoding="utf-8")
        print(f"performance: {len(stale)} files written anew")
    elif stale:
        names = ", ".join(str(file) for file in stale)
        raise Trouble(f"{names}: not what was measured; run integration/python/performance.py write")
    else:
        print("performance: tables and plots are what was measured")


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"performance: {trouble}")
