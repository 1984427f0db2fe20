"""A client of Gyre, the control plane for private and public clouds.

    from gyre_client import Client
    from gyre_client.types import Vm

    with Client("http://127.0.0.1:7070", account="admin", password="…") as cloud:
        image = cloud.images.list(filter='name = "debian-13"').first()
        vm = cloud.vms.create(Vm(name="web-1", image_uuid=image.uuid, cpu_count=2, memory_bytes=2 << 30)).result()
"""

from . import errors, types
from .client import VERSION as __version__
from .client import Client
from .errors import ApiError, ConnectionFailed, GyreError, OperationFailed, StreamBroken, Violation, WaitTimeout
from .pages import Pages
from .streams import Stream

__all__ = [
    "ApiError",
    "Client",
    "ConnectionFailed",
    "GyreError",
    "OperationFailed",
    "Pages",
    "Stream",
    "StreamBroken",
    "Violation",
    "WaitTimeout",
    "__version__",
    "errors",
    "types",
]
