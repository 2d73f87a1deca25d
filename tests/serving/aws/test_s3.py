"""S3 as boto3 asks for it: buckets that are folders, and nothing outside of them."""

import asyncio
import base64
import hashlib
import http.client
import os
import zlib
from contextlib import suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from pyarrow import fs

from driftline.access.principal import CURRENT, Principal
from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.serving.aws.s3 import S3
from driftline.serving.context import ServerContext
from driftline.serving.operations.authorization import AuditLog
from driftline.serving.resources.reach import Reach
from driftline.storage import use_options
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.aws.conftest import serve_s3
from tests.serving.conftest import NOW, settings_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Serve S3 alone; return its folder of buckets, and its port."""
    folder = tmp_path_factory.mktemp("s3")
    settings = settings_of(folder, hosts=["driftline.corp.example", "corp.example"])
    use_options({}, settings.buckets_dir)
    with serve_s3(settings) as port:
        yield settings.buckets_dir, port
    use_options({})


@pytest.fixture(scope="module")
def s3(place):
    return client_of(place[1])


@pytest.fixture(scope="module", autouse=True)
def bucket(s3):
    s3.create_bucket(Bucket="mybucket")


def client_of(port, host="127.0.0.1", **config):
    return boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test", config=Config(**config),
    )  # fmt: skip


def raw(port, method, path, body=b"", **headers):
    """Send a request as it is written here, and return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def code_of(caught):
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_what_is_put_is_a_file_that_others_read(s3, place):
    put = s3.put_object(Bucket="mybucket", Key="in/day 1/ä.csv", Body=b"a,b\n1,2\n")

    found = s3.get_object(Bucket="mybucket", Key="in/day 1/ä.csv")
    head = s3.head_object(Bucket="mybucket", Key="in/day 1/ä.csv")

    assert found["Body"].read() == b"a,b\n1,2\n"
    assert found["ContentType"] == "text/csv"
    assert put["ETag"] == found["ETag"] == head["ETag"]
    assert head["ContentLength"] == 8
    assert (place[0] / "mybucket/in/day 1/ä.csv").read_bytes() == b"a,b\n1,2\n"
    assert locate("s3://mybucket/in/day 1/ä.csv").read() == b"a,b\n1,2\n"
    Reach(folders=("/nowhere",)).check_data("s3://mybucket/in/day 1/ä.csv")


def test_ranges_are_those_of_http(s3, place):
    s3.put_object(Bucket="mybucket", Key="range", Body=b"0123456789")

    def get(text):
        answer = s3.get_object(Bucket="mybucket", Key="range", Range=text)
        return answer["Body"].read(), answer.get("ContentRange")

    assert get("bytes=2-4") == (b"234", "bytes 2-4/10")
    assert get("bytes=7-") == (b"789", "bytes 7-9/10")
    assert get("bytes=-3") == (b"789", "bytes 7-9/10")
    assert get("bytes=0-99") == (b"0123456789", "bytes 0-9/10")
    assert raw(place[1], "GET", "/mybucket/range", range="bytes=0-" + "9" * 5000)[0] == 200
    with pytest.raises(ClientError) as caught:
        get("bytes=10-")
    assert code_of(caught) == ("InvalidRange", 416)


