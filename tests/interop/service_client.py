"""A client of a service, written from docs/protocol.md alone.

    service_client.py REQUESTS RESPONSES SERVICE CLIENT_ID

It prints `hello CREDIT` when both ways are proven, and before that, where the instance says that
it does not serve the service, `refused` and its status. Then each line on its input is a JSON object:

    {"do": "call", "method": …, "body": …, "key": …, "idempotent": …, "deadline": seconds}
        prints `value JSON`, `error STATUS CODE MESSAGE`, `rejected STATUS` or `unknown STATUS`
    {"do": "push", "method": …, "count": N, "keys": K, "idempotent": …}
        pushes N requests, with the body {"n": number}, over K keys; prints how they ended
    {"do": "cancel", "method": …}     pushes a request and a cancel; prints `cancelled`
    {"do": "again", "idempotent": …}  sends one request twice; prints how often it was answered
    {"do": "nonsense"}                sends what no client should; prints the statuses that come
    {"do": "goodbye"}                 takes its leave; prints `gone`
"""

import collections
import json
import os
import random
import sys
import time

import zmq
from service_protocol import (
    CANCEL, ERROR, GOODBYE, HEARTBEAT, HELLO, IDEMPOTENT, LOST_AFTER, MESSAGEPACK, PROBE, REQUEST,
    RESPONSE, STOPPING, Control, now, pack, parse, unpack,
)  # fmt: skip

WINDOW = 512
WINDOW_OCTETS = 8 << 20
STATUS_GAP, STATUS_DEADLINE, STATUS_LOST = 0x23, 0x21, 0x20


class Call:
    """A request and, once it has one, its end."""

    def __init__(self, control, headers, body, seconds):
        self.control, self.headers, self.body = control, headers, body
        self.deadline = time.monotonic() + seconds
        self.end = None

    def left(self):
        return max(0, int((self.deadline - time.monotonic()) * 1e6))


