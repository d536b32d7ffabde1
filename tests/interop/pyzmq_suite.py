"""The tests of pyzmq, with a device in the middle of every pair of sockets that they make.

    pyzmq_suite.py SOURCES libzmq [NAME…]   between the two runs zmq.proxy
    pyzmq_suite.py SOURCES asked [NAME…]    between the two is what the other end of the pipe makes:
                                       `route FRONT BACK` asks for it, with the types that it is to
                                       face, an answer is two endpoints, `end` ends what was made

For each test that makes such a pair it prints `passed NAME`, `failed NAME` or `skipped NAME`, and
`done` at the end. With names only these tests run. Some fail between any two sockets that are no
pair, so pytest's own report is left out but with PYZMQ_SUITE_REPORT set, when it goes to the error
output. Left out are the tests that send 2 GiB in a message.
"""

import inspect
import os
import sys
import threading

out = os.fdopen(os.dup(1), "w", buffering=1)
told = os.fdopen(os.dup(0), "r")
os.dup2(2, 1)

import pytest
import zmq

FIXTURES = {"create_bound_pair", "bound_pair", "push_pull", "dealer_router"}
# Whom the front faces and whom the back, and the sockets that do so.
ROUTES = {
    (zmq.PAIR, zmq.PAIR): (zmq.PAIR, zmq.PAIR),
    (zmq.PUSH, zmq.PULL): (zmq.PULL, zmq.PUSH),
    (zmq.PUB, zmq.SUB): (zmq.XSUB, zmq.XPUB),
    (zmq.REQ, zmq.REP): (zmq.ROUTER, zmq.DEALER),
    (zmq.DEALER, zmq.ROUTER): (zmq.ROUTER, zmq.DEALER),
}


class Proxies:
    """zmq.proxy in threads."""

    def __init__(self):
        self.contexts = []

    def route(self, front, back):
        context = zmq.Context()
        self.contexts.append(context)
        sockets = [context.socket(kind) for kind in ROUTES[front, back]]
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in sockets]
        threading.Thread(target=self.run, args=sockets, daemon=True).start()
        return [f"tcp://127.0.0.1:{port}" for port in ports]

    @staticmethod
    def run(front, back):
        try:
            zmq.proxy(front, back)
        except zmq.ContextTerminated:
            front.close(linger=0)
            back.close(linger=0)

    def end(self):
        while self.contexts:
            self.contexts.pop().term()


class Asked:
    """Devices of whoever started us."""

    def route(self, front, back):
        print("route", zmq.SocketType(front).name, zmq.SocketType(back).name, file=out)
        return told.readline().split()

    def end(self):
        print("end", file=out)


class Suite:
    """A plugin that routes the pairs and tells the results."""

    def __init__(self, proxies, names):
        self.proxies, self.names, self.routed, self.verdict = proxies, names, False, None

    def pair(self, socket, first, second, interface="tcp://127.0.0.1"):
        turned = (first, second) not in ROUTES
        key = (second, first) if turned else (first, second)
        if key not in ROUTES or not interface.startswith("tcp"):
            pytest.skip("no device stands between these")
        self.routed = True
        endpoints = self.proxies.route(*key)
        if turned:
            endpoints.reverse()
        sockets = socket(first), socket(second)
        for end, endpoint in zip(sockets, endpoints):
            end.linger = 0
            end.connect(endpoint)
        return sockets

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if makes_pairs(item)]
        if self.names:
            items[:] = [item for item in items if name(item) in self.names]
        import zmq_test_utils

        def create_bound_pair(case, type1=zmq.PAIR, type2=zmq.PAIR, interface="tcp://127.0.0.1"):
            return self.pair(case.socket, type1, type2, interface)

        zmq_test_utils.BaseZMQTestCase.create_bound_pair = create_bound_pair
        zmq_test_utils.BaseZMQTestCase.test_timeout_seconds = 20

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.argname != "create_bound_pair":
            return None
        socket = request.getfixturevalue("socket")

        def create_bound_pair(type1=zmq.PAIR, type2=zmq.PAIR, interface="tcp://127.0.0.1"):
            return self.pair(socket, type1, type2, interface)

        fixturedef.cached_result = (create_bound_pair, fixturedef.cache_key(request), None)
        return create_bound_pair

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.verdict = "failed"
        elif report.skipped:
            self.verdict = self.verdict or "skipped"
        elif report.when == "call":
            self.verdict = self.verdict or "passed"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.routed, self.verdict = False, None
        result = yield
        self.proxies.end()
        if self.routed or self.verdict == "skipped":
            print(self.verdict, name(item), file=out)
        return result


def name(item):
    return item.nodeid.rpartition("/")[2]


def makes_pairs(item):
    uses = FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(uses) or "create_bound_pair" in inspect.getsource(item.function)


def main(sources, middle, *names):
    # Neither this folder nor the package in the sources stands for the one that is installed.
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(__file__)]
    os.chdir(sources)
    proxies = {"libzmq": Proxies, "asked": Asked}[middle]()
    report = ["-q", "--tb=short"] if os.environ.get("PYZMQ_SUITE_REPORT") else ["-p", "no:terminal"]
    arguments = [*report, "-p", "no:cacheprovider", "-m", "not large", "tests"]
    pytest.main(arguments, plugins=[Suite(proxies, names)])
    print("done", file=out)


main(*sys.argv[1:])
