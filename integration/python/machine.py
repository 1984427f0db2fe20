"""Makes a machine through a gateway knowing nothing but its address: the API is read by gRPC reflection.

Usage: machine.py ADDRESS ACCOUNT PASSWORD IMAGE_UUID L3_NETWORK_UUID GREETING
Needs grpcio, grpcio-reflection and protobuf from PyPI.
"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Api:
    """Calls any method of any service that the gateway tells of."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.metadata = []

    def call(self, service, method, timeout=60, **fields):
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = GetMessageClass(found.input_type)
        answer = GetMessageClass(found.output_type)
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        invoke = kind(
            f"/{service}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return invoke(request(**fields), metadata=self.metadata, timeout=timeout)


def main():
    address, account, password, image, network, greeting = sys.argv[1:]
    api = Api(address)
    session = api.call("gyre.identity.v1.SessionService", "CreateSession", account=account, password=password)
    api.metadata = [("authorization", f"Bearer {session.token}")]

    def end(operation):
        last = operation
        for last in api.call("gyre.common.v1.OperationService", "WatchOperation", uuid=operation.uuid):
            print(f"{last.workflow}: {last.percent} %")
        # 4 is OPERATION_STATE_SUCCEEDED
        assert last.state == 4, last
        return last.resource_uuid

    service = "gyre.vm.v1.VmService"
    vm = dict(name="python", cpu_count=1, memory_bytes=32 << 20, image_uuid=image, l3_network_uuids=[network])
    uuid = end(api.call(service, "CreateVm", vm=vm))
    seen = b""
    console = api.call(service, "ReadVmConsole", uuid=uuid, follow=True, timeout=30)
    for piece in console:
        seen += piece.data
        if greeting.encode() in seen:
            print("the guest greets")
            console.cancel()
            break
    end(api.call(service, "StopVm", uuid=uuid, force=True))
    assert api.call(service, "GetVm", uuid=uuid).name == "python"
    end(api.call(service, "DeleteVm", uuid=uuid))
    end(api.call(service, "ExpungeVm", uuid=uuid))
    print("expunged")


if __name__ == "__main__":
    main()
