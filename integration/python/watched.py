"""A list that is watched through the development cluster while the instance that serves it is killed with SIGKILL, again and again.

Offerings are made and changed all the time, at both gateways. Whatever process dies, the watcher's one connection goes on, and of each
offering every generation is told once and in order: nothing is lost and nothing doubled.

    watched.py --cluster deploy/dev-cluster --rounds 4 --second http://127.0.0.1:7081

Run by .ci/cluster against a cluster that is up, with its environment (`dev-cluster env`).
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

KIND = "instance-offerings"
# Everything is on loopback: a proxy in the environment is not for us.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(url: str, body: dict | None = None, method: str = "POST", token: str = "") -> dict:
    """Calls a gateway."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with _opener.open(request, timeout=30) as answer:
        return json.load(answer)


def insisted(url: str, body: dict, method: str, token: str) -> dict:
    """Makes a call until it is answered: the same request id is the same wish."""
    url = f"{url}?{urllib.parse.urlencode({'requestId': str(uuid.uuid4())})}"
    until = time.monotonic() + 60
    while True:
        try:
            return call(url, body, method, token)
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code not in (429, 502, 503, 504)
            if refused or time.monotonic() > until:
                raise
            time.sleep(0.1)


class Watcher(threading.Thread):
    """One connection, and the events that came over it."""

    def __init__(self, endpoint: str, token: str) -> None:
        super().__init__(daemon=True)
        where = urllib.parse.urlsplit(endpoint)
        self.connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
        self.connection.request("GET", f"/v1/{KIND}:watch", headers={"Authorization": f"Bearer {token}"})
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise SystemExit(f"watching answers {self.answer.status}: {self.answer.read(2000)!r}")
        self.events: list[dict] = []
        self.over = ""

    def run(self) -> None:
        name = ""
        try:
            for line in self.answer:
                text = line.decode().rstrip("\r\n")
                if text.startswith("event:"):
                    name = text[6:].strip()
                elif text.startswith("data:") and name == "message":
                    self.events.append(json.loads(text[5:]))
                elif text.startswith("data:"):
                    self.over = f"{name} {text[5:]}"
                    return
            self.over = "the connection ended"
        except (OSError, http.client.HTTPException) as error:
            self.over = f"the connection broke: {error}"

    def until(self, what: str, holds) -> None:
        """Waits until what was told fulfils something."""
        until = time.monotonic() + 60
        while not holds(self.events):
            if self.over or time.monotonic() > until:
                raise SystemExit(f"waiting for {what}: {self.over or 'it did not come within a minute'}")
            time.sleep(0.02)


class Writer(threading.Thread):
    """Makes offerings and changes those that it made."""

    def __init__(self, endpoint: str, token: str) -> None:
        super().__init__(daemon=True)
        self.endpoint, self.token = endpoint, token
        self.stop = threading.Event()
        self.failed = ""

    def run(self) -> None:
        made: list[str] = []
        try:
            while not self.stop.is_set():
                if len(made) % 3 == 2:
                    body = {"description": str(time.time())}
                    insisted(f"{self.endpoint}/v1/{KIND}/{made[-1]}", body, "PATCH", self.token)
                name = f"watched-{uuid.uuid4().hex[:8]}"
                body = {"name": name, "cpuCount": 1, "memoryBytes": str(64 << 20)}
                made.append(insisted(f"{self.endpoint}/v1/{KIND}", body, "POST", self.token)["uuid"])
        except (OSError, http.client.HTTPException, KeyError) as error:
            detail = error.read(2000) if isinstance(error, urllib.error.HTTPError) else ""
            self.failed = f"{error} {detail}"


def subscribers(cluster: str) -> dict[str, int]:
    """How many follow the log in each instance of a service."""
    status = subprocess.run([cluster, "status"], capture_output=True, text=True, check=True).stdout
    found = {}
    for instance, port in re.findall(r"^([a-z]+-\d)\s.*\bmetrics=(\d+)", status, re.MULTILINE):
        try:
            with _opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                number = re.search(r"^gyre_log_subscribers (\d+)", answer.read().decode(), re.MULTILINE)
        except OSError:
            continue
        found[instance] = int(number[1]) if number else 0
    return found