class Client:
    """One handle of one instance: what is outstanding there, and what it has said."""

    def __init__(self, requests, responses, service, client_id):
        self.context = zmq.Context()
        self.requests, self.service = requests, service.encode()
        self.topic = client_id.encode() + b"\0"
        self.nonce = int.from_bytes(os.urandom(8), "big")
        self.counter = 0
        self.queue, self.outstanding = collections.deque(), {}
        self.ended, self.strays = [], []
        self.sub = self.context.socket(zmq.SUB)
        self.sub.connect(responses)
        self.sub.subscribe(self.topic)
        self.push = None
        self.poller = zmq.Poller()
        self.poller.register(self.sub, zmq.POLLIN)
        self.connect()

    def connect(self):
        """A new PUSH: nothing unwritten goes to another life of the instance."""
        if self.push:
            self.push.close(linger=0)
        self.push = self.context.socket(zmq.PUSH)
        self.push.connect(self.requests)
        self.epoch, self.credit, self.last, self.stopping = None, 0, 0, False
        self.heard = time.monotonic()
        self.next_probe = 0

    def next_counter(self):
        self.counter += 1
        return self.counter

    def say(self, control, headers=b"", payload=b""):
        self.push.send_multipart([self.topic, control.encode(), headers, payload])

    def request(self, method, body, key="", idempotent=False, deadline=5.0, headers=None):
        control = Control(
            kind=REQUEST, flags=IDEMPOTENT if idempotent else 0, codec=MESSAGEPACK, nonce=self.nonce,
            counter=self.next_counter(), service=self.service, method=method.encode(), key=key.encode(),
        )  # fmt: skip
        call = Call(control, pack(headers) if headers else b"", pack(body), deadline)
        self.queue.append(call)
        return call

    def run(self, until, seconds=20):
        """Does what is due until the condition holds."""
        limit = time.monotonic() + seconds
        while not until():
            if time.monotonic() > limit:
                raise TimeoutError(f"{len(self.outstanding)} outstanding, epoch {self.epoch}")
            self.turn()

    def turn(self):
        moment = time.monotonic()
        if moment >= self.next_probe:
            self.probe(moment)
        for call in [call for call in self.outstanding.values() if moment >= call.deadline]:
            self.finish(call, ("unknown", STATUS_DEADLINE))
        for call in [call for call in self.queue if moment >= call.deadline]:
            self.queue.remove(call)
            self.finish(call, ("rejected", None))
        if self.epoch is not None and moment - self.heard > LOST_AFTER:
            self.lose()
        room = min(WINDOW, self.credit) - len(self.outstanding)
        while self.epoch is not None and not self.stopping and self.queue and room > 0:
            self.hand_over(self.queue.popleft())
            room -= 1
        if self.poller.poll(10):
            while self.sub.poll(0):
                if (message := parse(self.sub.recv_multipart())) is not None:
                    self.receive(*message)

    def probe(self, moment):
        unknown = self.epoch is None
        self.next_probe = moment + (random.uniform(0.025, 0.075) if unknown else HEARTBEAT)
        self.say(Control(
            kind=PROBE, nonce=self.nonce, counter=self.next_counter(), stamp=now(), window=WINDOW,
            window_octets=WINDOW_OCTETS, service=self.service,
        ))  # fmt: skip

    def hand_over(self, call):
        call.control = call.control.but(epoch=self.epoch, left=call.left(), stamp=now())
        self.outstanding[call.control.counter] = call
        self.say(call.control, call.headers, call.body)

    def receive(self, topic, control, _headers, payload):
        if control.nonce != self.nonce or topic != self.topic:
            return
        if control.kind in (HELLO, GOODBYE):
            self.receive_greeting(control)
        elif control.kind in (RESPONSE, ERROR):
            self.receive_answer(control, payload)

    def receive_greeting(self, control):
        if self.epoch not in (None, control.epoch):
            self.lose()
            return
        self.heard = time.monotonic()
        if control.kind == GOODBYE:
            if not self.stopping:
                self.stopping, self.next_probe = True, 0
            return
        if self.epoch is None:
            self.epoch, self.last = control.epoch, control.sequence
        self.credit = control.window
        self.follow(control.sequence, None)

    def receive_answer(self, control, payload):
        if control.epoch != self.epoch:
            self.strays.append(control)
            return
        self.heard = time.monotonic()
        if control.sequence:
            self.follow(control.sequence, control.counter)
        call = self.outstanding.get(control.counter)
        if call is None:
            self.strays.append(control)
        elif control.kind == RESPONSE:
            self.finish(call, ("value", unpack(payload) if control.codec == MESSAGEPACK else payload.hex()))
        elif control.status == STOPPING:
            del self.outstanding[control.counter]
            self.queue.append(call)
        else:
            group = {1: "rejected", 2: "unknown"}.get(control.status >> 4, "error")
            self.finish(call, (group, control.status, unpack(payload)))

    def follow(self, sequence, ending):
        """What was answered and did not come has ended as unknown, or is sent again."""
        missed = sequence > self.last + (1 if ending is not None else 0)
        self.last = sequence
        if missed:
            self.give_up(STATUS_GAP, lambda call: call.control.counter != ending)

    def lose(self):
        self.give_up(STATUS_LOST, lambda call: True)
        self.connect()

    def give_up(self, status, which):
        for call in [call for call in self.outstanding.values() if which(call)]:
            if call.control.flags & IDEMPOTENT:
                del self.outstanding[call.control.counter]
                call.control = call.control.but(attempt=call.control.attempt + 1)
                self.queue.append(call)
            else:
                self.finish(call, ("unknown", status))

    def finish(self, call, end):
        call.end = end
        self.outstanding.pop(call.control.counter, None)
        self.ended.append(call)


def show(end):
    kind, what, *detail = end
    if kind == "value":
        return "value " + json.dumps(what, sort_keys=True, separators=(",", ":"))
    status = "none" if what is None else f"0x{what:04x}"
    texts = detail[0] if detail and kind == "error" and detail[0] else {}
    return " ".join([kind, status, *(texts.get(name, "") for name in ("code", "message"))]).strip()


