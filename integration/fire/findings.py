"""What is wrong, gathered from all threads; and what is worth counting."""

import sys
import threading
import time
from collections import Counter

BEGIN = time.monotonic()
# Of one kind so many are shown; the rest is counted.
SHOWN = 12


def now() -> float:
    """Seconds since the run began."""
    return time.monotonic() - BEGIN


def say(text: str) -> None:
    """A line with the time of the run, whole even where threads speak at once."""
    sys.stdout.write(f"{now():8.1f} s  {text}\n")
    sys.stdout.flush()


class Findings:
    def __init__(self):
        self._lock = threading.Lock()
        self._found: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self._spans: dict[str, list[float]] = {}

    def add(self, kind: str, text: str) -> None:
        """Something that must not be."""
        with self._lock:
            lines = self._found.setdefault(kind, [])
            lines.append(f"{now():.1f} s: {text}")
            first = len(lines) <= SHOWN
        if first:
            say(f"FINDING {kind}: {text}")

    def count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self.counts[what] += by

    def took(self, what: str, seconds: float) -> None:
        with self._lock:
            self._spans.setdefault(what, []).append(seconds)

    def __len__(self) -> int:
        with self._lock:
            return sum(len(lines) for lines in self._found.values())

    def spans(self) -> list[str]:
        """How long things took: count, median, 99 of 100, longest."""
        lines = []
        with self._lock:
            for what, spans in sorted(self._spans.items()):
                ordered = sorted(spans)
                at = lambda part: ordered[min(len(ordered) - 1, int(part * len(ordered)))]  # noqa: E731
                lines.append(f"{what}: {len(ordered)}, median {at(0.5):.2f} s, p99 {at(0.99):.2f} s, longest {ordered[-1]:.2f} s")
        return lines

    def report(self, all_of_them: bool) -> list[str]:
        lines = []
        with self._lock:
            for kind, found in self._found.items():
                lines.append(f"{kind}: {len(found)}")
                shown = found if all_of_them else found[:SHOWN]
                lines += [f"    {line}" for line in shown]
                if len(found) > len(shown):
                    lines.append(f"    … and {len(found) - len(shown)} more")
        return lines
