"""A peer over libzmq that does what it is told, a line at a time.

    peer.py TYPE bind|connect ENDPOINT [IDENTITY]

It prints `endpoint …` when it is bound or connected, then obeys:

    send FRAME…     sends a message                             prints `sent`
    expect FRAME…   receives a message and compares it          prints `good`, or `bad …`
    echo            receives a message and sends it back        prints `echoed`
    subscribe FRAME, unsubscribe FRAME                          prints `done`
    property NAME FRAME
                    receives a message and compares what its sender says of itself
    repeat FRAME…   sends a message until the next line comes   prints `stopped`

A frame is `t:text`, `h:hex`, `p:seed:size` (a pattern), or `?` (anything, to `expect`).
"""

import sys

import zmq

PATIENCE = 20_000
PATTERN = bytes(range(251))
told = zmq.Poller()
told.register(sys.stdin.fileno(), zmq.POLLIN)


def frame(text):
    kind, _, value = text.partition(":")
    if kind == "t":
        return value.encode()
    if kind == "h":
        return bytes.fromhex(value)
    seed, size = map(int, value.split(":"))
    start = seed % len(PATTERN)
    return (PATTERN * (size // len(PATTERN) + 2))[start : start + size]


def compare(received, expected):
    if len(received) != len(expected):
        return f"bad: {len(received)} frames {received!r:.200}"
    for place, (octets, text) in enumerate(zip(received, expected)):
        if text != "?" and octets != frame(text):
            return f"bad: frame {place} has {len(octets)} octets {octets!r:.200}"
    return "good"


def obey(socket, command, arguments):
    if command == "send":
        socket.send_multipart([frame(text) for text in arguments])
        return "sent"
    if command == "expect":
        return compare(socket.recv_multipart(), arguments)
    if command == "property":
        said, expected = socket.recv(copy=False).get(arguments[0]), frame(arguments[1]).decode()
        return "good" if said == expected else f"bad: {said!r:.200}"
    if command == "echo":
        socket.send_multipart(socket.recv_multipart())
        return "echoed"
    if command in ("subscribe", "unsubscribe"):
        option = zmq.SUBSCRIBE if command == "subscribe" else zmq.UNSUBSCRIBE
        socket.setsockopt(option, frame(arguments[0]))
        return "done"
    if command == "repeat":
        until_told(lambda: socket.send_multipart([frame(text) for text in arguments]))
        return "stopped"
    raise ValueError(command)


def until_told(action):
    """Does something every few milliseconds until there is a line, and returns the line."""
    while not told.poll(5):
        action()
    return sys.stdin.readline()


def main(kind, role, endpoint, identity=None):
    context = zmq.Context()
    socket = context.socket(getattr(zmq, kind))
    socket.rcvtimeo = socket.sndtimeo = PATIENCE
    socket.reconnect_ivl = 10
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity.encode())
    if role == "bind":
        socket.bind(endpoint)
        endpoint = socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    else:
        socket.connect(endpoint)
    print("endpoint", endpoint)
    # libzmq attaches who has connected, and sends it the subscriptions, when it is asked for
    # something: a peer that only waits for the next line would never do it.
    while line := until_told(lambda: socket.getsockopt(zmq.EVENTS)):
        command, *arguments = line.split()
        try:
            print(obey(socket, command, arguments))
        except zmq.ZMQError as error:
            print("bad:", error)


if __name__ == "__main__":
    main(*sys.argv[1:])
