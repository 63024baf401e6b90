#!/usr/bin/env python3
"""Watches the health of a gRPC server (grpc.health.v1), and prints each status that it tells, with its number.

    health_watch.py HOST:PORT SERVICE
"""
import sys

import grpc

STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def main():
    name = sys.argv[2].encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    with grpc.insecure_channel(sys.argv[1]) as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")  # bytes to and fro
        try:
            for number, response in enumerate(watch(request, wait_for_ready=True), 1):
                status = response[1] if response[:1] == b"\x08" and len(response) == 2 else 0
                print(number, STATUS.get(status, status), flush=True)
            print("end: OK", flush=True)
        except grpc.RpcError as error:
            print("end:", error.code().name, flush=True)


main()
