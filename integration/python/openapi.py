"""Sends the example of every call in a gateway's OpenAPI document, and checks what comes back against the document.

Usage: openapi.py ENDPOINT ACCOUNT PASSWORD
Needs jsonschema, openapi-spec-validator and rfc3339-validator from PyPI (.ci/install tools).

The document is valid OpenAPI 3.1, and each example of it is valid under its own schema. Then a small world is made of the
examples of the creates, in the order in which they refer to each other, and every call is made on something of it. Status,
headers and body of each answer must be what the document says, as must the refusals: without a token, for others than
administrators, for a UUID that nothing has, for fields that no request has.
"""

import copy
import itertools
import json
import sys

import openapi_spec_validator
from jsonschema import Draft202012Validator
from openapi_world import Gateway, World
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

# Calls that a small world cannot make succeed, each with the reason. One that succeeds all the same has no place here.
REFUSED = {
    "RetryOperation": "only an operation that is stuck is tried again, and nothing here gets stuck",
}
# Streams that may have nothing to say.
QUIET = {"ReadVmConsole": "a simulated machine prints nothing"}
# Parameters that have a meaning together only.
PAIRS = ("resourceKind", "resourceUuid")
METHODS = ("get", "put", "post", "patch", "delete")
NOBODY = "0193f3a0-1111-4222-8333-444455556666"


class Wrong(Exception):
    """Something is not as the document says."""