def test_lists_are_in_the_order_of_keys_page_by_page_and_by_delimiter(s3):
    keys = ["l/a.b", "l/a/x", "l/a/y/z", "l/b", "l/ö/1", "m"]
    for key in keys:
        s3.put_object(Bucket="mybucket", Key=key, Body=b"")

    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="mybucket", Prefix="l/", PaginationConfig={"PageSize": 2}
    )
    found = [one["Key"] for page in pages for one in page.get("Contents", ())]
    top = s3.list_objects_v2(Bucket="mybucket", Prefix="l/", Delimiter="/")
    paged = s3.get_paginator("list_objects_v2").paginate(
        Bucket="mybucket", Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    later = s3.list_objects_v2(Bucket="mybucket", Prefix="l/", StartAfter="l/a/x")

    assert found == ["l/a.b", "l/a/x", "l/a/y/z", "l/b", "l/ö/1"]
    assert [one["Key"] for one in top["Contents"]] == ["l/a.b", "l/b"]
    assert [one["Prefix"] for one in top["CommonPrefixes"]] == ["l/a/", "l/ö/"]
    assert [one["Prefix"] for page in paged for one in page.get("CommonPrefixes", ())] == [
        "l/a/", "l/ö/"
    ]  # fmt: skip
    assert [one["Key"] for one in later["Contents"]] == ["l/a/y/z", "l/b", "l/ö/1"]
    older = s3.get_paginator("list_objects").paginate(  # As boto3's resources list.
        Bucket="mybucket", Prefix="l/", PaginationConfig={"PageSize": 2}
    )
    assert [one["Key"] for page in older for one in page.get("Contents", ())] == found
    assert s3.list_objects_v2(Bucket="mybucket", Prefix="../")["KeyCount"] == 0


def test_an_empty_bucket_is_deleted(s3, place):
    s3.create_bucket(Bucket="short-lived")
    s3.put_object(Bucket="short-lived", Key="a/b", Body=b"1")

    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="short-lived")
    s3.delete_object(Bucket="short-lived", Key="a/b")
    s3.delete_bucket(Bucket="short-lived")

    assert not (place[0] / "short-lived").exists()
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.delete_bucket(Bucket="short-lived")


def test_what_is_not_there_is_refused_with_the_codes_of_s3(s3):
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="mybucket", Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="nobucket")
    with pytest.raises(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="mybucket")
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket="mybucket", Key="none")
    assert code_of(caught) == ("404", 404)
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket="nobucket")
    assert code_of(caught) == ("404", 404)
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_versioning(Bucket="mybucket", VersioningConfiguration={"Status": "Enabled"})
    assert code_of(caught) == ("NotImplemented", 501)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["mybucket"]


def test_files_are_uploaded_in_parts_and_deleted(s3, place, tmp_path):
    content = bytes(range(256)) * (9 << 12)  # More than boto3 sends at once.
    (tmp_path / "big").write_bytes(content)

    s3.upload_file(str(tmp_path / "big"), "mybucket", "big/file")
    s3.download_file("mybucket", "big/file", str(tmp_path / "back"))
    begun = s3.create_multipart_upload(Bucket="mybucket", Key="big/other")
    about = {"Bucket": "mybucket", "Key": "big/other", "UploadId": begun["UploadId"]}
    s3.upload_part(**about, PartNumber=1, Body=b"half")
    with pytest.raises(ClientError) as caught:
        parts = [{"PartNumber": 1, "ETag": '"another"'}]
        s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
    s3.abort_multipart_upload(**about)

    assert (tmp_path / "back").read_bytes() == content
    assert code_of(caught) == ("InvalidPart", 400)
    many = f"?partNumber={'9' * 5000}&uploadId={'0' * 32}"
    assert raw(place[1], "PUT", f"/mybucket/big/other{many}", b"x")[0] == 404
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(**about, PartNumber=2, Body=b"half")
    keys = [{"Key": one} for one in ("big/file", "no", "a//b")]
    answer = s3.delete_objects(Bucket="mybucket", Delete={"Objects": keys})
    s3.delete_object(Bucket="mybucket", Key="big/file")
    assert [one["Key"] for one in answer["Deleted"]] == ["big/file", "no"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("a//b", "InvalidArgument")]
    assert s3.list_objects_v2(Bucket="mybucket", Prefix="big/")["KeyCount"] == 0
    assert list((place[0] / ".uploads").glob("*/parts")) == []


def test_an_object_is_put_once_where_that_is_asked_for(s3):
    s3.put_object(Bucket="mybucket", Key="once", Body=b"1", IfNoneMatch="*")

    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="mybucket", Key="once", Body=b"2", IfNoneMatch="*")

    assert code_of(caught) == ("PreconditionFailed", 412)
    for condition in ({"IfMatch": '"other"'}, {"IfNoneMatch": '"other"'}):
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket="mybucket", Key="once", Body=b"2", **condition)
        assert code_of(caught) == ("NotImplemented", 501)
    with pytest.raises(ClientError) as caught:
        s3.create_multipart_upload(Bucket="mybucket", Key="once", Metadata={"a": "b"})
    assert code_of(caught) == ("NotImplemented", 501)
    assert s3.get_object(Bucket="mybucket", Key="once")["Body"].read() == b"1"


