"""Exit 0 if a process of this machine answers /healthz: ``healthy.py [PORT]``.

It runs beside the process, which may answer its own machine only.
"""

import http.client
import os
import sys

port = int((sys.argv[1:] or [os.environ["HEALTH_PORT"]])[0])
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
try:
    connection.request("GET", "/healthz")
    sys.exit(connection.getresponse().status != 200)
except OSError as error:
    sys.exit(f"port {port}: {error}")