class Document:
    """The document, with what checks values against its schemas."""

    def __init__(self, document):
        self.document = document
        # what is answered now has no fields beyond these, whatever later versions may answer
        closed = copy.deepcopy(document)
        for schema in closed["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self.registries = {
            name: Registry().with_resource("urn:gyre", Resource(contents=contents, specification=DRAFT202012))
            for name, contents in (("said", document), ("closed", closed))
        }

    def check(self, what, value, *pointer, closed=False):
        """Fails unless a value is valid under the schema at a place of the document."""
        place = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
        validator = Draft202012Validator(
            {"$ref": f"urn:gyre#/{place}"},
            registry=self.registries["closed" if closed else "said"],
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
        if errors:
            raise Wrong(f"{what}: " + "; ".join(errors))

    def calls(self):
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    def response(self, call, status):
        """The response of a status, and where it stands."""
        path, method, operation = call
        found = operation["responses"].get(str(status))
        if found is None:
            raise Wrong(f"the document does not know that status {status} may be answered")
        if "$ref" in found:
            place = found["$ref"].lstrip("#/").split("/")
            return self.document[place[0]][place[1]][place[2]], place
        return found, ["paths", path, method, "responses", str(status)]


def check_examples(document):
    """Fails unless every example is there and valid under its schema."""
    count = 0
    for path, method, operation in document.calls():
        here = ["paths", path, method]
        what = operation["operationId"]
        for at, parameter in enumerate(operation["parameters"]):
            if "example" in parameter:
                document.check(f"{what}: {parameter['name']}", parameter["example"], *here, "parameters", at, "schema")
                count += 1
            elif parameter.get("in") == "path":
                raise Wrong(f"{what}: no example of {parameter['name']}")
        if "requestBody" in operation:
            for media, content in operation["requestBody"]["content"].items():
                document.check(what, content["example"], *here, "requestBody", "content", media, "schema")
                count += 1
        for status, response in operation["responses"].items():
            if "$ref" in response:
                continue
            for media, content in response["content"].items():
                document.check(
                    f"{what} {status}", content["example"], *here, "responses", status, "content", media, "schema",
                    closed=True,
                )
                count += 1
    for name, response in document.document["components"]["responses"].items():
        example = response["content"]["application/problem+json"]["example"]
        document.check(name, example, "components", "schemas", "Problem", closed=True)
        count += 1
    return count


class Checker:
    """Makes calls and checks what is answered."""

    def __init__(self, document, world):
        self.document = document
        self.world = world
        self.answers = 0

    def answer(self, call, gateway, wish):
        """Makes a call; the answer is what the document says of its status."""
        answer = gateway.send(*wish)
        self.judge(call, answer)
        return answer

    def judge(self, call, answer):
        response, place = self.document.response(call, answer.status)
        if answer.media not in response["content"]:
            raise Wrong(f"{answer.status} with {answer.media}: {answer.text[:300]}")
        for name in response.get("headers", {}):
            # what was preferred is told where something was, and when to come again where that is known
            if answer.headers.get(name) is None and name not in ("Preference-Applied", "Accept"):
                raise Wrong(f"{answer.status} without the header {name}")
        if answer.media == "text/event-stream":
            for event in answer.events:
                self.document.check("event", event, *place, "content", answer.media, "x-gyre-message", closed=True)
            if not answer.events and call[2]["operationId"] not in QUIET:
                raise Wrong("a stream without events")
        else:
            self.document.check(
                str(answer.status), answer.json, *place, "content", answer.media, "schema", closed=True
            )
        if answer.media == "application/problem+json" and answer.json["status"] != answer.status:
            raise Wrong(f"{answer.status} says of itself {answer.json['status']}")
        self.answers += 1

    def succeeds(self, call):
        """The example of its body, and of each parameter of a read, is taken."""
        queries = [{}]
        if call[1] == "get":
            parameters = [parameter for parameter in call[2]["parameters"] if parameter.get("in") == "query"]
            examples = {one["name"]: self.world.real(one["example"]) for one in parameters if "example" in one}
            # what says one thing together stands there together
            pairs = [name for name in PAIRS if name in examples]
            queries += [{name: example} for name, example in examples.items() if name not in pairs]
            if pairs:
                queries.append({name: examples[name] for name in pairs})
        for query in queries:
            answer = self.answer(call, self.world.admin, self.world.wish(call, query=query))
            if not 200 <= answer.status < 300:
                raise Wrong(f"refused with {answer.status}: {query or ''} {answer.json['detail']}")

    def is_refused(self, call):
        """The refusals that every call can have."""
        path, method, operation = call
        wish = self.world.wish(call, nobody=NOBODY)
        refusals = []
        if operation.get("security") != []:
            refusals.append((self.world.nobody, wish, (401,)))
        if operation.get("x-gyre-admin"):
            refusals.append((self.world.alice, wish, (403,)))
        if "{uuid}" in path:
            refusals.append((self.world.admin, wish, (404,)))
            refusals.append((self.world.admin, self.world.wish(call, nobody="no-uuid"), (400,)))
        refusals.append((self.world.admin, self.world.wish(call, nobody=NOBODY, query={"colour": "red"}), (400,)))
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            odd = self.world.wish(call, nobody=NOBODY, extra={"colour": "red"})
            refusals.append((self.world.admin, odd, (400,)))
            refusals.append((self.world.admin, odd[:2] + ([],), (400,)))
        for gateway, wish, statuses in refusals:
            answer = self.answer(call, gateway, wish)
            if answer.status not in statuses:
                raise Wrong(f"{wish[0]} {wish[1]} {wish[2]} is answered {answer.status} {answer.text[:200]}, not {statuses}")
            if not answer.json["reason"] or not answer.json["detail"]:
                raise Wrong(f"{answer.status} without reason")


def check_call(checker, call):
    """What is wrong with a call; nothing where all is well."""
    name = call[2]["operationId"]
    try:
        checker.is_refused(call)
        checker.succeeds(call)
    except Wrong as wrong:
        if name in REFUSED and str(wrong).startswith("refused with 4"):
            return None
        return f"{name}: {wrong}"
    if name in REFUSED:
        return f"{name}: it succeeds, so its line in REFUSED is stale"
    return None


def main():
    endpoint, account, password = sys.argv[1:]
    nobody = Gateway(endpoint)
    document = Document(nobody.send("GET", "/openapi.json").json)
    openapi_spec_validator.validate(document.document)
    examples = check_examples(document)
    world = World(document.document, endpoint, account, password)
    checker = Checker(document, world)
    calls = list(document.calls())
    wrong = [check_call(checker, call) for call in calls]
    known = {call[2]["operationId"] for call in calls}
    wrong += [f"{name} in a table is no call" for name in itertools.chain(REFUSED, QUIET, world.named()) if name not in known]
    wrong = [text for text in wrong if text]
    print(json.dumps({"calls": len(calls), "examples": examples, "answers": checker.answers, "wrong": len(wrong)}))
    if wrong:
        print("\n".join(wrong))
        sys.exit(1)


if __name__ == "__main__":
    main()
