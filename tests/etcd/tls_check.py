#!/usr/bin/env python3
"""Python's ssl as a client of the TLS port: which protocol is chosen, and a connection that outlives a certificate.

    tls_check.py HOST:PORT FOLDER offers     the table below
    tls_check.py HOST:PORT FOLDER lives      ask, say so, wait for a line of input, ask again on the same connection

FOLDER holds ca.pem, client.pem, client.key.
"""
import os
import socket
import ssl
import sys

WAIT_S = 120

# What a client offers, and what is chosen; None: nothing. False: it is refused.
OFFERS = [
    ([], None),
    (["h2"], "h2"),
    (["grpc-exp", "h2"], "h2"),
    (["http/1.1"], "http/1.1"),
    (["h2", "http/1.1"], "http/1.1"),
    (["spdy/3"], False),
]


def connect(address, folder, offer=()):
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
    context.load_cert_chain(os.path.join(folder, "client.pem"), os.path.join(folder, "client.key"))
    if offer:
        context.set_alpn_protocols(offer)
    plain = socket.create_connection((host, int(port)), WAIT_S)
    return context.wrap_socket(plain, server_hostname="localhost")


def asks(connection):
    """The status line of an answer, whose body is of a known size."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nok\n"):
        part = connection.recv(4096)
        if not part:
            raise EOFError(f"the connection ended behind {answer!r}")
        answer += part
    return answer.split(b"\r\n", 1)[0].decode()


def offers(address, folder):
    failures = 0
    for offer, wanted in OFFERS:
        try:
            with connect(address, folder, offer) as connection:
                got = connection.selected_alpn_protocol()
                if got != "h2":
                    asks(connection)
        except ssl.SSLError:
            got = False
        if got != wanted:
            print(f"offered {offer}: {got} instead of {wanted}")
            failures += 1
    print(f"{len(OFFERS)} offers, {failures} failures")
    return failures > 0


def lives(address, folder):
    with connect(address, folder) as connection:
        print(asks(connection), flush=True)
        sys.stdin.readline()
        print(asks(connection), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit({"offers": offers, "lives": lives}[sys.argv[3]](sys.argv[1], sys.argv[2]))
