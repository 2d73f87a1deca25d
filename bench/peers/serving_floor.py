"""The floor of bench/serving.py: uvicorn, one coroutine and the model, with nothing around them.

python serving_floor.py PORT MODEL
"""

import csv
import io
import json
import sys

import joblib
import numpy as np
import uvicorn


def read_model(file):  # noqa: ANN001, ANN201 - one function, called below
    """Return the function from rows to the second class's chances."""
    if not file.endswith(".onnx"):
        model = joblib.load(file)
        return lambda rows: model.predict_proba(rows)[:, 1]
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    (rows_in,), (_, chances) = session.get_inputs(), session.get_outputs()
    return lambda rows: session.run([chances.name], {rows_in.name: np.float32(rows)})[0][:, 1]


predict = read_model(sys.argv[2])


async def app(scope, receive, send) -> None:  # noqa: ANN001 - ASGI's
    """Answer one request; no checks, no capture, no limits."""
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":  # Whether it is ready.
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body")
    kind = dict(scope["headers"]).get(b"content-type", b"text/csv")
    if kind == b"text/csv":
        rows = np.array([[*map(float, row)] for row in csv.reader(io.StringIO(body.decode()))])
    elif kind == b"application/json":
        rows = np.array(json.loads(body)["instances"], dtype=np.float64)
    else:
        rows = np.load(io.BytesIO(body))
    chances = predict(rows).tolist()
    if kind == b"text/csv":
        answer = "".join(f"{int(chance > 0.5)},{chance}\n" for chance in chances).encode()
    else:
        told = [{"prediction": int(one > 0.5), "probability": one} for one in chances]
        answer = json.dumps({"predictions": told}).encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


uvicorn.run(
    app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", access_log=False,
    lifespan="off",
)  # fmt: skip
