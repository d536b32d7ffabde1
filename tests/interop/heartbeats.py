"""Sockets over libzmq that say nothing but heartbeats.

    heartbeats.py TYPE,ENDPOINT,bind|connect…   opens them all        prints an `endpoint …` each

It prints `lost TYPE` when a connection ends, and obeys: `wait MILLISECONDS` prints `waited`;
`freeze` stops the process, as nothing but a signal can continue it.
"""

import os
import signal
import sys

import zmq

INTERVAL, TIMEOUT = 100, 2_000
context = zmq.Context()
poller = zmq.Poller()
sockets = {}

for argument in sys.argv[1:]:
    kind, endpoint, role = argument.split(",")
    socket = context.socket(getattr(zmq, kind))
    socket.heartbeat_ivl, socket.heartbeat_timeout = INTERVAL, TIMEOUT
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    sockets[monitor] = (kind, socket)
    poller.register(monitor, zmq.POLLIN)
    getattr(socket, role)(endpoint)
    print("endpoint", socket.last_endpoint.rstrip(b"\0").decode())

for line in sys.stdin:
    command, *arguments = line.split()
    if command == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    # As long as it takes, or until something is lost.
    for monitor, _ in poller.poll(int(arguments[0])):
        print("lost", sockets[monitor][0])
    print("waited")
