import socket
import subprocess
import sys

from driftline.serving.hosting.frames import FrameReader, pack

MAIN = "import sys; from driftline.serving.hosting.worker import main; main(int(sys.argv[1]))"


def test_a_worker_whose_server_is_killed_ends_without_a_word(slow_model):
    ours, theirs = socket.socketpair()
    launch = {
        "path": str(slow_model),
        "trust_pickle": True,
        "signature": None,
        "positive": None,
        "max_rows": 10,
    }
    request = {"form": "csv", "answer": "csv", "alone": True}
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-c", MAIN, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
        )
    with ours:
        ours.settimeout(60)
        ours.sendall(pack(launch))
        reader = FrameReader()
        while not list(reader.feed(ours.recv(1 << 16))):
            pass
        # It is at work on these when the other end goes, as it does when the server is killed.
        for number in range(3):
            ours.sendall(pack({"id": number, **request}, b"0.3"))

    _, said = worker.communicate(timeout=60)

    assert (worker.returncode, said) == (0, b"")