def test_a_bucket_may_be_in_the_host(place, s3):
    s3.put_object(Bucket="mybucket", Key="hosted", Body=b"here")
    status, _, body = raw(place[1], "GET", "/hosted", host=f"mybucket.localhost:{place[1]}")

    assert (status, body) == (200, b"here")


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("driftline.corp.example", "/mybucket/hosts"), ("corp.example", "/mybucket/hosts"),
        ("mybucket.driftline.corp.example", "/hosts"), ("mybucket.corp.example", "/hosts"),
    ],
)  # fmt: skip
def test_an_own_name_is_no_bucket_though_another_is_its_end(place, host, path):
    (place[0] / "mybucket/hosts").write_bytes(b"1")

    assert raw(place[1], "GET", path, host=host)[0] == 200


def test_a_browser_runs_no_object_as_a_page_of_the_server(place):
    (place[0] / "mybucket/page.html").write_text("<script>alert(1)</script>")
    headers = {
        key.lower(): value for key, value in raw(place[1], "GET", "/mybucket/page.html")[1].items()
    }

    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_list_follows_no_link(place, s3):
    folder = place[0] / "mybucket" / "links"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "key").write_bytes(b"1")
    outside = place[0].parent / "beside"
    outside.mkdir()
    (outside / "name").write_bytes(b"1")
    (folder / "in" / "round").symlink_to(folder)
    (folder / "out").symlink_to(outside)

    def listed(prefix):
        found = s3.list_objects_v2(Bucket="mybucket", Prefix=prefix).get("Contents", ())
        return [one["Key"] for one in found]

    assert listed("links/") == ["links/in/key"]
    assert listed("links/out/") == []
    assert listed("links/in/round/in/") == []


def test_an_upload_is_one_of_the_key_that_it_was_begun_for(s3):
    begun = s3.create_multipart_upload(Bucket="mybucket", Key="parts/of/one")
    about = {"Bucket": "mybucket", "Key": "parts/of/one", "UploadId": begun["UploadId"]}
    other = {**about, "Key": "parts/of/another"}
    part = s3.upload_part(**about, PartNumber=1, Body=b"1")
    whole = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}

    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(**other, PartNumber=1, Body=b"2")
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.complete_multipart_upload(**other, MultipartUpload=whole)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.abort_multipart_upload(**other)

    with pytest.raises(ClientError, match="only of each part"):
        s3.complete_multipart_upload(
            **about, MultipartUpload=whole, ChecksumCRC64NVME="AAAAAAAAAAA="
        )

    done = s3.complete_multipart_upload(**about, MultipartUpload=whole)
    assert done["ETag"] == s3.head_object(Bucket="mybucket", Key="parts/of/one")["ETag"]
    s3.put_object(Bucket="mybucket", Key="parts/of/one", Body=b"later")
    # A client asks again whose first answer was lost.
    assert s3.complete_multipart_upload(**about, MultipartUpload=whole)["ETag"] == done["ETag"]
    assert s3.get_object(Bucket="mybucket", Key="parts/of/one")["Body"].read() == b"later"
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(**about, PartNumber=2, Body=b"2")


def test_an_upload_is_forgotten_a_week_after_its_last_part(s3, place):
    def begin():
        begun = s3.create_multipart_upload(Bucket="mybucket", Key="weeks")
        about = {"Bucket": "mybucket", "Key": "weeks", "UploadId": begun["UploadId"]}
        s3.upload_part(**about, PartNumber=1, Body=b"1")
        return about

    def make_old(files):
        for file in files:
            os.utime(file, (0, 0))

    uploads = place[0] / ".uploads"
    begin()
    make_old([file for file in uploads.rglob("*") if file.is_file()])
    running = begin()
    make_old(uploads.glob("*/etag"))
    begin()

    assert len(list(uploads.glob("*/parts/1"))) == 2
    s3.upload_part(**running, PartNumber=2, Body=b"2")


