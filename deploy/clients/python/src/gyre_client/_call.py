"""How a call is put together: path, query, body and headers from a request, as `google.api.http` has it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Generic, Iterable, Optional, Tuple, Type, TypeVar, Union
from urllib.parse import quote, urlencode

from ._wire import Message, camel, encode_some
from .pages import Pages
from .streams import Stream

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Source = Union[bytes, Any, Iterable[bytes]]


class _Nothing:
    """Stands for a value that was not given, which is something else than an empty one."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET = _Nothing()
Unset = Union[T, _Nothing]


def given(message: Type[Message], /, **values: Any) -> Dict[str, Any]:
    """The fields that were given, as JSON."""
    return encode_some(message, {name: value for name, value in values.items() if value is not UNSET})


@dataclass
class Call(Generic[M]):
    """One call: how it travels, and what is answered."""

    verb: str
    template: str
    body: str
    answer: Type[M]
    request_id: Optional[str] = None
    named: bool = False
    callback: Optional[str] = None
    timeout: Optional[float] = None

    def fill(self, request: Dict[str, Any]) -> Tuple[str, Any]:
        """Path with its query, and body of a request."""
        rest = dict(request)

        def take(path: str) -> Any:
            *parents, last = [camel(name) for name in path.split(".")]
            inside = rest
            for parent in parents:
                inside[parent] = dict(inside.get(parent) or {})
                inside = inside[parent]
            return inside.pop(last, "")

        path = re.sub(r"\{([^}=]+)[^}]*\}", lambda found: quote(str(take(found.group(1))), safe="~"), self.template)
        body: Any = None
        if self.body == "*":
            body, rest = rest, {}
        elif self.body:
            body = rest.pop(camel(self.body), {})
        query = urlencode(list(flat("", rest)))
        return (f"{path}?{query}" if query else path), body

    def headers(self) -> Dict[str, str]:
        """The headers that are this call's own."""
        headers = {}
        if self.named:
            # named here, so that the tries of one call are one wish
            self.request_id = self.request_id or str(uuid.uuid4())
            headers["X-Request-Id"] = self.request_id
        if self.callback:
            headers["X-Gyre-Callback"] = self.callback
        return headers

    @property
    def again(self) -> bool:
        """Whether the same call twice does what it does once."""
        return self.verb == "GET" or self.named


def flat(prefix: str, value: Any) -> Iterable[Tuple[str, str]]:
    """The pairs of a query for what is left of a request."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(f"{prefix}.{name}" if prefix else name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from flat(prefix, inner)
    elif isinstance(value, bool):
        yield prefix, "true" if value else "false"
    elif value is not None:
        yield prefix, str(value)


class Calls:
    """The calls of one service."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def _send(self, call: Call[M], request: Dict[str, Any], source: Optional[Source] = None) -> M:
        return self._client._send(call, request, source)

    def _pages(self, call: Call[M], request: Message, rows: str) -> Pages[Any, M]:
        def fetch(page_token: str) -> M:
            encoded = request.encode()
            if page_token:
                encoded["pageToken"] = page_token
            return self._client._send(call, encoded)

        return Pages(fetch, rows)

    def _stream(self, call: Call[M], request: Dict[str, Any]) -> Stream[M]:
        return self._client._open(call, request)
