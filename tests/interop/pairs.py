"""A peer over libzmq that plays one type of socket after the other, a line at a time.

    open TYPE bind|connect ENDPOINT MILLISECONDS   a socket; with that heartbeat interval, if not 0
                                                   prints `endpoint …`
    reopen          closes it and opens it again, at the same endpoint    prints `endpoint …`
    subscribe       to everything                   prints `done`
    send FRAME…     sends a message                 prints `sent`
    expect FRAME…   receives a message and compares it          prints `good`, or `bad …`
    answer FRAME…   the same, and sends it back                 prints `good`, or `bad …`
    repeat FRAME…   sends a message until the next line comes   prints `stopped`

Frames are those of `peer.py`.
"""

import sys

import zmq
from peer import PATIENCE, compare, frame, until_told


class End:
    """A socket, and what it takes to open the same again."""

    def __init__(self, kind, role, endpoint, heartbeat):
        self.kind, self.role, self.heartbeat = getattr(zmq, kind), role, int(heartbeat)
        self.endpoint = endpoint
        self.open()

    def open(self):
        # A context of its own: when it has ended, the address is free again.
        self.context = zmq.Context()
        self.socket = socket = self.context.socket(self.kind)
        socket.rcvtimeo = socket.sndtimeo = PATIENCE
        socket.reconnect_ivl = 10
        socket.identity = b"theirs"
        if self.heartbeat:
            socket.heartbeat_ivl = self.heartbeat
            socket.heartbeat_timeout = PATIENCE
            socket.heartbeat_ttl = PATIENCE
        if self.role == "bind":
            socket.bind(self.endpoint)
            self.endpoint = socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        else:
            socket.connect(self.endpoint)
        return f"endpoint {self.endpoint}"

    def close(self):
        self.socket.close(linger=0)
        self.context.term()

    def reopen(self):
        self.close()
        return self.open()

    def subscribe(self):
        if self.kind == zmq.XSUB:
            self.socket.send(b"\1")
        else:
            self.socket.subscribe(b"")
        return "done"

    def send(self, *frames):
        self.socket.send_multipart([frame(text) for text in frames])
        return "sent"

    def expect(self, *frames):
        return compare(self.socket.recv_multipart(), frames)

    def answer(self, *frames):
        received = self.socket.recv_multipart()
        self.socket.send_multipart(received)
        return compare(received, frames)

    def repeat(self, *frames):
        until_told(lambda: self.send(*frames))
        return "stopped"


def main():
    end = None
    # libzmq attaches who has connected when it is asked for something.
    while line := until_told(lambda: end and end.socket.getsockopt(zmq.EVENTS)):
        command, *arguments = line.split()
        try:
            if command == "open":
                if end:
                    end.close()
                end = End(*arguments)
                print("endpoint", end.endpoint)
            else:
                print(getattr(end, command)(*arguments))
        except zmq.ZMQError as error:
            print("bad:", error)


main()
