"""Clients and workers over libzmq as everybody writes them first, for a device to stand between.

    guide.py rrclient FRONT COUNT          REQ: asks COUNT questions          prints `answered COUNT`
    guide.py rrworker BACK NAME            REP: answers until it is killed    prints `ready`
    guide.py taskvent FRONT COUNT          PUSH: hands out COUNT tasks        prints `sent COUNT`
    guide.py taskwork BACK FRONT           PULL to PUSH, until it is killed   prints `ready`
    guide.py tasksink BACK COUNT           PULL: collects COUNT results       prints `collected SUM`
    guide.py wuserver FRONT NAME           PUB: weather until it is killed    prints `ready`
    guide.py wuclient BACK TOPIC COUNT     SUB: waits for the name of a server on its input, then
                                           for COUNT reports of it; again     prints `reports COUNT`
    guide.py syncpub FRONT BACK SUBSCRIBERS COUNT
                                           PUB and REP: greets until so many subscribers have said
                                           that they hear it, then COUNT messages and the end
                                                                              prints `published COUNT`
    guide.py syncsub BACK FRONT            SUB and REQ: hears a greeting, says so, counts until the
                                           end                                prints `updates COUNT`

All of them connect: the device is the one that binds. The first end of a publisher or subscriber is
that of a forwarder, the second that of a queue.
"""

import sys
import time

import zmq

PATIENCE = 20_000
context = zmq.Context()


def connected(kind, endpoint):
    socket = context.socket(kind)
    socket.rcvtimeo = socket.sndtimeo = PATIENCE
    socket.connect(endpoint)
    return socket


def rrclient(front, count):
    client = connected(zmq.REQ, front)
    for number in range(int(count)):
        client.send(b"%d" % number)
        question, worker = client.recv_multipart()
        assert question == b"%d" % number, question
    print("answered", count)


def rrworker(back, name):
    worker = connected(zmq.REP, back)
    worker.rcvtimeo = -1
    print("ready")
    while True:
        worker.send_multipart([worker.recv(), name.encode()])


def taskvent(front, count):
    sender = connected(zmq.PUSH, front)
    for number in range(int(count)):
        sender.send(b"%d" % number)
    print("sent", count)
    sender.close(linger=PATIENCE)
    context.term()


def taskwork(back, front):
    receiver, sender = connected(zmq.PULL, back), connected(zmq.PUSH, front)
    receiver.rcvtimeo = -1
    print("ready")
    while True:
        sender.send(b"%d" % (2 * int(receiver.recv())))


def tasksink(back, count):
    sink = connected(zmq.PULL, back)
    print("collected", sum(int(sink.recv()) for _ in range(int(count))))


def wuserver(front, name):
    publisher = connected(zmq.PUB, front)
    print("ready")
    number = 0
    while True:
        publisher.send_string(f"{10000 + number % 4} {name} {number}")
        number += 1
        time.sleep(0.0005)


def wuclient(back, topic, count):
    subscriber = connected(zmq.SUB, back)
    subscriber.setsockopt_string(zmq.SUBSCRIBE, topic)
    for line in sys.stdin:
        last, seen = -1, 0
        while seen < int(count):
            received, name, number = subscriber.recv_string().split()
            assert received == topic, received
            if name == line.strip():
                assert int(number) > last, "in order for each publisher"
                last, seen = int(number), seen + 1
        print("reports", count)


def syncpub(front, back, subscribers, count):
    publisher, synced = context.socket(zmq.PUB), connected(zmq.REP, back)
    publisher.sndhwm = 1_100_000
    publisher.connect(front)
    missing = int(subscribers)
    while missing:
        publisher.send(b"HELLO")
        if synced.poll(1):
            synced.recv()
            synced.send(b"")
            missing -= 1
    for _ in range(int(count)):
        publisher.send(b"Rhubarb")
    publisher.send(b"END")
    print("published", count)
    publisher.close(linger=PATIENCE)
    context.destroy(linger=PATIENCE)


def syncsub(back, front):
    subscriber = context.socket(zmq.SUB)
    subscriber.rcvtimeo, subscriber.rcvhwm = PATIENCE, 1_100_000
    subscriber.subscribe(b"")
    subscriber.connect(back)
    assert subscriber.recv() == b"HELLO"
    client = connected(zmq.REQ, front)
    client.send(b"")
    client.recv()
    seen = 0
    while (message := subscriber.recv()) != b"END":
        seen += message == b"Rhubarb"
    print("updates", seen)


globals()[sys.argv[1]](*sys.argv[2:])
