"""What can go wrong: problem documents of the API as exceptions, one class for each kind of failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Type

if TYPE_CHECKING:
    from .types import Operation


class GyreError(Exception):
    """Anything that goes wrong with Gyre."""


class ConnectionFailed(GyreError):
    """The gateway does not answer, or the connection broke."""


class StreamBroken(GyreError):
    """A stream ended without saying so: open it again."""


@dataclass
class Violation:
    """One field that broke a rule."""

    field: str
    """The path of the field, such as "vm.cpu_count"."""
    description: str
    """What it must be, and what was sent."""


class ApiError(GyreError):
    """A call that was refused or failed: what its problem document says (RFC 9457)."""

    def __init__(self, status: int, problem: Dict[str, Any], retry_after: Optional[float] = None) -> None:
        self.status = status
        """The HTTP status; 0 for the failure of an operation."""
        self.code: str = problem.get("code", "")
        """The canonical code, such as "NOT_FOUND"."""
        self.reason: str = problem.get("reason", "")
        """A stable reason for programs, such as "NO_HOST_WITH_ROOM"."""
        self.detail: str = problem.get("detail") or problem.get("message") or f"the gateway answered {status}"
        """What was wrong, with which value, and what to do."""
        self.violations: List[Violation] = [
            Violation(one.get("field", ""), one.get("description", "")) for one in problem.get("violations", [])
        ]
        """Each field that broke a rule."""
        self.metadata: Dict[str, str] = dict(problem.get("metadata", {}))
        """Further facts by name."""
        self.trace_id: str = problem.get("traceId", "")
        """The trace to look for in the logs."""
        self.retry_after = retry_after
        """Seconds after which another try makes sense."""
        super().__init__(self.detail)

    def __str__(self) -> str:
        return f"{self.detail} ({self.reason or self.code or self.status})"


class InvalidArgument(ApiError):
    """The request is wrong whatever the state of things."""


class FailedPrecondition(ApiError):
    """The state of things does not permit it."""


class NotFound(ApiError):
    """Something named is not there, or not for the caller to see."""


class AlreadyExists(ApiError):
    """Something of that identity is there already."""


class Aborted(ApiError):
    """Somebody else was first: read again and try again."""


class ResourceExhausted(ApiError):
    """No room, a quota is used up, or too many calls."""


class PermissionDenied(ApiError):
    """The caller may not."""


class Unauthenticated(ApiError):
    """Nobody knows who calls: sign in."""


class Unavailable(ApiError):
    """Something needed does not answer."""


class DeadlineExceeded(ApiError):
    """Time ran out."""


class Cancelled(ApiError):
    """It was cancelled."""


class Unimplemented(ApiError):
    """There is no such call."""


class InternalError(ApiError):
    """A fault of Gyre's."""


CODES: Dict[str, Type[ApiError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "FAILED_PRECONDITION": FailedPrecondition,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "ABORTED": Aborted,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "UNIMPLEMENTED": Unimplemented,
    "INTERNAL": InternalError,
}


def api_error(status: int, problem: Dict[str, Any], retry_after: Optional[float] = None) -> ApiError:
    """The exception of a problem document."""
    return CODES.get(problem.get("code", ""), ApiError)(status, problem, retry_after)


class OperationFailed(GyreError):
    """An operation that failed or was cancelled; everything that it did was undone."""

    def __init__(self, operation: "Operation") -> None:
        self.operation = operation
        """The operation."""
        error = operation.error
        self.code = error.code if error else ""
        """The canonical code of its failure."""
        self.reason = error.reason if error else ""
        """A stable reason for programs."""
        self.metadata = error.metadata if error else {}
        """Further facts by name."""
        told = error.message if error else f"the operation is {operation.state}"
        super().__init__(f"{operation.workflow}: {told}" + (f" ({self.reason})" if self.reason else ""))


class WaitTimeout(GyreError):
    """An operation that did not end in the time that was given; it goes on."""

    def __init__(self, operation: "Operation") -> None:
        self.operation = operation
        """The operation as it was last seen."""
        super().__init__(f"{operation.workflow} has not ended: it is {operation.state}, {operation.percent} %")
