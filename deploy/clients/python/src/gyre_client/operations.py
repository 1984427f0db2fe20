"""What an operation can be asked: to be waited for, watched, cancelled."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Iterator, Optional, cast

from .errors import (
    ApiError,
    ConnectionFailed,
    DeadlineExceeded,
    NotFound,
    OperationFailed,
    StreamBroken,
    Unavailable,
    WaitTimeout,
)

if TYPE_CHECKING:
    from .client import Client
    from .types import Operation

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
LONGEST_WAIT = 60.0
GRACE = 10.0


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(0.1 * 2.0**failures, 5.0)


class OperationMethods:
    """The methods of `Operation`. One that a call answered knows the client that made the call."""

    _client: Optional["Client"] = None

    def _bound(self) -> "Client":
        if self._client is None:
            raise ValueError("this operation was not answered by a client: read it with client.operations.get")
        return self._client

    def _become(self, other: Any) -> None:
        for name, _, *_ in other._wire.values():
            setattr(self, name, getattr(other, name))

    @property
    def done(self: Any) -> bool:
        """Whether it has ended, however it did."""
        return bool(self.state.name in ENDED)

    @property
    def succeeded(self: Any) -> bool:
        """Whether it has ended well."""
        return bool(self.state.name == "SUCCEEDED")

    def refresh(self: Any) -> "Operation":
        """Reads it anew; answers itself."""
        self._become(self._bound().operations.get(self.uuid))
        return cast("Operation", self)

    def wait(self: Any, timeout: Optional[float] = None) -> "Operation":
        """Waits until it has ended, or raises `WaitTimeout` when the seconds are over; answers itself."""
        client = self._bound()
        end = None if timeout is None else time.monotonic() + timeout
        failures = 0
        while not self.done:
            left = LONGEST_WAIT if end is None else min(end - time.monotonic(), LONGEST_WAIT)
            if left <= 0:
                raise WaitTimeout(self)
            try:
                asked = timedelta(seconds=left)
                self._become(client.operations.wait(self.uuid, timeout=asked, call_timeout=left + GRACE))
                failures = 0
            except (ConnectionFailed, Unavailable, DeadlineExceeded):
                failures += 1
                if failures > client.tries:
                    raise
                time.sleep(pause(failures))
        return cast("Operation", self)

    def result(self: Any, timeout: Optional[float] = None) -> Any:
        """Waits for its end. Answers the resource as it is then, or nothing where it is gone; raises `OperationFailed`."""
        self.wait(timeout)
        if not self.succeeded:
            raise OperationFailed(self)
        try:
            return self._bound().resource(self.resource_kind, self.resource_uuid)
        except NotFound:
            return None

    def watch(self: Any) -> Iterator["Operation"]:
        """Itself at every change until it has ended. A stream that breaks is opened again."""
        client = self._bound()
        failures = 0
        while True:
            try:
                with client.operations.watch(self.uuid) as stream:
                    for operation in stream:
                        failures = 0
                        self._become(operation)
                        yield self
                if self.done:
                    return
            except (StreamBroken, ConnectionFailed):
                failures += 1
            except ApiError as error:
                if error.status not in (0, 503, 504):
                    raise
                failures += 1
            if failures > client.tries:
                raise ConnectionFailed(f"the stream of operation {self.uuid} breaks again and again")
            if failures:
                time.sleep(pause(failures))

    def cancel(self: Any) -> "Operation":
        """Asks it to stop and undo itself; answers itself. One past its point of no return is refused."""
        self._become(self._bound().operations.cancel(self.uuid))
        return cast("Operation", self)
