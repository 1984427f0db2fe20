#!/usr/bin/env python3
"""A plugin for Gyre: refuses machines with more CPUs than `most_cpus` in its config. README.md says how to use it.

Usage: plugin.py DESCRIPTORS ADDRESS
Needs grpcio and protobuf from PyPI.
"""

import json
import sys
from concurrent import futures

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "gyre.plugin.v1"


def messages(path):
    """The messages of the plugin's API, read from compiled descriptors, so that any protobuf will do."""
    pool = DescriptorPool()
    with open(path, "rb") as descriptors:
        for file in FileDescriptorSet.FromString(descriptors.read()).file:
            pool.Add(file)
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def serve(path, address):
    message = messages(path)
    RunStepResponse, UndoStepResponse = message("RunStepResponse"), message("UndoStepResponse")

    def run_step(request, context):
        step = request.step
        most = json.loads(step.config_json)["most_cpus"]
        cpus = json.loads(step.resource_json).get("cpuCount", 0)
        print(f"{step.key}: {cpus} CPUs of {most}", flush=True)
        if cpus > most:
            # the operation fails with these words, and what was done of it is undone
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"machines may have {most} CPUs here, and this one asks for {cpus}: ask for fewer",
            )
        return RunStepResponse(message=f"{cpus} of {most} CPUs", outputs={"checked_by": "plugin.py"})

    def undo_step(request, context):
        # it only looked; a plugin that made something removes it here, if it is there
        return UndoStepResponse(message="nothing to undo")

    def call(function, name):
        request, response = message(f"{name}Request"), message(f"{name}Response")
        return grpc.unary_unary_rpc_method_handler(function, request.FromString, response.SerializeToString)

    calls = {"RunStep": call(run_step, "RunStep"), "UndoStep": call(undo_step, "UndoStep")}
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.StepService", calls),))
    port = server.add_insecure_port(address)
    server.start()
    print(f"listening on {address} ({port})", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(*sys.argv[1:])
