"""A worker behind a broker, written from docs/protocol.md alone.

    service_worker.py BACK SERVICE NAME CREDIT

It prints `registered` when the broker has answered its hello, `lost` when it hears nothing of it,
and `handled COUNT` when it goes: at the line `stop`, or at the end of its input.

Its methods: `echo` gives the argument back, `add` the sum of `a` and `b`, `who` its name,
`headers` what came in them, `fail` an error, `wait` its argument, but not before the line `release`.
"""

import os
import sys
import time

import zmq
from service_protocol import (
    CANCEL, ERROR, EXPIRED, GOODBYE, HANDLER_ERROR, HEARTBEAT, HELLO, LOST_AFTER, MALFORMED, MESSAGEPACK,
    NO_DEADLINE, NO_SUCH_METHOD, NO_SUCH_SERVICE, REQUEST, RESPONSE, Control, now, pack, parse, unpack,
)  # fmt: skip


class Refused(Exception):
    """An error to answer with: a status, and what its payload says."""

    def __init__(self, status, code="", message=""):
        self.status, self.payload = status, pack({"code": code, "message": message})


class Worker:
    """One DEALER, its registration, and the requests that it has not answered."""

    def __init__(self, back, service, name, credit):
        self.context = zmq.Context()
        self.back, self.service, self.name, self.credit = back, service.encode(), name, int(credit)
        self.counter, self.handled = 0, 0
        self.held, self.stopping = {}, False
        self.dealer = None
        self.connect()

    def connect(self):
        if self.dealer:
            self.dealer.close(linger=0)
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.reconnect_ivl = 50
        self.dealer.connect(self.back)
        self.register()

    def register(self):
        """A new life: what the old one had is nobody's any more."""
        self.epoch = int.from_bytes(os.urandom(8), "big") | 1
        self.held.clear()
        self.fastest = None
        self.registered, self.answered = False, 0
        self.heard = time.monotonic()
        self.next_hello = 0

    def turn(self):
        moment = time.monotonic()
        if moment - self.heard > LOST_AFTER:
            print("lost")
            self.connect()
        if moment >= self.next_hello:
            self.next_hello = moment + HEARTBEAT
            self.greet()
        if self.dealer.poll(10):
            while self.dealer.poll(0):
                if (message := parse(self.dealer.recv_multipart())) is not None:
                    self.heard = time.monotonic()
                    self.receive(*message)

    def greet(self, credit=None):
        self.counter += 1
        control = Control(
            kind=GOODBYE if self.stopping else HELLO, counter=self.counter, epoch=self.epoch,
            window=self.credit if credit is None else credit, service=self.service,
        )  # fmt: skip
        self.dealer.send_multipart([b"", control.encode(), pack({"name": self.name}), b""])

    def receive(self, topic, control, headers, payload):
        if control.kind == HELLO:
            self.answered = control.counter
            if not self.registered:
                self.registered = True
                print("registered")
        elif control.kind == GOODBYE and control.epoch == self.epoch and not self.stopping:
            self.register()
        elif control.kind == CANCEL and control.epoch == self.epoch:
            self.held.pop((control.nonce, control.counter), None)
        elif control.kind == REQUEST and control.epoch == self.epoch:
            self.serve(topic, control, headers, payload)

    def serve(self, topic, control, headers, payload):
        # All stamps are of the broker's clock: the fastest message of all is the one to compare with.
        difference = now() - control.stamp
        self.fastest = difference if self.fastest is None else min(self.fastest, difference)
        waited = difference - self.fastest if control.stamp else 0
        try:
            if control.left != NO_DEADLINE and waited >= control.left:
                raise Refused(EXPIRED)
            if control.service != self.service:
                raise Refused(NO_SUCH_SERVICE)
            if control.method == b"wait":
                self.held[control.nonce, control.counter] = topic, control, payload
                return
            answer = self.method(control, headers, payload)
            control = control.but(kind=RESPONSE, status=0, codec=MESSAGEPACK)
        except Refused as refused:
            answer = refused.payload
            control = control.but(kind=ERROR, status=refused.status, codec=MESSAGEPACK)
        self.answer(topic, control, answer)

    def method(self, control, headers, payload):
        method = control.method.decode()
        try:
            argument = unpack(payload) if control.codec == MESSAGEPACK else payload
            headers = unpack(headers) or {}
        except ValueError:
            raise Refused(MALFORMED) from None
        match method:
            case "echo":
                return pack(argument)
            case "add":
                return pack(argument["a"] + argument["b"])
            case "who":
                return pack(self.name)
            case "headers":
                return pack(headers)
            case "fail":
                raise Refused(HANDLER_ERROR, "on_purpose", "it was asked to")
        raise Refused(NO_SUCH_METHOD)

    def answer(self, topic, control, payload):
        self.handled += 1
        self.dealer.send_multipart([topic, control.but(sequence=0).encode(), b"", payload])

    def release(self):
        for topic, control, payload in self.held.values():
            self.answer(topic, control.but(kind=RESPONSE, status=0), payload)
        self.held.clear()

    def stop(self):
        """Leaves so that nothing is lost: the answer to the last hello comes after every request."""
        self.greet(credit=0)
        last_hello = self.counter
        self.stopping, self.next_hello = True, 0
        self.release()
        limit = time.monotonic() + LOST_AFTER
        while self.answered != last_hello and time.monotonic() < limit:
            self.turn()
        self.dealer.close(linger=1_000)


def main(*arguments):
    worker = Worker(*arguments)
    told = zmq.Poller()
    told.register(sys.stdin.fileno(), zmq.POLLIN)
    while True:
        while not told.poll(0):
            worker.turn()
        line = sys.stdin.readline().strip()
        if line == "release":
            worker.release()
            print("released")
        else:
            break
    worker.stop()
    print("handled", worker.handled)


main(*sys.argv[1:])
