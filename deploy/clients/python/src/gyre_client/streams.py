"""Streams of messages: server-sent events, one message each."""

from __future__ import annotations

import http.client
import json
from typing import Any, Callable, Generic, Iterator, Optional, Tuple, TypeVar

from .errors import StreamBroken, api_error

T = TypeVar("T")
Opened = Tuple[http.client.HTTPConnection, http.client.HTTPResponse]


class Stream(Generic[T]):
    """A stream of messages: iterate over it, and close it (or use it in a `with` statement) when you want no more.

    It ends when the gateway says so. A failure is raised as `ApiError`; a stream that was cut as `StreamBroken`.
    """

    def __init__(self, opened: Opened, decode: Callable[[Any], T]) -> None:
        self._connection: Optional[http.client.HTTPConnection]
        self._connection, self._response = opened
        self._decode = decode

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        event, data = "", ""
        while self._connection is not None:
            try:
                line = self._response.readline()
            except (OSError, http.client.HTTPException, ValueError) as error:
                if self._connection is None:
                    break
                self.close()
                raise StreamBroken(f"the stream broke: {error}") from error
            if not line:
                self.close()
                raise StreamBroken("the stream broke off")
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = value
            elif name == "" and event:
                if event == "message":
                    return self._decode(json.loads(data))
                self.close()
                if event == "error":
                    problem = json.loads(data)
                    raise api_error(problem.get("status", 0), problem)
                event, data = "", ""
        raise StopIteration

    def close(self) -> None:
        """Ends the stream."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> "Stream[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
