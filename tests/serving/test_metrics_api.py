"""Metrics over HTTP, by the client and by the commands."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.app.client.client import Client
from driftline.app.commands.metric import require_metric
from driftline.errors import InputError, NotFoundError
from tests.servers.commands import driftline
from tests.serving.conftest import NOW

DATUM = {"MetricName": "orders", "Value": 3, "Dimensions": [{"Name": "region", "Value": "north"}]}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("metrics")) as found:
        yield found


@pytest.fixture
def client(server):
    with Client(server.url) as found:
        yield found


def post(server, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    return server.client.post("/api/v1/metrics", content=content, headers=headers)


def command(server, *arguments):
    done = driftline("metric", *arguments, "--server", server.url, timeout=60)
    return done.returncode, done.stdout, done.stderr


def read(client, namespace, name="orders", **more):
    start = NOW - timedelta(hours=1)
    return client.metric_statistics(namespace, name, start, NOW + timedelta(hours=1), **more)


def test_what_boto_sends_is_stored_and_read_by_its_names(server):
    body = {"Namespace": "boto", "MetricData": [DATUM, DATUM | {"Value": 5}]}
    assert post(server, body).json() == {"stored": 2}

    asked = {
        "Namespace": "boto",
        "MetricName": "orders",
        "Dimensions": DATUM["Dimensions"],
        "StartTime": NOW.isoformat(),
        "EndTime": (NOW + timedelta(minutes=5)).isoformat(),
        "Period": 60,
        "Statistics": ["Average", "SampleCount"],
        "ExtendedStatistics": ["p90"],
    }
    answer = server.client.post("/api/v1/metrics/statistics", json=asked)

    assert answer.json() == {
        "label": "orders",
        "datapoints": [
            {
                "timestamp": "2026-01-15T06:00:00Z",
                "unit": "None",
                "sample_count": 2.0,
                "average": 4.0,
                "extended_statistics": {"p90": 5.0},
            }
        ],
    }


@pytest.mark.parametrize("header", ["idempotency-key", "amz-sdk-invocation-id"])
def test_a_call_that_is_repeated_under_its_id_adds_once(server, header):
    body = {"Namespace": header, "MetricData": [DATUM]}

    assert post(server, body, **{header: f"{header}-1"}).json() == {"stored": 1}
    assert post(server, body, **{header: f"{header}-1"}).json() == {"stored": 0}
    assert post(server, body, **{header: f"{header}-2"}).json() == {"stored": 1}


def test_a_repeated_id_with_another_body_is_refused_in_one_sentence(server):
    body = {"Namespace": "twice", "MetricData": [DATUM]}
    post(server, body, **{"idempotency-key": "twice"})

    answer = post(
        server, body | {"MetricData": [DATUM | {"Value": 4}]}, **{"idempotency-key": "twice"}
    )

    assert answer.status_code == 409
    assert server.error_of(answer) == {
        "code": "conflict",
        "message": 'request id "twice" came at 2026-01-15T06:00:00Z with another body; '
        "expected the same body again, or a new id",
    }


def test_the_same_body_written_otherwise_is_the_same(server):
    body = {"Namespace": "spelt", "MetricData": [DATUM]}
    post(server, body, **{"idempotency-key": "spelt"})
    spelt = json.dumps(dict(reversed(body.items())), indent=1).encode()

    packed = {"content-encoding": "gzip", "idempotency-key": "spelt"}

    assert post(server, gzip.compress(spelt), **packed).json() == {"stored": 0}


def test_a_body_may_be_gzip(server):
    content = gzip.compress(json.dumps({"Namespace": "gz", "MetricData": [DATUM]}).encode())

    assert post(server, content, **{"content-encoding": "gzip"}).json() == {"stored": 1}


def test_what_inflates_without_end_is_refused(server):
    content = gzip.compress(bytes(11 << 20))

    answer = post(server, content, **{"content-encoding": "gzip"})

    assert answer.status_code == 413
    assert "inflates to more than" in server.error_of(answer)["message"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"{", {}, 400, "the body is no JSON"),
        (b"[" * 100_000, {}, 400, "the body is no JSON (nested too deeply)"),
        (b"\xff", {}, 400, "the body is no JSON"),
        (b"1" * 4301, {}, 400, "no JSON (a whole number of more than 4,300 digits)"),
        (b" " * ((1 << 20) + 1), {}, 413, "1048577 bytes; expected 1048576"),
        (b"{}", {"content-encoding": "br"}, 415, 'Content-Encoding is "br"'),
        (b"{}", {"content-encoding": "gzip"}, 400, "the body is no gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, 400, "cut off"),
        (b'{"Namespace": "x"}', {}, 400, "The parameter MetricData is required."),
        (
            json.dumps({"Namespace": "x", "MetricData": [{"MetricName": "m"}]}).encode(),
            {"idempotency-key": "k" * 129},
            400,
            "MetricData.member.1.Value is required",
        ),
        (
            json.dumps({"Namespace": "x", "MetricData": [DATUM]}).encode(),
            {"idempotency-key": "k" * 129},
            400,
            "expected 1 to 128 characters",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_sentence(server, body, headers, status, message):
    answer = post(server, body, **headers)

    assert answer.status_code == status
    assert message in server.error_of(answer)["message"]


def test_a_start_within_a_minute_is_rounded_down_and_an_empty_range_is_refused(client):
    client.put_metrics("aligned", [DATUM | {"Timestamp": NOW.isoformat(), "Value": 2}])
    late = NOW + timedelta(seconds=40)
    ask = partial(client.metric_statistics, "aligned", "orders", dimensions={"region": "north"})
    metric = {"namespace": "aligned", "metric_name": "orders", "dimensions": {"region": "north"}}
    queries = [{"id": "m1", "metric_stat": {"metric": metric, "period": 60, "stat": "Sum"}}]

    (point,) = ask(late, NOW + timedelta(minutes=1))
    (series,) = client.metric_data(queries, late, NOW + timedelta(minutes=1))

    assert point["timestamp"] == "2026-01-15T06:00:00Z"
    assert series["timestamps"] == ["2026-01-15T06:00:00Z"]
    for asked in (ask, partial(client.metric_data, queries)):
        with pytest.raises(InputError, match="StartTime must be less than"):
            asked(late, late)


def test_the_client_puts_lists_and_reads(client):
    points = [{"metric_name": "m", "value": n, "dimensions": {"host": f"h{n}"}} for n in range(700)]
    assert client.put_metrics("bulk", points) == 700
    assert client.put_metrics("bulk", points[:1], request_id="again") == 1
    assert client.put_metrics("bulk", points[:1], request_id="again") == 0

    assert len(client.metrics(namespace="bulk")) == 700
    assert len(client.metrics(namespace="bulk", limit=600)) == 600
    assert client.metrics(dimensions={"host": "h7"}, only_recent=True) == [
        {"namespace": "bulk", "metric_name": "m", "dimensions": {"host": "h7"}}
    ]
    (found,) = read(client, "bulk", "m", dimensions={"host": "h7"}, statistics=["Sum", "p50"])
    assert (found["sum"], found["extended_statistics"]) == (7.0, {"p50": 7.0})


def test_the_client_tells_what_is_wrong(client):
    with pytest.raises(InputError, match="Period must be 1, 5, 10"):
        read(client, "bulk", period=61)
    assert client.metrics(limit=0) == []


def test_the_commands_put_list_and_show(server):
    window = ("--from", "2026-01-15T05:00:00Z", "--to", "2026-01-15T07:00:00Z")
    time = ("--time", "2026-01-15T06:00:00Z")

    put = command(server, "put", "cli", "orders", "3", "5", "-d", "region=north", *time)
    named = f"server: {server.url} (data in {server.root})\n"
    assert put == (0, "stored 1 datapoint in cli\n", named)
    listed = command(server, "list", "cli")
    assert listed[1].split() == [
        *("namespace", "metric_name", "dimensions"),
        *("cli", "orders", "region=north"),
    ]
    code, text, _ = command(
        server, "stats", "cli", "orders", "-d", "region=north", *window,
        "--stat", "Average", "--stat", "p90", "--json",
    )  # fmt: skip
    assert code == 0
    (found,) = json.loads(text)
    assert (found["average"], found["extended_statistics"]) == (4.0, {"p90": 5.0})
    table = command(server, "stats", "cli", "orders", "-d", "region=north", *window)[1]
    assert table.split() == ["timestamp", "unit", "average", "2026-01-15T06:00:00Z", "None", "4"]
    early = ("--from", "2026-01-15T04:00:00Z", "--to", "2026-01-15T05:00:00Z")
    empty = command(server, "stats", "cli", "orders", "-d", "region=north", *early)
    assert (empty[0], "no datapoints" in empty[1]) == (0, True)


NO_ORDERS = 'metric "orders" of namespace "names"'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("names", "ordres"),
            'metric "ordres" of namespace "names" does not exist; expected one of its metrics, '
            "such as orders: driftline metric list names shows them",
        ),
        (
            ("names", "zzz"),
            'metric "zzz" of namespace "names" does not exist; expected one of its metrics: '
            "driftline metric list names shows them",
        ),
        (
            ("nmaes", "orders"),
            'namespace "nmaes" does not exist; expected one that has metrics, such as names: '
            "driftline metric list shows them",
        ),
        (
            ("names", "orders", "-d", "region=nort"),
            f"{NO_ORDERS} with -d region=nort does not exist; expected all of its dimensions, "
            "such as -d region=north",
        ),
        (
            ("names", "orders", "--json"),
            f"{NO_ORDERS} without dimensions does not exist; expected all of its dimensions, such "
            "as -d region=north",
        ),
    ],
)
def test_a_metric_that_is_not_there_is_told_with_its_nearest_names(server, words, said):
    post(server, {"Namespace": "names", "MetricData": [DATUM]})

    assert command(server, "stats", *words) == (2, "", f"driftline: {said}\n")


def test_a_metric_whose_data_is_old_is_there(server, client):
    old = Datapoint("old", "orders", {}, NOW - timedelta(days=100), 1.0)
    with server.engine.begin() as connection:
        add(connection, [old])

    assert client.metrics(namespace="old") == []
    require_metric(client, "old", "orders", {}, now=NOW)
    with pytest.raises(NotFoundError, match='namespace "old" does not exist'):
        require_metric(client, "old", "orders", {"region": "north"}, now=NOW)


def test_the_command_puts_a_file_as_boto_would_send_it(server, tmp_path):
    file = tmp_path / "put.json"
    file.write_text(json.dumps({"Namespace": "file", "MetricData": [DATUM]}))
    assert command(server, "put", "--file", str(file), "--json")[1] == '{\n  "stored": 1\n}\n'

    file.write_text("[]")
    code, _, talk = command(server, "put", "--file", str(file))
    assert code == 2
    assert 'expected {"Namespace"' in talk


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("put", "cli", "orders"), "expected NAMESPACE NAME VALUE"),
        (("put", "cli", "orders", "1", "-d", "region"), "expected NAME=VALUE"),
        (("put", "cli", "orders", "1", "--time", "noon"), '--time "noon"'),
        (("put", "cli", "orders", "1", "--unit", "Bananas"), "Unit must be a value in the set"),
        (("stats", "cli", "orders", "--stat", "p101"), 'statistic "p101"'),
    ],
)
def test_wrong_use_is_told_in_one_sentence_with_exit_2(server, arguments, message):
    code, out, talk = command(server, *arguments)

    assert (code, out) == (2, "")
    assert message in talk.replace("\n", " ")


def test_no_server_is_exit_4():
    done = driftline("metric", "list", "--server", "http://127.0.0.1:9", timeout=60)
    assert done.returncode == 4


def test_times_of_the_api_are_bounded(client):
    late = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    with pytest.raises(InputError, match="within the past two weeks"):
        client.put_metrics("x", [{"metric_name": "m", "value": 1, "timestamp": late.isoformat()}])


NORTH = {"namespace": "odd", "metric_name": "orders"}
ODD_STATISTICS = {**NORTH, "period": 60, "statistics": ["Average"]}
TODAY = {"start_time": "2026-01-15T05:00:00Z", "end_time": "2026-01-15T07:00:00Z"}
FIRST = {"start_time": "0001-01-01T00:00:00+10:00", "end_time": "0001-01-01T00:30:00+10:00"}
LAST = {"start_time": "9999-12-31T23:00:00-10:00", "end_time": "9999-12-31T23:30:00-10:00"}


def datum(**fields):
    return {"namespace": "odd", "metric_data": [{"metric_name": "orders"} | fields]}


def queries(**fields):
    stat = {"metric": NORTH, "period": 60, "stat": "Sum"}
    return {"metric_data_queries": [{"id": "m1", "metric_stat": stat} | fields], **TODAY}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("", datum(value=10**400), "Value is invalid"),
        ("", datum(values=[1], counts=[10**400]), "Counts is invalid"),
        ("", datum(value=1, unit=[]), "Unit must be"),
        (
            "",
            datum(
                statistic_values={"sample_count": 1e-300, "sum": 1e99, "minimum": 1, "maximum": 2}
            ),
            "expected an average",
        ),
        ("/statistics", ODD_STATISTICS | TODAY | {"dimensions": [3]}, "expected an object"),
        (
            "/statistics",
            ODD_STATISTICS | TODAY | {"dimensions": [{"name": [], "value": ""}]},
            "expected each name once",
        ),
        ("/statistics", ODD_STATISTICS | FIRST, "years 1 to 9999"),
        ("/statistics", ODD_STATISTICS | LAST, "years 1 to 9999"),
        ("/data", queries(dimensions=[{"name": [], "value": ""}]), "expected each name once"),
        (
            "/data",
            queries(metric_stat={"metric": NORTH, "period": 60 * 10**30, "stat": "Sum"}),
            "multiple of 60 up to",
        ),
    ],
)
def test_what_no_float_no_calendar_and_no_encoding_holds_is_refused(server, path, body, told):
    # As text, for a client's own encoder would refuse some of these.
    kind = {"content-type": "application/json"}
    answer = server.client.post(f"/api/v1/metrics{path}", content=json.dumps(body), headers=kind)

    assert answer.status_code == 400
    assert told in server.error_of(answer)["message"]


def test_what_follows_a_gzip_is_not_lost_in_silence(server):
    one = gzip.compress(json.dumps(datum(value=1)).encode())

    answer = post(server, one + one, **{"content-encoding": "gzip"})

    assert answer.status_code == 400
    assert "one gzip and more" in server.error_of(answer)["message"]
