"""Following an operation as a stream: uninterrupted, never backwards, exactly one end."""

import http.client
import json
import time

from .door import Answer, Broken, Client, GaveUp
from .findings import now

# A stream says at least that it lives every 15 s.
QUIET_SECONDS = 40.0
ENDED = {"OPERATION_STATE_SUCCEEDED", "OPERATION_STATE_FAILED", "OPERATION_STATE_CANCELLED"}
# A state never goes to one of a lower rank. What is stuck is taken up again.
RANKS = {"QUEUED": 0, "RUNNING": 1, "UNDOING": 2, "STUCK": 2, "SUCCEEDED": 3, "FAILED": 3, "CANCELLED": 3}


def short(state: str) -> str:
    return state.removeprefix("OPERATION_STATE_")


class Refused(Exception):
    """The stream was not opened, for a reason that goes by."""


class Watcher:
    """One operation's watcher, over as many streams as it takes. It goes to the other gateway when its own is in trouble."""

    def __init__(self, client: Client, uuid: str):
        self.client = client
        self.uuid = uuid
        self.findings = client.door.findings
        self.last: dict | None = None

    def follow(self) -> dict:
        while True:
            begin = now()
            try:
                broken = self._stream()
            except Broken as error:
                broken = str(error)
            except Refused:
                # A call like any other: it is made again.
                if now() > self.client.door.give_up:
                    raise GaveUp(f"watching operation {self.uuid}") from None
                self.client.other()
                time.sleep(0.5)
                continue
            if self.last is not None and self.last["state"] in ENDED and broken is None:
                return self.last
            if broken is not None:
                self._interrupted(begin, broken)
            if now() > self.client.door.give_up:
                raise GaveUp(f"watching operation {self.uuid}: {broken or 'no end'}")
            self.client.other()
            time.sleep(0.3)

    def _interrupted(self, begin: float, why: str) -> None:
        name = self.client.door.gateways[self.client.at][0]
        faults = self.client.door.faults
        if faults is None or faults.troubled(name, begin, now()):
            self.findings.count("streams broken with their gateway")
        elif " DATABASE_AWAY" in why and faults.troubled("postgres", begin, now()):
            # Who has no database cannot tell where an operation stands, and says so.
            self.findings.count("streams that ended for want of the database")
        else:
            self.findings.add("stream interrupted", f"operation {self.uuid} at {name}, which was well: {why}")

    def _stream(self) -> str | None:
        """One stream until it ends; answers why it ended too early."""
        client = self.client
        # On a connection of its own: one that was idle may be closed by now.
        client.drop(client.door.gateways[client.at][0])
        name, connection = client.connection(QUIET_SECONDS)
        ended = False
        try:
            headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {client.door.token()}"}
            connection.request("GET", f"/v1/operations/{self.uuid}:watch", headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                refusal = Answer(answer.status, json.loads(answer.read() or b"{}"), name)
                if client.passing("GET", ":watch", refusal):
                    raise Refused
                return str(refusal)
            event = ""
            while line := answer.readline():
                if now() > client.door.give_up:
                    return "no end within the bound"
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    event = text.removeprefix("event: ")
                elif text.startswith("data: "):
                    data = json.loads(text.removeprefix("data: "))
                    if event == "message":
                        if ended:
                            self.findings.add("two ends", f"operation {self.uuid}: after its end came {data.get('state')}")
                        ended = self._seen(data) or ended
                    elif event == "error":
                        return f"{data.get('code')} {data.get('reason')}: {data.get('detail')}"
                    elif event == "end":
                        if not ended:
                            return "the stream ended before the operation"
                        return None
            return "the stream was cut"
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Broken(f"{name}: {error!r}") from error
        finally:
            # A stream takes its connection along.
            client.drop(name)

    def _seen(self, operation: dict) -> bool:
        """Compares with what was seen before; answers whether this is the end."""
        last, self.last = self.last, operation
        state = short(operation["state"])
        if last is not None:
            before = short(last["state"])
            where = f"operation {self.uuid} ({operation.get('workflow')})"
            if before in ("SUCCEEDED", "FAILED", "CANCELLED") and state != before:
                self.findings.add("end changed", f"{where}: {before}, then {state}")
            elif RANKS[state] < RANKS[before] and before != "STUCK":
                self.findings.add("stream went backwards", f"{where}: {before} (fence {last.get('fence')}), then {state} (fence {operation.get('fence')})")
            if int(operation.get("fence", 0)) < int(last.get("fence", 0)):
                self.findings.add("stream went backwards", f"{where}: fence {last['fence']}, then {operation['fence']}")
            down = int(last.get("percent", 0)) - int(operation.get("percent", 0))
            if down > 0 and state == before == "RUNNING":
                self.findings.count("percent went back")
        return operation["state"] in ENDED
