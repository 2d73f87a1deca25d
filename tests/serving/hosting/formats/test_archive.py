"""Hostile and damaged archives: each refused in one sentence, nothing outside the folder."""

import gzip
import os
import stat
import subprocess
import sys
import tarfile
import tempfile

import pytest

from driftline.serving.hosting.formats import archive as archives
from driftline.serving.hosting.formats.archive import Unpacked, unpack
from driftline.serving.hosting.formats.model_format import ModelError
from tests.serving.hosting.formats.archives import member, pack


def refused(path, folder, sentence):
    with pytest.raises(ModelError, match=sentence):
        unpack(path, folder / "to")
    assert not (folder / "out").exists()


def test_files_and_folders_are_unpacked(tmp_path):
    held = {
        "./a.txt": "one",
        "code": member("code", tarfile.DIRTYPE),
        "code/inference.py": "two",
        "b.txt": member("b.txt", tarfile.SYMTYPE, "code/inference.py"),
        "code/c.txt": member("code/c.txt", tarfile.LNKTYPE, "a.txt"),
    }
    unpack(pack(tmp_path / "m.tar.gz", held), tmp_path / "to")

    found = {
        str(path.relative_to(tmp_path / "to")): path.read_text()
        for path in (tmp_path / "to").rglob("*.*")
    }
    assert found == {
        "a.txt": "one", "code/inference.py": "two", "b.txt": "two", "code/c.txt": "one",
    }  # fmt: skip
    assert not any(path.is_symlink() for path in (tmp_path / "to").rglob("*"))


@pytest.mark.parametrize(
    "name", ["/out", "../out", "a/../../out", "..", "./../out", "a/b/../../../out"]
)
def test_a_path_that_leads_outside_is_refused(name, tmp_path):
    refused(pack(tmp_path / "m.tar.gz", {name: "x"}), tmp_path, "expected paths inside")


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({"code/a": "x", "code": "y"}, r"'code', which cannot be unpacked .* \(Is a directory\)"),
        ({"code": "x", "code/a": "y"}, r"'code/a', which cannot be unpacked .* \(File exists\)"),
        ({"code": "x", "code/": member("code/", tarfile.DIRTYPE)}, r"'code', .* \(File exists\)"),
        ({"a" * 300: "x"}, r"'a{80}', which cannot be unpacked .* \(File name too long\)"),
    ],
)
def test_a_member_that_cannot_be_written_is_told_without_a_path_of_the_server(
    held, sentence, tmp_path
):
    with pytest.raises(ModelError, match=f"m.tar.gz holds {sentence}$") as told:
        unpack(pack(tmp_path / "m.tar.gz", held), tmp_path / "to")
    assert str(tmp_path) not in str(told.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../out", "/etc/passwd", "a/../../out", ".", "..", "later.txt"])
def test_a_link_is_refused_unless_to_a_file_before_it(kind, target, tmp_path):
    held = {"link": member("link", kind, target), "link/out": "x", "later.txt": "y"}

    refused(
        pack(tmp_path / "m.tar.gz", held), tmp_path, "expected links to files that stand before"
    )


def test_links_through_folders_lead_nowhere(tmp_path):
    held = {
        "a/x": member("a/x", tarfile.SYMTYPE, ".."),
        "z": member("z", tarfile.SYMTYPE, "a/x/../out"),
        "z/out": "x",
    }

    refused(pack(tmp_path / "m.tar.gz", held), tmp_path, "a link to '..'")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(kind, tmp_path):
    held = {"d": member("d", kind)}

    refused(pack(tmp_path / "m.tar.gz", held), tmp_path, "'d', a device or pipe")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS_MAX", 3)
    held = {f"{number}.txt": "" for number in range(4)}

    refused(pack(tmp_path / "m.tar.gz", held), tmp_path, "more than 3 members")


def test_a_bomb_is_refused_by_what_it_unpacks_to(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    bomb = pack(tmp_path / "m.tar.gz", {"zeros": bytes(8 << 20)})

    refused(bomb, tmp_path, "too large unpacked; expected at most 10 times")


def test_a_bomb_is_refused_before_anything_of_it_is_written(tmp_path):
    header = tarfile.TarInfo("zeros")
    header.size = 3 << 30
    bomb = tmp_path / "m.tar.gz"
    bomb.write_bytes(gzip.compress(header.tobuf()))  # Its bytes would take half a minute.

    refused(bomb, tmp_path, "too large unpacked; expected at most 10 times")
    assert not (tmp_path / "to" / "zeros").exists()


def test_a_member_of_less_than_nothing_allows_no_more_of_others(tmp_path):
    path = tmp_path / "m.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as members:
        less = tarfile.TarInfo("less")
        less.pax_headers = {"GNU.sparse.realsize": "-10000000000000"}
        members.addfile(less)

    refused(path, tmp_path, "holds 'less' of -10000000000000 bytes")


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    # A name in a header of its own (pax) of 64 MiB, which zip to a few KiB.
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 64 << 20
    with gzip.open(tmp_path / "m.tar.gz", "wb", compresslevel=1) as out:
        out.write(info.tobuf())
        for _ in range(64):
            out.write(bytes(1 << 20))

    refused(tmp_path / "m.tar.gz", tmp_path, "header of more than 16 MiB")


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all", gzip.compress(b"no tar" * 200)],
    ids=["empty", "text", "gzip of no tar"],
)
def test_what_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "m.tar.gz").write_bytes(content)

    refused(tmp_path / "m.tar.gz", tmp_path, r"m\.tar\.gz is no whole tar\.gz")