def test_an_object_has_the_etag_of_its_content_though_it_is_replaced_now(s3, place, monkeypatch):
    file = place[0] / "mybucket" / "replaced"
    s3.put_object(Bucket="mybucket", Key="replaced", Body=b"old")
    (file.parent / "next").write_bytes(b"new")

    class Replacing(fs.LocalFileSystem):
        def get_file_info(self, paths):
            infos = super().get_file_info(paths)
            with suppress(FileNotFoundError):
                (file.parent / "next").replace(file)
            return infos

    monkeypatch.setattr(fs, "LocalFileSystem", Replacing)
    found = s3.get_object(Bucket="mybucket", Key="replaced")

    assert found["Body"].read() == b"new"
    assert found["ETag"] == s3.head_object(Bucket="mybucket", Key="replaced")["ETag"]


def test_a_list_of_no_keys_is_empty(s3):
    s3.put_object(Bucket="mybucket", Key="zero", Body=b"")

    found = s3.list_objects_v2(Bucket="mybucket", Prefix="zero", MaxKeys=0)

    assert (found["KeyCount"], found["IsTruncated"]) == (0, False)


def framed(*parts, trailer=""):
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return b"".join([*chunks, b"0\r\n", trailer.encode(), b"\r\n"])


def test_chunks_are_put_together_and_held_against_their_trailer(place):
    """As botocore sends over TLS (docs of S3: "Signature calculations: trailing headers")."""
    crc = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()
    headers = {
        "content_encoding": "aws-chunked", "x_amz_trailer": "x-amz-checksum-crc32",
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x_amz_decoded_content_length": "11",
    }  # fmt: skip
    good = framed(b"hello ", b"world", trailer=f"x-amz-checksum-crc32:{crc}\r\n")

    assert raw(place[1], "PUT", "/mybucket/chunked", good, **headers)[0] == 200
    assert (place[0] / "mybucket/chunked").read_bytes() == b"hello world"
    for wrong, code in (
        (good.replace(b"world", b"w0rld"), b"BadDigest"),
        (good[:-30], b"IncompleteBody"),
        (good[:12], b"IncompleteBody"),
        (b"zz\r\n", b"IncompleteBody"),
        (b"f" * 5000, b"InvalidRequest"),
        (framed(b"hello"), b"IncompleteBody"),
    ):
        status, _, body = raw(place[1], "PUT", "/mybucket/wrong", wrong, **headers)
        assert status == 400, wrong
        assert code in body, (wrong, body)
    assert not (place[0] / "mybucket/wrong").exists()


def test_a_checksum_is_verified_or_refused(place):
    """CRC-64 is AWS CLI 2's own choice; over plain HTTP it signs the body's SHA-256 as well."""
    digest, crc = hashlib.sha256(b"this").hexdigest(), base64.b64encode(bytes(8)).decode()
    chunked = {
        "content_encoding": "aws-chunked", "x_amz_trailer": "x-amz-checksum-crc64nvme",
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }  # fmt: skip
    refused = {
        "header": raw(place[1], "PUT", "/mybucket/crc", b"this", x_amz_checksum_crc32c=crc[:8]),
        "trailer": raw(
            place[1], "PUT", "/mybucket/crc",
            framed(b"this", trailer=f"x-amz-checksum-crc64nvme:{crc}\r\n"), **chunked,
        ),
    }  # fmt: skip

    for status, _, body in refused.values():
        assert status == 501
        assert b"request_checksum_calculation = when_required" in body
    assert not (place[0] / "mybucket/crc").exists()
    signed = {"x_amz_checksum_crc64nvme": crc, "x_amz_content_sha256": digest}
    assert raw(place[1], "PUT", "/mybucket/crc", b"this", **signed)[0] == 200
    assert raw(place[1], "PUT", "/mybucket/crc", b"that", **signed)[0] == 400
    assert (place[0] / "mybucket/crc").read_bytes() == b"this"


