#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: octets of libzmq, and others that no fuzzer would find soon.

    target/venv/bin/python fuzz/seeds.py

What libzmq says is taken from a bare socket that plays its peer, so the seeds are what 4.3.5 puts on the
wire. Those of the service layer and of the endpoints are by hand, after docs/protocol.md and the sources.
"""

import pathlib
import shutil
import socket
import struct

import zmq

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
# Each type of libzmq, with a type that it talks to.
TYPES = {
    "PAIR": "PAIR",
    "PUB": "SUB",
    "SUB": "PUB",
    "XPUB": "SUB",
    "XSUB": "PUB",
    "PUSH": "PULL",
    "PULL": "PUSH",
    "REQ": "REP",
    "REP": "REQ",
    "DEALER": "ROUTER",
    "ROUTER": "DEALER",
}
MESSAGES = [[b"one"], [b""], [b"a", b"", b"c"], [b"x" * 255], [b"y" * 256]]


def greeting(minor=1):
    return b"\xff" + bytes(8) + bytes([0x7F, 3, minor]) + b"NULL" + bytes(48)


def frame(flags, body):
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def command(name, data):
    return frame(4, bytes([len(name)]) + name + data)


def prop(name, value):
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def ready(kind, *more):
    return command(b"READY", prop(b"Socket-Type", kind.encode()) + b"".join(more))


def exactly(wire, count):
    octets = b""
    while len(octets) < count:
        piece = wire.recv(count - len(octets))
        if not piece:
            raise EOFError
        octets += piece
    return octets


def one_frame(wire):
    head = exactly(wire, 2)
    if head[0] & 2:
        head += exactly(wire, 7)
    size = int.from_bytes(head[1:], "big")
    return head + exactly(wire, size)


def quiet(wire):
    """What comes until nothing does for a while."""
    wire.settimeout(0.3)
    octets = b""
    try:
        while piece := wire.recv(65536):
            octets += piece
    except TimeoutError:
        return octets
    return octets


def record(kind, minor=1, identity=None):
    """Greeting, READY and what follows them, as a libzmq socket of this type says them."""
    context = zmq.Context()
    ours = context.socket(getattr(zmq, kind))
    ours.linger = 0
    ours.sndtimeo = 1000
    if identity:
        ours.setsockopt(zmq.IDENTITY, identity)
    if kind == "SUB":
        ours.setsockopt(zmq.SUBSCRIBE, b"news.")
        ours.setsockopt(zmq.SUBSCRIBE, b"")
    port = ours.bind_to_random_port("tcp://127.0.0.1")
    wire = socket.create_connection(("127.0.0.1", port))
    wire.settimeout(2)
    peer = TYPES[kind]
    identity = (prop(b"Identity", b"seed"),) if peer == "DEALER" else ()
    wire.sendall(greeting(minor) + ready(peer, *identity))
    said = exactly(wire, 64)
    hello = one_frame(wire)
    if minor and kind in ("PUB", "XPUB"):
        wire.sendall(command(b"SUBSCRIBE", b""))
    elif kind in ("PUB", "XPUB"):
        wire.sendall(frame(0, b"\1"))
    rest = quiet(wire)
    wire.settimeout(2)
    if kind == "XSUB":
        ours.send(b"\1news.")
        ours.send(b"\0news.")
    elif kind == "REP":
        wire.sendall(frame(1, b"hop") + frame(1, b"") + frame(0, b"question"))
        ours.rcvtimeo = 1000
        ours.recv()
        ours.send(b"answer")
    elif kind in ("REQ",):
        ours.send_multipart([b"question", b"", b"two"])
    elif kind not in ("SUB", "PULL"):
        for message in MESSAGES:
            ours.send_multipart([b"seed", *message] if kind == "ROUTER" else message)
    if minor and kind in ("PULL", "DEALER"):
        wire.sendall(command(b"PING", b"\0\x0acontext"))
    rest += quiet(wire)
    wire.close()
    ours.close()
    context.term()
    return said, hello, rest


def write(target, name, octets):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(octets)


def frames_of(octets):
    while octets:
        size = 9 if octets[0] & 2 else 2
        length = int.from_bytes(octets[1:size], "big")
        yield octets[0], octets[size : size + length]
        octets = octets[size + length :]


def record_libzmq():
    for kind in TYPES:
        for minor in (1, 0):
            said, hello, rest = record(kind, minor, b"named" if kind in ("REQ", "DEALER") else None)
            name = f"libzmq-{kind.lower()}-3.{minor}"
            if not minor and kind not in ("SUB", "XSUB", "DEALER"):
                continue
            write("handshake", name, said + hello + rest[:64])
            write("greeting", name, said)
            write("frames", name, rest)
            write("envelopes", name, rest)
            for flags, body in frames_of(hello + rest):
                if flags & 4:
                    word = body[1 : 1 + body[0]].decode().lower()
                    write("commands", f"{name}-{word}", body)
            write("metadata", name, hello[2 + 6 :])


def write_zmtp():
    write("greeting", "empty", b"")
    for name, mechanism in (("plain", b"PLAIN"), ("curve", b"CURVE"), ("xyzzy", b"XYZZY"), ("lower", b"null")):
        octets = bytearray(greeting())
        octets[12:16] = bytes(4)
        octets[12 : 12 + len(mechanism)] = mechanism
        write("greeting", name, bytes(octets))
        write("handshake", name, bytes(octets) + ready("DEALER"))
    write("greeting", "http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b" " * 40)
    write("greeting", "tls", bytes.fromhex("16030100a5010000a10303") + b"r" * 60)
    write("greeting", "zmtp-1", b"\x01\x00\x08\x00sneaky\x00")
    write("greeting", "zmtp-2", b"\xff" + bytes(7) + b"\x01\x7f\x01\x03\x00\x00")
    write("handshake", "zmtp-2", b"\xff" + bytes(7) + b"\x01\x7f\x01\x03\x00\x00" + b"\x00\x03one")
    write("handshake", "error", greeting() + command(b"ERROR", b"\x02no"))
    write("handshake", "message-first", greeting() + frame(0, b"sneaky") + ready("DEALER"))
    write("handshake", "initiate", greeting() + command(b"INITIATE", b"i" * 300))
    write("handshake", "identity-0", greeting() + ready("DEALER", prop(b"Identity", b"\0abc")))
    write("handshake", "twice", greeting() + ready("REQ") + ready("REQ"))
    write("handshake", "two-types", greeting() + ready("REQ", prop(b"socket-TYPE", b"REP")))
    write("handshake", "huge", greeting() + b"\x06" + struct.pack(">Q", 1 << 40) + b"\x05READY")
    for size in (255, 256):
        write("handshake", f"identity-{size}", greeting() + ready("DEALER", prop(b"Identity", b"i" * size)))
    tiny = b"".join(frame(0, struct.pack(">H", number)) for number in range(300))
    write("frames", "300-tiny", tiny)
    write("frames", "many-parts", frame(1, b"") * 20 + frame(0, b"end"))
    write("frames", "ping-between", frame(1, b"one") + command(b"PING", b"\0\0") + frame(0, b"two"))
    write("frames", "long-form", b"\x03" + struct.pack(">Q", 3) + b"one" + b"\x02" + struct.pack(">Q", 0))
    for name, length in (("2-31", 1 << 31), ("2-32", 1 << 32), ("2-63", 1 << 63), ("2-64", (1 << 64) - 1)):
        write("frames", f"length-{name}", frame(0, b"ok") + b"\x02" + struct.pack(">Q", length) + b"body")
    write("frames", "reserved", frame(0, b"ok") + b"\x08\x00")
    write("frames", "more-command", b"\x05\x05\x04PONG")
    write("frames", "long-command", command(b"SUBSCRIBE", b"t" * 300) + command(b"CANCEL", b"t" * 300))
    write("frames", "nameless", b"\x04\x00\x04\x01\x00\x04\x02\x05P")
    write("metadata", "empty", b"")
    write("metadata", "many", b"".join(prop(b"X-%d" % number, b"") for number in range(64)))
    write("metadata", "too-many", b"".join(prop(b"X-%d" % number, b"") for number in range(65)))
    write("metadata", "value-2-31", b"\x01X" + struct.pack(">I", 1 << 31) + b"v")
    write("metadata", "twice", prop(b"X-Color", b"red") + prop(b"x-cOLOR", b"red"))
    write("metadata", "full", prop(b"X", b"v" * (8192 - 6)))
    for name, body in (
        ("ping", b"\x04PING\0\x0a"),
        ("ping-16", b"\x04PING\xff\xff0123456789abcdef"),
        ("pong", b"\x04PONG0123"),
        ("error", b"\x05ERROR\x05no\n\xffx"),
        ("subscribe", b"\x09SUBSCRIBEnews."),
        ("subscribe-all", b"\x09SUBSCRIBE"),
        ("cancel", b"\x06CANCELnews."),
        ("join", b"\x04JOINgroup"),
        ("message-subscribe", b"\x01news."),
        ("message-cancel", b"\x00news."),
        ("ready", b"\x05READY" + prop(b"Socket-Type", b"SUB") + prop(b"X-Zone", b"eu")),
        ("nameless", b"\x00"),
        ("cut", b"\x09SUBS"),
    ):
        write("commands", name, body)


def write_envelopes():
    hops = [b"\0%c%c%c%c" % (0, 0, 0, hop) for hop in range(17)]
    for name, frames in (
        ("request", [b"", b"question"]),
        ("correlated", [b"\0\0\0\7", b"", b"question"]),
        ("one-hop", [hops[0], b"", b"question", b"", b"more"]),
        ("sixteen", [*hops[:16], b"", b"question"]),
        ("seventeen", [*hops, b"", b"question"]),
        ("delimiter", [b""]),
        ("bare", [b"no", b"delimiter"]),
        ("named", [b"worker-1", b"", b"READY"]),
    ):
        octets = b"".join(frame(int(place + 1 < len(frames)), body) for place, body in enumerate(frames))
        write("envelopes", name, octets)


def write_subscriptions():
    def step(kind, key, topic):
        return bytes([kind | key << 3 | len(topic) << 5]) + topic

    subscribe, cancel, remove, match = 0, 3, 5, 7
    write("subscriptions", "fork", b"".join(step(subscribe, 0, t) for t in (b"abc", b"abd", b"ab", b"")))
    write(
        "subscriptions",
        "counted",
        step(subscribe, 1, b"a") * 3 + step(cancel, 1, b"a") * 4 + step(match, 0, b"a"),
    )
    write(
        "subscriptions",
        "two-peers",
        step(subscribe, 0, b"ab") + step(subscribe, 1, b"abc") + step(match, 0, b"abcd") + step(remove, 0, b""),
    )
    write("subscriptions", "never", step(cancel, 2, b"x") + step(remove, 3, b""))
    chain = b"".join(step(subscribe, length % 4, b"aaaaaaa"[:length]) for length in range(8))
    write("subscriptions", "chain", chain + step(match, 0, b"aaaaaaa") + step(remove, 1, b""))
    both = b"".join(step(subscribe, key, t) for key in range(4) for t in (b"a", b"b", b"ab", b"ba", b"abab"))
    undone = b"".join(step(cancel, key, t) for key in range(4) for t in (b"ab", b"a", b"abab"))
    write("subscriptions", "undone", both + undone + step(match, 0, b"ababab"[:6]))


def write_endpoints():
    for number, text in enumerate(
        (
            "tcp://127.0.0.1:5555",
            "tcp://[::1]:5555",
            "tcp://[::ffff:192.0.2.1]:1",
            "tcp://localhost:*",
            "tcp://*:0",
            "tcp://0.0.0.0:65535",
            "tcp://broker-1.example.org:65536",
            "ipc:///run/geo.sock",
            "ipc://*",
            "ipc://@geo",
            "ipc://" + "a" * 107,
            "inproc://some name/with things",
            "memory://" + "n" * 255,
            "memory://\u00e4\u202e\u0301",
            "tcp://ho\0st:5555",
            "http://localhost:80",
            "tcp://",
            "",
        )
    ):
        write("endpoints", f"{number:02}", text.encode())


def control(kind=1, service=b"geo", method=b"locate", key=b"k", version=1, left=5_000_000):
    head = struct.pack(
        ">BBHBBHQQQQQQHHIQ", version, kind, 1, 1, 8, 2, 0x0102030405060708, 9, 0, 7, left, 0x11223344, 0, 0, 512, 4 << 20
    )
    names = bytes([len(service)]) + service + bytes([len(method)]) + method
    return head + names + struct.pack(">H", len(key)) + key


def write_control():
    for kind in range(1, 11):
        write("control", f"kind-{kind:02}", control(kind))
    write("control", "no-deadline", control(left=(1 << 64) - 1))
    write("control", "version-2", control(version=2))
    write("control", "kind-11", control(11))
    write("control", "not-utf-8", control(service=b"\xff\xfe"))
    write("control", "long-names", control(service=b"s" * 255, method=b"m" * 255, key=b"k" * 300))
    write("control", "nameless", control(service=b"", method=b"", key=b""))
    write("control", "client", b"web-7\0")
    write("control", "headers", b"\x82\xabtraceparent\xa500-ab\xa1a\xa0")
    write("control", "map-32", b"\xdf\xff\xff\xff\xff")
    write("control", "deep", b"\x91" * 200)
    topics = (b"web-7\0", b"", b"web-7")
    for number, topic in enumerate(topics):
        frames = (topic, control(), b"\x81\xa1a\xa1b", b"payload")
        octets = b"".join(frame(int(place < 3), body) for place, body in enumerate(frames))
        write("control", f"message-{number}", octets)


if __name__ == "__main__":
    shutil.rmtree(CORPUS, ignore_errors=True)
    record_libzmq()
    write_zmtp()
    write_envelopes()
    write_subscriptions()
    write_endpoints()
    write_control()
