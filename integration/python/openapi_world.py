"""A small world, made of the examples of an OpenAPI document, for openapi.py: something of every kind, to make calls on."""

import http.client
import itertools
import json
import re
import time
import urllib.parse

UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
IMAGE = bytes(1 << 20)
# Seconds after which a stream is taken to say nothing more.
QUIET = 3

# Where an example names the world outside, what it names in a test.
SAID = {
    "host": {"address": "local"},
    "image": {"url": "upload", "format": "IMAGE_FORMAT_RAW"},
    # nobody listens there
    "webhook": {"url": "http://127.0.0.1:9/"},
}
# Values that may stand once only: how the n-th looks.
UNIQUE = {
    "account": {"name": lambda n: f"alice-{n}"},
    "tag": {"text": lambda n: f"number={n}"},
    "l2-network": {"bridge": lambda n: f"br{n}"},
    "primary-storage": {"path": lambda n: f"/srv/primary-{n}"},
    "image-server": {"path": lambda n: f"/srv/images-{n}"},
}
# References that must be to something new: kind, field and the kind referred to.
NEW = {"ip-range": ("l3NetworkUuid", "l3-network"), "l3-network": ("l2NetworkUuid", "l2-network")}
# What must be there for a create beside what it names.
NEEDS = {"image": ["image-server"], "vm": ["host"]}
# What another call than a create makes.
MADE_BY = {"setting": "SetSetting"}
# Calls that must have been made before on the resource that a call is about.
BEFORE = {
    "StartVm": ["StopVm"],
    "RecoverVm": ["DeleteVm"],
    "ExpungeVm": ["DeleteVm"],
    "RecoverVolume": ["DeleteVolume"],
    "ExpungeVolume": ["DeleteVolume"],
    "RecoverImage": ["DeleteImage"],
    "ExpungeImage": ["DeleteImage"],
}
# Calls about what is still under way.
UNFINISHED = ("UploadImage", "CancelOperation")
# What no example can know: the body of a call.
BODIES = ("CreateSession", "UploadImage")


class Answer:
    """An answer of the gateway."""

    def __init__(self, response, events=None):
        self.status = response.status
        self.headers = response.headers
        self.media = response.headers.get_content_type()
        self.events = events
        self.text = "" if events is not None else response.read().decode()
        self.json = json.loads(self.text) if self.media.endswith("json") else None


class Gateway:
    """A gateway as one caller sees it."""

    def __init__(self, endpoint, token=None):
        self.address = endpoint.removeprefix("http://")
        self.token = token

    def send(self, method, path, body=None, **headers):
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=90)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            stream = response.headers.get_content_type() == "text/event-stream"
            if stream and response.fp is not None:
                connection.sock.settimeout(QUIET)
            return Answer(response, list(first_events(response)) if stream else None)
        finally:
            connection.close()


def first_events(response):
    """The first messages of a stream: two at most, since some streams do not end."""
    event = None
    count = 0
    while True:
        try:
            line = response.readline()
        except TimeoutError:
            return
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event == "message":
            yield json.loads(value)
            count += 1
        if not line or event in ("end", "error") or count == 2:
            return