def serving(cluster: str, before: dict[str, int]) -> str:
    """The instance that has one more watcher than before."""
    until = time.monotonic() + 30
    while True:
        now = subscribers(cluster)
        found = [instance for instance, count in now.items() if count > before.get(instance, 0)]
        if len(found) == 1:
            return found[0]
        if time.monotonic() > until:
            raise SystemExit(f"who serves the watch? before {before}, now {now}")
        time.sleep(0.2)


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description="a watched list while instances are killed")
    parser.add_argument("--cluster", default="deploy/dev-cluster")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--second", help="another gateway, at which changes are made too")
    args = parser.parse_args()
    with open(os.environ["GYRE_SIGN_IN_FILE"], encoding="utf-8") as file:
        sign_in = json.load(file)
    endpoint = os.environ["GYRE_ENDPOINT"]
    token = call(f"{endpoint}/v1/sessions", {"account": sign_in["account"], "password": sign_in["password"]})["token"]
    before = subscribers(args.cluster)
    watcher = Watcher(endpoint, token)
    watcher.start()
    watcher.until("SYNCED", lambda events: any(event["type"].endswith("_SYNCED") for event in events))
    writers = [Writer(at, token) for at in {endpoint, args.second or endpoint}]
    for writer in writers:
        writer.start()
    for number in range(args.rounds):
        for writer in writers:
            if writer.failed:
                raise SystemExit(f"a change was refused: {writer.failed}")
        heard = len(watcher.events)
        watcher.until("changes", lambda events, heard=heard: len(events) > heard + 20)
        instance = serving(args.cluster, before)
        begin = time.monotonic()
        subprocess.run([args.cluster, "kill", instance], check=True, stdout=subprocess.DEVNULL)
        heard = len(watcher.events)
        watcher.until("changes after the kill", lambda events, heard=heard: len(events) > heard + 20)
        took = time.monotonic() - begin
        print(f"watched: round {number + 1}: {instance} killed, 20 changes told {took:.1f} s later", flush=True)
        # one that starts has none of its own
        before[instance] = 0
        subprocess.run([args.cluster, "start", instance], check=True, stdout=subprocess.DEVNULL)
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join()
        if writer.failed:
            raise SystemExit(f"a change was refused: {writer.failed}")
    last = call(f"{endpoint}/v1/{KIND}", {"name": "the-last", "cpuCount": 1, "memoryBytes": "67108864"}, "POST", token)
    watcher.until("the last", lambda events: any(event.get("uuid") == last["uuid"] for event in events))

    told: dict[str, list[int]] = {}
    for event in watcher.events:
        kind = event["type"].removeprefix("WATCH_EVENT_TYPE_")
        if kind in ("RESET", "REMOVED"):
            raise SystemExit(f"nothing was removed, and the list goes on: {event}")
        if event.get("uuid"):
            told.setdefault(event["uuid"], []).append(int(event["resource"]["generation"]))
    there, page = {}, ""
    while True:
        query = urllib.parse.urlencode({"pageSize": 1000, "pageToken": page})
        answer = call(f"{endpoint}/v1/{KIND}?{query}", None, "GET", token)
        there.update({one["uuid"]: int(one["generation"]) for one in answer.get("instanceOfferings", [])})
        page = answer.get("nextPageToken", "")
        if not page:
            break
    wrong = {}
    for one, generation in there.items():
        seen = told.pop(one, [])
        # what was there at first was told as it was then
        if seen != list(range(seen[0] if seen else 0, generation + 1)):
            wrong[one] = (seen, generation)
    if wrong or told:
        raise SystemExit(f"lost or doubled: {wrong}; told of what is not there: {told}")
    changes = sum(there.values())
    print(f"watched: {len(there)} offerings, {changes} changes, {args.rounds} kills: each told once, over one connection")


if __name__ == "__main__":
    sys.exit(main())
