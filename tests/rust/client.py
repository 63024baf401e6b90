#!/usr/bin/env python3
"""What curl cannot do for scripts/rust_examples.sh.

client.py loopback               let this network namespace reach itself
client.py listens PORT PROCESS   wait until somebody listens there, while the process lives
client.py accepts PORT           accept, and let go
client.py websocket PORT         say Ping, hear Pong; RFC 6455
"""
import base64
import fcntl
import hashlib
import os
import socket
import struct
import sys
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 1  # of an interface: netdevice(7)


def loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, GET_FLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", answer)[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH14x", b"lo", flags | IS_UP))


def listens(port, process):
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except ConnectionRefusedError:
            os.kill(process, 0)  # an error that ends this when there is no such process
            time.sleep(0.02)


def accepts(port):
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            server.accept()[0].close()


def send(stream, opcode, payload):
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    stream.sendall(struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) + mask + masked)


def receive(reader):
    first, size = reader.read(2)
    assert first & 0x80 and size < 126, (first, size)  # whole, unmasked and short
    return first & 0x0F, reader.read(size)


def websocket(port):
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        reader = stream.makefile("rb")
        stream.sendall((f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        status = reader.readline().decode()
        headers = {}
        while (line := reader.readline().decode().strip()):
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert " 101 " in status and headers["sec-websocket-accept"] == accept, (status, headers)
        for _ in range(3):
            send(stream, TEXT, b"Ping")
            answer = receive(reader)
            assert answer == (TEXT, b"Pong"), answer
        send(stream, CLOSE, struct.pack("!H", 1000))  # the example ends its reader, and never answers this


def main():
    what, *numbers = sys.argv[1:]
    {"loopback": loopback, "listens": listens, "accepts": accepts, "websocket": websocket}[what](*map(int, numbers))


main()
