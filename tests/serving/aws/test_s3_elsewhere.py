"""S3 where the storage is a bucket: of what the server's keys open, only what settings name."""

from contextlib import ExitStack

import pytest
from pyarrow import fs

from driftline.app.reach import reach as reach_of
from driftline.errors import ForbiddenError, InputError
from driftline.formats.location import Location
from driftline.serving.aws.s3_buckets import Buckets, keys_of
from driftline.serving.context import ServerContext
from driftline.storage import use_options
from tests.serving.aws.conftest import client_of, serve_s3
from tests.serving.conftest import NOW, settings_of


@pytest.fixture
def remote(tmp_path):
    """Return what makes buckets of an S3 elsewhere, by data_dirs."""
    use_options({"endpoint_url": "https://127.0.0.1:1", "region": "us-east-1"})

    def made(*folders, output=()):
        settings = settings_of(
            tmp_path, "s3://shop/driftline", data_dirs=list(folders), output_dirs=list(output)
        )
        return Buckets(
            ServerContext(settings=settings, engine=None, now=lambda: NOW, reach=reach_of(settings))
        )

    yield made
    use_options({})


def test_of_an_s3_elsewhere_only_the_data_folders_are_served(remote):
    buckets = remote("s3://shop/data", output=["s3://shop/out"])

    buckets.require("shop")
    buckets.place("shop", "data/a.csv")
    buckets.place("shop", "out/a.csv", is_written=True)
    buckets.keys("shop", "data/", "")
    for refused in (
        lambda: buckets.require("others"),
        lambda: buckets.require("sho"),
        lambda: buckets.keys("shop", "", ""),
        lambda: buckets.keys("shop", "data", ""),
        lambda: buckets.keys("shop", "data/../", ""),
        lambda: buckets.keys("shop", "driftline/", ""),
        lambda: buckets.place("shop", "out/a.csv"),
        lambda: buckets.place("shop", "driftline/capture/a"),
        lambda: buckets.place("shop", "driftline/outputs/a", is_written=True),
        lambda: buckets.place("shop", "data/a.csv", is_written=True),
    ):
        with pytest.raises(InputError):
            refused()


def test_without_data_folders_nothing_of_an_s3_elsewhere_is_served(remote):
    buckets = remote(output=["s3://shop/out"])
    for refused in (
        lambda: buckets.require("shop"),
        lambda: buckets.place("shop", "data/a.csv"),
        lambda: buckets.place("shop", "out/a.csv", is_written=True),
        lambda: buckets.keys("shop", "data/", ""),
    ):
        with pytest.raises(ForbiddenError):
            refused()


def test_the_storage_root_within_a_data_folder_is_not_served(remote):
    buckets = remote("s3://shop")
    system = fs._MockFileSystem()
    for path in ("shop/driftline/capture/rows", "shop/a"):
        system.create_dir(path.rpartition("/")[0])
        system.open_output_stream(path).close()
    found = keys_of(Location(system, "shop", "s3://shop"), "", "", "", "shop/driftline")

    assert [key for key, _ in found] == ["a"]
    buckets.place("shop", "a")
    buckets.keys("shop", "", "")
    for refused in (
        lambda: buckets.place("shop", "driftline/channels.key"),
        lambda: buckets.keys("shop", "driftline/capture/", ""),
    ):
        with pytest.raises(ForbiddenError, match="installation itself"):
            refused()


@pytest.mark.s3
def test_an_upload_in_parts_goes_through_any_server(s3_root, s3_server, tmp_path):
    bucket, out = s3_root.split("/")[2], f"{s3_root.removesuffix('store')}out"
    halves = [b"a" * (5 << 20), b"b"]

    def serve(name):
        folder = tmp_path / name
        settings = settings_of(folder, s3_root, data_dirs=[out], output_dirs=[out])
        return client_of(f"http://127.0.0.1:{servers.enter_context(serve_s3(settings))}", "s3")

    with ExitStack() as servers:
        first, second = serve("first"), serve("second")
        begun = first.create_multipart_upload(Bucket=bucket, Key="out/model")
        about = {"Bucket": bucket, "Key": "out/model", "UploadId": begun["UploadId"]}
        parts = [
            {"PartNumber": number, "ETag": server.upload_part(
                **about, PartNumber=number, Body=half)["ETag"]}
            for number, (server, half) in enumerate(zip((second, first), halves, strict=True), 1)
        ]  # fmt: skip
        for server in (second, first):  # Where the first answer was lost.
            server.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})
        found = first.get_object(Bucket=bucket, Key="out/model")["Body"].read()
        dropped = second.create_multipart_upload(Bucket=bucket, Key="out/model")["UploadId"]
        about["UploadId"] = dropped
        first.upload_part(**about, PartNumber=1, Body=b"a")
        first.abort_multipart_upload(**about)
        with pytest.raises(second.exceptions.NoSuchUpload):
            second.upload_part(**about, PartNumber=1, Body=b"a")

    root = fs.FileSelector(s3_root.removeprefix("s3://"), recursive=True)
    left = [info.base_name for info in s3_server.filesystem().get_file_info(root) if info.is_file]
    assert found == b"".join(halves)
    assert left == ["etag"]