def call(client, line):
    made = client.request(**line)
    client.run(lambda: made.end is not None)
    return show(made.end)


def push(client, line):
    count, keys = line.pop("count"), line.pop("keys", 0)
    key = (lambda n: f"key-{n % keys}") if keys else (lambda n: "")
    calls = [client.request(body={"n": n}, key=key(n), deadline=30, **line) for n in range(count)]
    client.ended.clear()
    client.run(lambda: len(client.ended) == count, 40)
    kinds = collections.Counter(made.end[0] for made in calls)
    last, in_order = {}, True
    for made in client.ended:
        in_order &= not keys or made.control.counter > last.get(made.control.key, 0)
        last[made.control.key] = made.control.counter
    right = all(made.end == ("value", {"n": n}) for n, made in enumerate(calls))
    return f"values {kinds['value']} of {count}, right {right}, in order {in_order}"


def cancel(client, line):
    made = client.request(body=None, **line)
    client.run(lambda: made.control.counter in client.outstanding)
    client.say(Control(
        kind=CANCEL, nonce=client.nonce, counter=made.control.counter, epoch=client.epoch,
        service=client.service, method=made.control.method, key=made.control.key,
    ))  # fmt: skip
    client.finish(made, ("unknown", 0x22))
    return "cancelled"


def again(client, line):
    """The second answer, where there is one, is to nothing that is outstanding any more: a stray."""
    made = client.request("echo", {"once": True}, idempotent=line["idempotent"])
    client.run(lambda: made.end is not None)
    client.strays.clear()
    client.say(made.control, b"", made.body)
    # Later requests run at once with it: only time tells that no second answer comes.
    limit = time.monotonic() + (20 if line["idempotent"] else 0.3)
    client.run(lambda: client.strays or time.monotonic() > limit, 21)
    return f"answered {1 + len(client.strays)}"


def nonsense(client, _line):
    """What must be ignored, then what must be answered: the answers come in that order."""
    client.strays.clear()
    good = Control(kind=REQUEST, nonce=client.nonce, epoch=client.epoch, service=client.service)
    topic = client.topic

    def control(**fields):
        return good.but(counter=client.next_counter(), **fields).encode()

    for message in [
        [b""],
        [topic[:-1], control(), b"", b""],
        [topic, control()[:23], b"", b""],
        [topic, control(kind=0x77), b"", b""],
        [topic, control(kind=RESPONSE), b"", b""],
        [topic, control(epoch=client.epoch ^ 1), b"", b""],
        [topic],
        [topic, control(), b""],
        [topic, control(), b"", b"", b""],
        [topic, control()[:40], b"", b""],
        [topic, control() + b"more", b"", b""],
        [topic, b"\2" + control()[1:], b"", b""],
    ]:
        client.push.send_multipart(message)
    client.run(lambda: client.counter in [stray.counter for stray in client.strays])
    answers = {stray.counter: stray.status for stray in client.strays}
    return " ".join(f"0x{answers[counter]:04x}" for counter in sorted(answers))


def goodbye(client, _line):
    client.say(Control(kind=GOODBYE, nonce=client.nonce, counter=client.next_counter(), service=client.service))
    client.push.close(linger=1_000)
    return "gone"


def main(requests, responses, service, client_id):
    client = Client(requests, responses, service, client_id)
    client.run(lambda: client.epoch is not None or client.strays)
    if client.epoch is None:
        print("refused", show(("rejected", client.strays[0].status)))
    client.run(lambda: client.epoch is not None)
    print("hello", client.credit)
    told = zmq.Poller()
    told.register(sys.stdin.fileno(), zmq.POLLIN)
    while True:
        while not told.poll(0):
            client.turn()
        if not (text := sys.stdin.readline()):
            return
        line = json.loads(text)
        does = {"call": call, "push": push, "cancel": cancel, "again": again, "nonsense": nonsense, "goodbye": goodbye}
        action = line.pop("do")
        print(does[action](client, line))
        if action == "goodbye":
            return


main(*sys.argv[1:])