class World:
    """One of every kind, and ever new ones for calls that change them."""

    def __init__(self, document, endpoint, account, password):
        self.document = document
        self.kinds = document["x-gyre-kinds"]
        self.examples = {facts["exampleUuid"]: kind for kind, facts in self.kinds.items()}
        self.plurals = {facts["plural"]: kind for kind, facts in self.kinds.items()}
        self.calls = {
            operation["operationId"]: (path, method, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        self.numbers = itertools.count(1)
        self.there = {}
        self.nobody = Gateway(endpoint)
        self.session = {"account": account, "password": password}
        self.admin = self.sign_in(**self.session)
        account = self.body_of("account")
        self.good(self.admin.send("POST", "/v1/accounts", account))
        self.alice = self.sign_in(account=account["name"], password=account["password"])

    def named(self):
        """The calls that the tables name."""
        return itertools.chain(BEFORE, *BEFORE.values(), MADE_BY.values(), UNFINISHED, BODIES)

    def sign_in(self, **session):
        return Gateway(self.nobody.address, self.good(self.nobody.send("POST", "/v1/sessions", session))["token"])

    @staticmethod
    def good(answer):
        if not 200 <= answer.status < 300:
            raise SystemExit(f"the world cannot be made: {answer.status} {answer.text}")
        body = answer.json
        if body.get("workflow") and body.get("state") != "OPERATION_STATE_SUCCEEDED":
            raise SystemExit(f"the world cannot be made: {body}")
        return body

    def real(self, value):
        """A value of an example with what it refers to made real."""
        if isinstance(value, dict):
            return {name: self.real(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.real(inner) for inner in value]
        if isinstance(value, str) and UUID.fullmatch(value) and value in self.examples:
            return self.one(self.examples[value])
        return value

    def body_of(self, kind):
        """The example of a create, with what must differ from it in a test."""
        content = self.document["paths"][f"/v1/{self.kinds[kind]['plural']}"]["post"]["requestBody"]["content"]
        body = self.real(content["application/json"]["example"])
        number = next(self.numbers)
        body.update(SAID.get(kind, {}))
        body.update({name: make(number) for name, make in UNIQUE.get(kind, {}).items()})
        if kind in NEW:
            name, other = NEW[kind]
            body[name] = self.make(other, finished=False)
        return body

    def make(self, kind, finished=True):
        """Makes a resource from its example; answers its UUID."""
        if kind == "operation":
            return self.operation(finished)
        if kind == "dead-letter":
            return self.dead_letter()
        for other in NEEDS.get(kind, []):
            self.one(other)
        if kind in MADE_BY:
            return self.good(self.admin.send(*self.wish(self.calls[MADE_BY[kind]])))["uuid"]
        plural = self.kinds[kind]["plural"]
        if "post" not in self.document["paths"][f"/v1/{plural}"]:
            # what no call makes comes with a machine
            self.one("vm")
            rows = self.good(self.admin.send("GET", f"/v1/{plural}?pageSize=1"))
            return next(row["uuid"] for page in rows.values() if isinstance(page, list) for row in page)
        made = self.good(self.admin.send("POST", f"/v1/{plural}", self.body_of(kind), Prefer="wait=60"))
        uuid = made["resourceUuid"] if "workflow" in made else made["uuid"]
        if kind == "image" and finished:
            self.good(self.admin.send("POST", f"/v1/images/{uuid}:upload", IMAGE, Prefer="wait=60"))
        if kind == "l3-network" and finished:
            # a network without addresses gives none
            content = self.document["paths"]["/v1/ip-ranges"]["post"]["requestBody"]["content"]
            body = content["application/json"]["example"] | {"l3NetworkUuid": uuid}
            self.good(self.admin.send("POST", "/v1/ip-ranges", body))
        if kind == "host" and "primary-storage" not in self.there:
            self.there.setdefault(kind, uuid)
            self.one("primary-storage")
        return uuid

    def operation(self, finished):
        """Begins an operation; answers its UUID."""
        if finished:
            path = self.calls["ReconnectHost"][0].replace("{uuid}", self.one("host"))
            return self.good(self.admin.send("POST", path, {}, Prefer="wait=60"))["uuid"]
        return self.admin.send("POST", "/v1/vms", self.body_of("vm")).json["uuid"]

    def dead_letter(self):
        """Lets a webhook give up what nobody takes; answers the UUID of the dead letter."""
        self.good(self.admin.send("POST", "/v1/settings", {"name": "webhook.give-up-after", "value": "0s"}))
        webhook = self.one("webhook")
        zone = self.make("zone")
        wanted = urllib.parse.quote(f'webhook_uuid = "{webhook}" AND resource_uuid = "{zone}"')
        for _ in range(500):
            rows = self.good(self.admin.send("GET", f"/v1/dead-letters?filter={wanted}")).get("deadLetters")
            if rows:
                return rows[0]["uuid"]
            time.sleep(0.02)
        raise SystemExit("the world cannot be made: no dead letter comes")

    def one(self, kind):
        """The one of a kind that calls may name which leave it as it is."""
        if kind not in self.there:
            uuid = self.make(kind)
            self.there.setdefault(kind, uuid)
        return self.there[kind]

    def kind_at(self, path):
        """The kind that a path is about."""
        return self.plurals.get(re.split("[/:]", path)[2])

    def wish(self, call, nobody=None, query=None, extra=None):
        """Method, path and body of a call: its example, made real. With `nobody`, about the resource of that UUID."""
        path, method, operation = call
        name = operation["operationId"]
        if "{uuid}" in path:
            path = path.replace("{uuid}", nobody or self.subject(call))
        for parameter in operation["parameters"]:
            if parameter.get("in") == "path" and parameter["name"] != "uuid":
                path = path.replace(f"{{{parameter['name']}}}", str(self.real(parameter["example"])))
        if query:
            query = {name: json.dumps(value) if isinstance(value, bool) else value for name, value in query.items()}
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        return method.upper(), path, self.body(call, name, nobody, extra)

    def body(self, call, name, nobody, extra):
        path, method, operation = call
        if name == "CreateSession":
            return self.session | (extra or {})
        if name == "UploadImage":
            # a refusal does not wait for all of it
            return IMAGE if nobody is None else IMAGE[:1024]
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return None
        kind = self.kind_at(path)
        if method == "post" and path == f"/v1/{self.kinds.get(kind, {}).get('plural')}" and nobody is None:
            return self.body_of(kind) | (extra or {})
        example = content["application/json"]["example"]
        return (self.real(example) if nobody is None else example) | (extra or {})

    def subject(self, call):
        """The UUID of what a call is about: the one of its kind, or a new one for a call that changes it."""
        path, method, operation = call
        kind = self.kind_at(path)
        name = operation["operationId"]
        if method == "get":
            return self.one(kind)
        uuid = self.make(kind, finished=name not in UNFINISHED)
        for before in BEFORE.get(name, []):
            step = self.calls[before]
            body = {} if "requestBody" in step[2] else None
            self.good(self.admin.send(step[1].upper(), step[0].replace("{uuid}", uuid), body, Prefer="wait=60"))
        return uuid
