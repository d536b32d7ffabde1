"""Sockets over libzmq that somebody else puts octets on.

It obeys, a line at a time:

    open TYPE…      binds a socket of each type       prints `endpoints …`, in the same order
    heard           closes them                       prints a `heard …` for each: the messages that came

Between messages is a space, between frames a comma, and a frame is a dot and its octets in hexadecimal.
"""

import sys

import zmq

RECEIVE = {"PAIR", "SUB", "XPUB", "XSUB", "PULL", "REP", "DEALER", "ROUTER"}
context = zmq.Context()
told = zmq.Poller()
told.register(sys.stdin.fileno(), zmq.POLLIN)


def bound(kind):
    socket = context.socket(getattr(zmq, kind))
    socket.linger = 0
    if kind == "SUB":
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.bind("tcp://127.0.0.1:*")
    return kind, socket


def heard(kind, socket):
    messages = []
    while kind in RECEIVE and socket.poll(0):
        frames = socket.recv_multipart()
        messages.append(",".join("." + frame.hex() for frame in frames))
        if kind == "REP":
            socket.send(b"")
    return " ".join(messages)


sockets = []
while True:
    # libzmq attaches who has connected when its socket is asked for something.
    while not told.poll(20):
        for _, socket in sockets:
            socket.getsockopt(zmq.EVENTS)
    command, *arguments = sys.stdin.readline().split() or ["end"]
    if command == "open":
        sockets = [bound(kind) for kind in arguments]
        print("endpoints", *(socket.last_endpoint.rstrip(b"\0").decode() for _, socket in sockets))
    elif command == "heard":
        for kind, socket in sockets:
            print("heard", heard(kind, socket))
            socket.close()
        sockets = []
    else:
        break
