"""How messages travel: between dataclasses and proto3 JSON.

The dataclasses in `types` say of each field under which name and in which form it is written (`_wire`). A form is "text",
"int64", "time" and so on, the name of a message or an enum, and has "*" before it where the field is a list. What a newer
server says beyond what is known here is passed over, and an enum's value that is not known is kept as it is.
"""

from __future__ import annotations

import base64
import enum
import re
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Dict, Tuple, Type, TypeVar

SECRET = "secret"
"""Marks a field that is never shown."""

Wire = Dict[str, Tuple[str, ...]]
M = TypeVar("M", bound="Message")

_KNOWN: Dict[str, Any] = {}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


class OpenEnum(str, enum.Enum):
    """An enum whose values are the texts of the API. One that is not known here is kept as it is."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KNOWN[cls.__name__] = cls

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    def __str__(self) -> str:
        return self.name


class Message:
    """A message. Two are equal where their fields are; what is shown of one are the fields that have a value."""

    _wire: ClassVar[Wire] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KNOWN[cls.__name__] = cls

    def encode(self) -> Dict[str, Any]:
        """As proto3 JSON; fields without a value are left out."""
        encoded = {}
        for json_name, (name, form, *_) in self._wire.items():
            value = getattr(self, name)
            if value is not None and value != _zero(form):
                encoded[json_name] = encode(form, value)
        return encoded

    @classmethod
    def decode(cls: Type[M], json: Dict[str, Any]) -> M:
        """From proto3 JSON."""
        values = {}
        for json_name, (name, form, *_) in cls._wire.items():
            value = json.get(json_name)
            if value is not None:
                values[name] = decode(form, value)
        return cls(**values)

    def __repr__(self) -> str:
        secret = {name for name, _, *marks in self._wire.values() if SECRET in marks}
        shown = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None or value == "" or value == 0 or value == b"" or value == [] or value == {}:
                continue
            if isinstance(value, enum.Enum) and value.name == "UNSPECIFIED":
                continue
            shown.append(f"{field.name}={'…' if field.name in secret else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _zero(form: str) -> Any:
    if form.startswith("*") or form == "mask":
        return []
    if form == "json":
        return {}
    known = _KNOWN.get(form)
    if isinstance(known, type) and issubclass(known, OpenEnum):
        return next(iter(known))
    return {"text": "", "bytes": b"", "bool": False, "int32": 0, "int64": 0, "float": 0.0}.get(form)


def encode(form: str, value: Any) -> Any:
    """A value as JSON has it."""
    if form.startswith("*"):
        return [encode(form[1:], one) for one in value]
    if form == "int64":
        return str(value)
    if form == "bytes":
        return base64.b64encode(value).decode()
    if form == "time":
        return encode_time(value)
    if form == "duration":
        return encode_duration(value)
    if form == "mask":
        return ",".join(camel(path) for path in value)
    if isinstance(value, Message):
        return value.encode()
    if isinstance(value, enum.Enum):
        return value.value
    return value


def decode(form: str, value: Any) -> Any:
    """A value that JSON has like this."""
    if form.startswith("*"):
        return [decode(form[1:], one) for one in value]
    if form in ("int32", "int64"):
        return int(value)
    if form == "float":
        return float(value)
    if form == "bytes":
        return base64.b64decode(value)
    if form == "time":
        return decode_time(value)
    if form == "duration":
        return timedelta(seconds=float(value.rstrip("s")))
    if form == "mask":
        return [snake(path) for path in value.split(",") if path]
    if form == "any":
        # a message that says what it is; one that is not known here is left as it is
        form = value.get("@type", "").rsplit(".", 1)[-1]
    known = _KNOWN.get(form)
    if known is None:
        return value
    return known.decode(value) if issubclass(known, Message) else known(value)


def encode_time(value: datetime) -> str:
    """RFC 3339 in UTC. A time without zone is taken as UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def decode_time(text: str) -> datetime:
    """A time with its zone; what is finer than a microsecond is cut off."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    whole, part, zone = found.groups()
    zone = "+00:00" if zone == "Z" else zone
    return datetime.fromisoformat(f"{whole}.{(part or '0')[:6]:0<6}{zone}")


def encode_duration(value: Any) -> str:
    """Seconds with an "s": of a timedelta, or of a number."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def camel(path: str) -> str:
    """"host_uuid" as "hostUuid"."""
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), path)


def snake(path: str) -> str:
    """"hostUuid" as "host_uuid"."""
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), path)


def encode_some(message: Type[Message], values: Dict[str, Any]) -> Dict[str, Any]:
    """Some fields of a message as JSON, those without a value too."""
    forms = {name: (json_name, form) for json_name, (name, form, *_) in message._wire.items()}
    encoded: Dict[str, Any] = {}
    for name, value in values.items():
        json_name, form = forms[name]
        encoded[json_name] = None if value is None else encode(form, value)
    return encoded
