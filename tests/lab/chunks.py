#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TCP connection, under the eyes of a test. `chunks.py serve ADDRESS PORT` answers each chunk with its SHA-256.
`chunks.py send ADDRESS PORT` reads sizes from standard input, sends as many random bytes, and prints a line of JSON for each
chunk that arrived as it was: how long it took, and the largest segment."""

import hashlib
import json
import os
import socket
import sys
import time


def exactly(connection, size):
    parts = []
    while size:
        part = connection.recv(min(size, 65536))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve(address, port):
    with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        print("ready", flush=True)
        connection, _ = listener.accept()
        while size := int.from_bytes(exactly(connection, 4), "big"):
            connection.sendall(hashlib.sha256(exactly(connection, size)).digest())


def send(address, port):
    with socket.create_connection((address, port), timeout=15) as connection:
        print("ready", flush=True)
        for line in sys.stdin:
            data, begin = os.urandom(int(line)), time.monotonic()
            connection.sendall(len(data).to_bytes(4, "big") + data)
            if exactly(connection, 32) != hashlib.sha256(data).digest():
                sys.exit("other bytes arrived")
            print(json.dumps({"seconds": time.monotonic() - begin,
                              "segment": connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)}), flush=True)


if __name__ == "__main__":
    {"serve": serve, "send": send}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