def test_half_an_archive_is_refused(tmp_path):
    whole = pack(tmp_path / "m.tar.gz", {"a": os.urandom(100_000)}).read_bytes()
    (tmp_path / "m.tar.gz").write_bytes(whole[:50_000])

    refused(tmp_path / "m.tar.gz", tmp_path, "is no whole tar.gz")


def test_members_neither_keep_their_owner_nor_open_themselves_to_others(tmp_path):
    info = tarfile.TarInfo("a")
    info.mode, info.uid = 0o6777, 12345
    unpack(pack(tmp_path / "m.tar.gz", {"a": info}), tmp_path / "to")

    found = (tmp_path / "to" / "a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.getuid())


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Have temporary files in a folder of the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_an_archive_is_unpacked_once_and_removed_when_nobody_uses_it(tmp_path, temporary):
    one = pack(tmp_path / "one.tar.gz", {"a": "1"})
    two = pack(tmp_path / "two.tar.gz", {"a": "2"})
    code = (
        "import sys; from pathlib import Path; "
        "from driftline.serving.hosting.formats.archive import Unpacked; "
        "print(Unpacked().folder(Path(sys.argv[1])))"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", code]
    run = {"env": environment, "capture_output": True, "text": True, "check": True}

    ended = subprocess.run([*command, str(one)], **run).stdout.strip()
    first = Unpacked()
    folder = first.folder(one)
    inode = folder.stat().st_ino
    subprocess.run([*command, str(one)], **run)  # Two at once, and it does not wait.
    subprocess.run([*command, str(two)], **run)

    assert ended == str(folder)
    # In use here, so that the other process left it; the other's own goes with the next one.
    assert folder.stat().st_ino == inode
    Unpacked().folder(pack(tmp_path / "three.tar.gz", {"a": "3"}))
    folders = [path for path in folder.parent.iterdir() if path.is_dir()]
    assert sorted((path / "a").read_text() for path in folders) == ["1", "3"]


def test_a_folder_that_others_may_write_is_refused(tmp_path, temporary):
    (temporary / f"driftline-models-{os.getuid()}").mkdir()
    (temporary / f"driftline-models-{os.getuid()}").chmod(0o777)

    with pytest.raises(ModelError, match="is open to others; remove it"):
        Unpacked().folder(pack(tmp_path / "m.tar.gz", {"a": "1"}))
