"""What needs no gateway, or one that is played."""

import http.server
import json
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone

from gyre_client import Client, StreamBroken, errors
from gyre_client._call import Call
from gyre_client._wire import camel, decode, encode, snake
from gyre_client.types import Operation, OperationState, Vm, VmState


class Forms(unittest.TestCase):
    def test_values_have_their_json_form(self):
        time = datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=timezone.utc)
        for form, value, json_form in [
            ("int64", 1 << 40, "1099511627776"),
            ("bytes", b"hello", "aGVsbG8="),
            ("time", time, "2026-01-31T12:00:00.500000Z"),
            ("duration", timedelta(seconds=1.5), "1.5s"),
            ("mask", ["name", "host_uuid"], "name,hostUuid"),
            ("VmState", VmState.RUNNING, "VM_STATE_RUNNING"),
            ("*text", ["a"], ["a"]),
        ]:
            self.assertEqual(encode(form, value), json_form, form)
            self.assertEqual(decode(form, json_form), value, form)
        self.assertEqual(decode("time", "2026-01-31T13:00:00.123456789+01:00").microsecond, 123456)
        self.assertEqual((camel("l3_network_uuids"), snake("l3NetworkUuids")), ("l3NetworkUuids", "l3_network_uuids"))

    def test_what_is_newer_is_kept_or_passed_over(self):
        vm = Vm.decode({"name": "a", "state": "VM_STATE_DREAMING", "colour": "red", "memoryBytes": "7"})
        self.assertEqual((vm.name, vm.state.name, vm.memory_bytes), ("a", "VM_STATE_DREAMING", 7))
        self.assertEqual(vm.encode()["state"], "VM_STATE_DREAMING")

    def test_messages_that_say_what_they_are_are_read(self):
        self.assertEqual(decode("any", {"@type": "type.googleapis.com/gyre.vm.v1.Vm", "name": "a"}), Vm(name="a"))
        self.assertEqual(decode("any", {"@type": "x/y.Unknown", "name": "a"})["name"], "a")

    def test_a_message_shows_what_it_has(self):
        self.assertEqual(repr(Vm(name="a", state=VmState.RUNNING)).replace("<", "").split(", ")[0], "Vm(name='a'")

    def test_calls_are_put_together(self):
        call = Call("PATCH", "/v1/vms/{vm.uuid}", "vm", Vm)
        path, body = call.fill({"vm": {"uuid": "u", "name": "a b"}, "updateMask": "name"})
        self.assertEqual((path, body), ("/v1/vms/u?updateMask=name", {"name": "a b"}))
        call = Call("GET", "/v1/vms", "", Vm)
        path, body = call.fill({"filter": 'name = "ä"', "names": ["a", "b"], "deep": {"er": True}})
        self.assertEqual(path, "/v1/vms?filter=name+%3D+%22%C3%A4%22&names=a&names=b&deep.er=true")
        self.assertIsNone(body)


class Played(http.server.BaseHTTPRequestHandler):
    """A gateway that answers what it is told to."""

    protocol_version = "HTTP/1.1"
    answers = []
    asked = []

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        status, body, *rest = self.answers.pop(0)
        if status == 0:
            self.close_connection = True
            return
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in rest:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


class Tries(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Played)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        Played.answers.clear()
        Played.asked.clear()
        self.cloud = Client(f"http://127.0.0.1:{self.server.server_port}", token="t", tries=3)
        self.addCleanup(self.cloud.close)

    def test_what_is_safe_is_tried_again_as_one_wish(self):
        away = {"code": "UNAVAILABLE", "reason": "NO_MEMBER", "detail": "nobody is there"}
        done = {"uuid": "o", "workflow": "create-vm", "state": "OPERATION_STATE_SUCCEEDED"}
        Played.answers += [(503, away), (0, b""), (200, done)]
        operation = self.cloud.vms.create(Vm(name="a"))
        self.assertIsInstance(operation, Operation)
        ids = {headers["X-Request-Id"] for _, _, headers, _ in Played.asked}
        self.assertEqual((len(Played.asked), len(ids)), (3, 1))

    def test_what_is_too_much_is_tried_again_when_it_is_told_to(self):
        busy = {"code": "RESOURCE_EXHAUSTED", "reason": "OVERLOADED", "detail": "too many calls"}
        Played.answers += [(429, busy, ("Retry-After", "1")), (200, {"uuid": "u", "name": "a"})]
        began = time.monotonic()
        self.assertEqual(self.cloud.vms.get("u").name, "a")
        self.assertGreaterEqual(time.monotonic() - began, 1)
        # not where that would be too late, and not where nobody says when
        late, silent, soon = (429, busy, ("Retry-After", "60")), (429, busy), (429, busy, ("Retry-After", "1"))
        for answer, timeout in [(late, 30), (silent, 30), (soon, 0.5)]:
            Played.asked.clear()
            Played.answers += [answer]
            with self.assertRaises(errors.ResourceExhausted):
                self.cloud.vms.get("u", timeout=timeout)
            self.assertEqual(len(Played.asked), 1)

    def test_tries_end(self):
        Played.answers += [(503, {"code": "UNAVAILABLE", "detail": "away"})] * 3
        with self.assertRaises(errors.Unavailable):
            self.cloud.vms.get("u")
        self.assertEqual(len(Played.asked), 3)

    def test_what_is_not_safe_or_not_worth_it_is_tried_once(self):
        Played.answers += [(503, {"code": "UNAVAILABLE", "detail": "away"})]
        with self.assertRaises(errors.Unavailable):
            self.cloud.vms.write_console("u", b"ls\n")
        Played.answers += [(404, {"code": "NOT_FOUND", "detail": "gone"})]
        with self.assertRaises(errors.NotFound):
            self.cloud.vms.get("u")
        Played.answers += [(502, b"<html>")]
        with self.assertRaises(errors.ApiError):
            self.cloud.vms.get("u")
        self.assertEqual(len(Played.asked), 3)

    def test_a_watch_goes_on_after_a_break(self):
        half = {"uuid": "o", "state": "OPERATION_STATE_RUNNING", "percent": 50}
        done = {"uuid": "o", "state": "OPERATION_STATE_SUCCEEDED", "percent": 100}
        event = "id: 1\nevent: message\ndata: {}\n\n".format
        Played.answers += [
            (200, event(json.dumps(half)).encode()),
            (200, (": alive\n\n" + event(json.dumps(done)) + "event: end\ndata: {}\n\n").encode()),
        ]
        operation = Operation(uuid="o")
        operation._client = self.cloud
        self.assertEqual([one.percent for one in operation.watch()], [50, 100])
        self.assertEqual(operation.state, OperationState.SUCCEEDED)

    def test_streams_tell_how_they_end(self):
        Played.answers += [(200, b'event: error\ndata: {"code": "NOT_FOUND", "status": 404, "detail": "gone"}\n\n')]
        with self.assertRaises(errors.NotFound), self.cloud.vms.read_console("u") as stream:
            next(stream)
        Played.answers += [(200, b'event: message\ndata: {"data": "aGk="}\n\n')]
        with self.assertRaises(StreamBroken), self.cloud.vms.read_console("u") as stream:
            self.assertEqual(next(stream).data, b"hi")
            next(stream)


if __name__ == "__main__":
    unittest.main()
