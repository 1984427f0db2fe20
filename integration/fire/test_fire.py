"""Tests of the harness itself: `python3 -m unittest discover -s integration/fire -t integration`, with deploy on the path.

A check that finds nothing proves nothing until it has been seen to find something.
"""

import json
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "deploy"))

from dev_cluster.layout import Settings  # noqa: E402

from fire import agents, schedule  # noqa: E402
from fire.findings import Findings  # noqa: E402
from fire.topology import Topology  # noqa: E402
from fire.watch import Watcher  # noqa: E402


def topology(folder: str = "/nowhere") -> Topology:
    return Topology(Path(folder), Settings(19000, "", instances=3, gateways=2, agents=2), spread=True, task_ms="0")


class Schedule(unittest.TestCase):
    def test_it_is_a_function_of_the_seed(self):
        first, again = (schedule.make(topology(), 7, 600, schedule.KINDS) for _ in range(2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, schedule.make(topology(), 8, 600, schedule.KINDS))

    def test_all_kinds_come_and_all_are_over_in_time(self):
        faults = schedule.make(topology(), 3, 1800, schedule.KINDS)
        self.assertEqual({fault.kind for fault in faults}, set(schedule.KINDS))
        self.assertEqual({fault.what for fault in faults}, {"kill", "restart", "freeze", "unplug", "drop"})
        self.assertTrue(all(fault.at + fault.seconds <= 1800 for fault in faults))
        self.assertGreater(max(fault.seconds for fault in faults if fault.what == "freeze"), 50)
        for fault in faults:
            beside = [other for other in faults if other is not fault and other.at <= fault.at < other.at + other.seconds]
            self.assertLess(len(beside), schedule.AT_ONCE)
            self.assertFalse(any(set(other.touched) & set(fault.touched) for other in beside))

    def test_only_what_is_wanted_comes(self):
        self.assertEqual({fault.kind for fault in schedule.make(topology(), 3, 600, ("etcd",))}, {"etcd"})


class Logs(unittest.TestCase):
    def found(self, *events: dict, ends: dict[str, float] | None = None) -> list[str]:
        findings = Findings()
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            at = topology(folder)
            at.logs.mkdir()
            lines = []
            for n, event in enumerate(events):
                whole = {"time": f"2026-01-01T00:00:{n:02}Z", "target": "gyre_agent::task", "host": "h1", "vm": "v1", "kind": "start_machine"}
                lines.append(json.dumps({**whole, "operation": "o1", "operation_fence": 1, "undo": False, "message": "task starts", **event}))
            (at.logs / "agent-1.log").write_text("\n".join(lines))
            agents.logs(at, findings, ends or {})
        return [line.rpartition(":")[0] for line in findings.report(True) if not line.startswith(" ")]

    def test_takeovers_in_order_are_fine(self):
        done = {"message": "task done"}
        self.assertEqual(self.found({}, {"operation_fence": 2, "undo": True}, {**done}, {"operation": "o2"}, {"operation": "o2", **done}), [])

    def test_an_old_owner_is_found(self):
        self.assertEqual(self.found({"operation_fence": 2}, {"operation_fence": 1}), ["agent took an old owner's task"])
        self.assertEqual(self.found({"undo": True}, {"undo": False}), ["agent took an old owner's task"])

    def test_a_task_of_an_ended_operation_is_found(self):
        begin = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
        self.assertEqual(self.found({}, ends={"o1": begin + 3}), [])
        self.assertEqual(self.found({}, {"message": "task done"}, {"vm": ""}, ends={"o1": begin + 1}), ["acted after its operation's end"])

    def test_two_at_one_machine_are_found(self):
        self.assertEqual(self.found({}, {"operation": "o2"}), ["two operations on one machine"])
        self.assertEqual(self.found({}, {"message": "task done"}, {"operation": "o2", "host": "h2"}), ["one machine on two hosts"])


class Watching(unittest.TestCase):
    def found(self, *operations: dict) -> list[str]:
        findings = Findings()
        watcher = Watcher(SimpleNamespace(door=SimpleNamespace(findings=findings)), "o1")
        with redirect_stdout(StringIO()):
            for operation in operations:
                watcher._seen({"fence": "1", **operation, "state": f"OPERATION_STATE_{operation['state']}"})
        return [line.rpartition(":")[0] for line in findings.report(True) if not line.startswith(" ")]

    def test_forwards_is_fine(self):
        states = ("QUEUED", "RUNNING", "UNDOING", "STUCK", "UNDOING", "FAILED")
        self.assertEqual(self.found(*({"state": state} for state in states)), [])

    def test_backwards_is_found(self):
        self.assertEqual(self.found({"state": "UNDOING"}, {"state": "RUNNING"}), ["stream went backwards"])
        self.assertEqual(self.found({"state": "RUNNING", "fence": "2"}, {"state": "RUNNING"}), ["stream went backwards"])
        self.assertEqual(self.found({"state": "SUCCEEDED"}, {"state": "FAILED"}), ["end changed"])


if __name__ == "__main__":
    unittest.main()
