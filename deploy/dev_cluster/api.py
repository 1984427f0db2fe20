"""The little that the cluster's commands ask a gateway themselves: whether something answers, a token, the ring's members."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from . import Trouble
from .layout import Layout

# Everything is on loopback: a proxy in the environment is not for us.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str, seconds: float = 2) -> bool:
    """Whether a URL answers 200."""
    try:
        with _opener.open(url, timeout=seconds) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def call(url: str, body: dict | None = None, token: str = "", seconds: float = 10) -> dict:
    """Calls a gateway; a refusal becomes trouble with the gateway's own words."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _opener.open(request, timeout=seconds) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Trouble(f"{url} answers {error.code}: {error.read(4096).decode(errors='replace').strip()}") from error
    except (OSError, ValueError) as error:
        raise Trouble(f"{url} does not answer: {error}") from error


def admin_password(layout: Layout) -> str:
    """The password that the identity service made at its first start."""
    try:
        text = layout.admin_file.read_text()
    except FileNotFoundError as error:
        raise Trouble(f"{layout.admin_file} is not there: the identity service has not made its administrator") from error
    try:
        return json.loads(text)["password"]
    except (ValueError, KeyError, TypeError) as error:
        raise Trouble(f"{layout.admin_file} holds no password: {error}") from error


def sign_in(layout: Layout) -> Path:
    """The file by which `gyre` finds the cluster and signs in, as `gyre up` writes it for its own node."""
    path = layout.sign_in_file
    facts = {"endpoint": layout.endpoints[0], "account": "admin", "password": admin_password(layout)}
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(facts, indent=2) + "\n")
    scratch.replace(path)
    return path


def token(layout: Layout, endpoint: str) -> str:
    """Signs in as the administrator."""
    return call(f"{endpoint}/v1/sessions", {"account": "admin", "password": admin_password(layout)})["token"]


def members(layout: Layout) -> tuple[int, list[dict]]:
    """The ring's epoch and members, from the first gateway that answers."""
    trouble: Trouble | None = None
    for endpoint in layout.endpoints:
        try:
            listed = call(f"{endpoint}/v1/members", token=token(layout, endpoint))
            return int(listed.get("epoch", 0)), listed.get("members", [])
        except Trouble as error:
            trouble = error
    raise trouble or Trouble("there is no gateway")