def test_a_body_must_be_the_one_that_was_signed(place):
    digest = hashlib.sha256(b"other").hexdigest()

    status, _, body = raw(place[1], "PUT", "/mybucket/x", b"this", x_amz_content_sha256=digest)

    assert status == 400
    assert b"XAmzContentSHA256Mismatch" in body
    assert not (place[0] / "mybucket/x").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/mybucket/../other/file", "/mybucket/%2e%2e/file", "/mybucket/a/%2E%2E/%2E%2E/x",
        "/../x", "/.uploads/x", "/mybucket//etc/passwd", "/mybucket/a%00b", "/mybucket/a//b",
        "/mybucket/a%01b", "/mybucket/./b", "/mybucket/link/file", "/mybucket/" + "k" * 300,
        "/mybucket/%ff", "/MyBucket/x", "/a..b/x", "/mybucket/..%2f..%2fx", "/mybucket/.%2e/x",
    ],
)  # fmt: skip
def test_no_key_leaves_its_bucket(place, path):
    folder = place[0]
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("secret")
    link = folder / "mybucket" / "link"
    if not link.is_symlink():
        link.symlink_to(outside)
    before = sorted(folder.parent.rglob("*"))

    for method in ("GET", "HEAD", "PUT", "DELETE"):
        status, _, body = raw(place[1], method, path, b"x" if method == "PUT" else b"")
        assert status in (400, 404), (method, status, body)
        assert b"secret" not in body
        assert str(folder).encode() not in body

    assert sorted(folder.parent.rglob("*")) == before
    link.unlink()
    for uri in ("s3://mybucket/../x", "s3://mybucket/a/../../x"):
        with pytest.raises(InputError):
            locate(uri)


def test_a_name_is_no_file_and_folder_at_once(s3):
    s3.put_object(Bucket="mybucket", Key="both", Body=b"1")

    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="mybucket", Key="both/below", Body=b"2")

    assert code_of(caught) == ("InvalidArgument", 400)
    assert s3.list_objects_v2(Bucket="mybucket", Prefix="both/")["KeyCount"] == 0
    s3.delete_object(Bucket="mybucket", Key="both/")
    with pytest.raises(ClientError, match="Not Found"):
        s3.head_object(Bucket="mybucket", Key="both/")
    assert s3.get_object(Bucket="mybucket", Key="both")["Body"].read() == b"1"
    s3.put_object(Bucket="mybucket", Key="folder/of/one", Body=b"1")
    s3.delete_object(Bucket="mybucket", Key="folder/of/one")
    s3.put_object(Bucket="mybucket", Key="folder", Body=b"2")


@pytest.mark.parametrize(
    ("roles", "endpoints", "allowed"),
    [
        ({"viewer"}, None, {"list", "head"}),
        ({"analyst"}, None, {"list", "head", "get"}),
        ({"operator"}, None, {"list", "head"}),
        ({"admin"}, None, {"list", "head", "get", "put", "delete"}),
        ({"admin"}, frozenset({"flights"}), set()),
        ({"invoke"}, None, set()),
    ],
)
def test_who_may_do_what(place, roles, endpoints, allowed, tmp_path):
    settings = settings_of(tmp_path, place[0].parent)
    context = ServerContext(
        settings=settings, engine=open_url(new_sqlite(tmp_path)), now=lambda: NOW
    )
    s3 = S3(context, AuditLog(context))
    (place[0] / "mybucket/roles").write_bytes(b"1")
    asked = {
        "list": ("GET", "/mybucket", b"list-type=2"), "head": ("HEAD", "/mybucket/roles", b""),
        "get": ("GET", "/mybucket/roles", b""), "put": ("PUT", "/mybucket/roles", b""),
        "delete": ("DELETE", "/mybucket/roles", b""),
    }  # fmt: skip
    token = CURRENT.set(Principal("somebody", frozenset(roles), endpoints))

    statuses = {}
    for name, (method, path, query) in asked.items():
        sent = []
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query,
            "asgi": {"spec_version": "2.4"},
        }  # fmt: skip

        async def receive():
            return {"type": "http.request", "body": b"1"}

        async def send(message, sent=sent):
            sent.append(message)

        asyncio.run(s3({**scope, "headers": []}, receive, send))
        statuses[name] = sent[0]["status"]

    assert {name for name, status in statuses.items() if status < 300} == allowed
    assert {status for name, status in statuses.items() if name not in allowed} <= {403}
    CURRENT.reset(token)
    context.engine.dispose()
