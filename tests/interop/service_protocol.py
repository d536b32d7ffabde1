"""The frames of the service protocol, as docs/protocol.md has them."""

import struct
import time

import msgpack

HEAD = struct.Struct(">BBHBBHQQQQQQHHIQ")
REQUEST, RESPONSE, ERROR, CANCEL, PROBE, HELLO, GOODBYE = 1, 2, 5, 6, 8, 9, 10
IDEMPOTENT = 1
MESSAGEPACK = 1
NO_DEADLINE = 2**64 - 1
HEARTBEAT = 1.0
LOST_AFTER = 4 * HEARTBEAT

EXPIRED, NO_SUCH_METHOD, NO_SUCH_SERVICE, MALFORMED, STOPPING = 0x11, 0x12, 0x13, 0x15, 0x17
HANDLER_ERROR = 0x30


class Control(dict):
    """A control frame: its fields by name, those that are not given as an unused field is sent."""

    UNUSED = dict(
        version=1, kind=0, flags=0, codec=0, hops=8, attempt=0, nonce=0, counter=0, sequence=0, epoch=0,
        left=NO_DEADLINE, stamp=0, status=0, reserved=0, window=0, window_octets=0,
        service=b"", method=b"", key=b"",
    )  # fmt: skip

    def __init__(self, **fields):
        super().__init__(self.UNUSED | fields)

    def __getattr__(self, name):
        return self[name]

    def but(self, **fields):
        return Control(**(self | fields))

    def encode(self):
        *head, service, method, key = self.values()
        lengths = (1, service), (1, method), (2, key)
        names = [len(name).to_bytes(size, "big") + name for size, name in lengths]
        return HEAD.pack(*head) + b"".join(names)

    @classmethod
    def decode(cls, frame):
        """The control frame in these octets, or None where there is none of version 1."""
        if len(frame) < HEAD.size or frame[0] != 1:
            return None
        values, at = list(HEAD.unpack_from(frame)), HEAD.size
        for size in (1, 1, 2):
            end = at + size + int.from_bytes(frame[at : at + size], "big")
            values.append(frame[at + size : end])
            at = end
        if at != len(frame):
            return None
        return cls(**dict(zip(cls.UNUSED, values)))


def parse(message):
    """Topic, control frame, headers and payload, or None where it must be ignored."""
    if len(message) != 4:
        return None
    topic, frame, headers, payload = message
    control = Control.decode(frame)
    return control and (topic, control, headers, payload)


def pack(value):
    return msgpack.packb(value)


def unpack(octets):
    return msgpack.unpackb(octets) if octets else None


def now():
    """The monotonic clock in microseconds; never 0, which means that there is none."""
    return time.monotonic_ns() // 1_000 + 1
