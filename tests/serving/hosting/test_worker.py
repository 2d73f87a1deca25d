import socket

from driftline.serving.hosting import worker
from driftline.serving.hosting.frames import FrameReader
from driftline.serving.resources.worker_spec import WorkerSpec


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
