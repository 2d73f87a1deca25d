import socket
import subprocess
import sys

from driftline.serving.hosting import worker
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.resources.worker_spec import WorkerSpec

MAIN = """
import sys
from driftline.serving.hosting.worker import main
from driftline.serving.resources.worker_spec import WorkerSpec
main(int(sys.argv[1]), WorkerSpec(sys.argv[2], trust_pickle=True))
"""


def test_a_worker_whose_server_is_killed_ends_without_a_word(slow_model):
    ours, theirs = socket.socketpair()
    request = {"form": "csv", "answer": "csv", "exclusive": True}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", MAIN, str(theirs.fileno()), str(slow_model)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
        )
    with ours:
        ours.settimeout(60)
        reader = FrameReader()
        while not list(reader.feed(ours.recv(1 << 16))):
            pass
        # It is at work on these when the other end goes, as it does when the server is killed.
        for number in range(3):
            ours.sendall(pack({"id": number, **request}, b"0.3"))

    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, b"")


def test_a_body_over_which_a_reader_fails_is_refused_alone(slow_model, monkeypatch, caplog):
    read = worker.read_columns

    def failing(body, *given, **more):
        return read(body if body == b"0" else float("secret"), *given, **more)

    monkeypatch.setattr(worker, "read_columns", failing)
    loaded = worker.load(WorkerSpec(str(slow_model), trust_pickle=True), None)
    request = {"form": "csv", "answer": "csv", "exclusive": False}
    frames = [({"id": at, **request}, body) for at, body in enumerate([b"0", b"1", b"0"])]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.answer_frames(theirs, loaded, frames, worker.Memory(None))
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(60)
        answers = list(FrameReader().feed(ours.recv(1 << 16)))

    assert {header["id"]: header["status"] for header, _ in answers} == {0: 200, 1: 400, 2: 200}
    assert "error=ValueError" in caplog.text
    assert "to float: 'secret'" not in caplog.text
