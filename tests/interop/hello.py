"""Says which libzmq is here, then repeats what it is told after a name: shows that scripts run."""

import sys

import zmq

print("libzmq", zmq.zmq_version())
for line in sys.stdin:
    print(sys.argv[1], line.strip())
