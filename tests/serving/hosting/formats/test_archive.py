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
from driftline.serving.hosting.formats.archive import Unpacked, unpack, with_code
from driftline.serving.hosting.formats.model_format import ModelError
from tests.serving.hosting.formats.archives import member, pack


def test_files_and_folders_are_unpacked_for_this_user_alone(tmp_path):
    info = tarfile.TarInfo("b.txt")
    info.mode, info.uid = 0o6777, 12345
    held = {"./a.txt": "one", "code": member("code", tarfile.DIRTYPE), "code/c.txt": "two",
            "b.txt": info}  # fmt: skip
    unpack(pack(tmp_path / "m.tar.gz", held), tmp_path / "to")

    files = (tmp_path / "to").rglob("*.*")
    found = {str(path.relative_to(tmp_path / "to")): path.read_text() for path in files}
    assert found == {"a.txt": "one", "b.txt": "", "code/c.txt": "two"}
    mode = (tmp_path / "to" / "b.txt").stat()
    assert (stat.S_IMODE(mode.st_mode), mode.st_uid) == (0o700, os.getuid())


def test_code_takes_the_place_of_what_was_in_an_archive(tmp_path):
    first = {"a.txt": "model", "code/old.py": "old", "code/script.py": "old"}
    model = pack(tmp_path / "m.tar.gz", first)
    code = pack(tmp_path / "sourcedir.tar.gz", {"script.py": "new", "own/part.py": "part"})
    packed = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        packed.append(with_code(model, code, tmp_path / name))

    unpack(packed[0], tmp_path / "to")
    files = {path for path in (tmp_path / "to").rglob("*") if path.is_file()}
    found = {str(path.relative_to(tmp_path / "to")): path.read_text() for path in files}
    assert found == {"a.txt": "model", "code/script.py": "new", "code/own/part.py": "part"}
    assert packed[0].name == "m.tar.gz"
    assert packed[0].read_bytes() == packed[1].read_bytes()


def test_a_file_that_is_not_taken_leaves_no_room_for_a_larger_header(tmp_path):
    old, name = tarfile.TarInfo("code/old.bin"), tarfile.TarInfo("name")
    old.size, name.size, name.type = 20 << 20, 40 << 20, tarfile.XHDTYPE
    tar = old.tobuf() + bytes(old.size) + name.tobuf() + bytes(name.size)
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(tar, 1))
    (folder := tmp_path / "to").mkdir()

    with pytest.raises(ModelError, match=r"no whole tar.gz .more than 32 MiB beside"):
        with_code(tmp_path / "m.tar.gz", pack(tmp_path / "c.tar.gz", {}), folder)


def huge(kind, size, count):
    """Return an archive whose header says more than its bytes."""
    info = tarfile.TarInfo("zeros")
    info.type, info.size = kind, size
    return gzip.compress(info.tobuf() + bytes(count), compresslevel=1)


WHOLE = gzip.compress(tarfile.TarInfo("a").tobuf() + bytes(1024))
PAX = tarfile.TarInfo.create_pax_global_header({"comment": "x"})
LESS = tarfile.TarInfo("less")
LESS.pax_headers = {"GNU.sparse.realsize": "-10000000000000"}
NO_FILES = (
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
)  # fmt: skip
HOSTILE = [
    *(({name: "x"}, "a path outside of it")
      for name in ("/out", "../out", "a/../../out", "..", "./../out")),
    *(({"link": member("link", kind, target), "link/out": "x"}, "'link', a link, device or")
      for kind in NO_FILES for target in ("../out", ".", "later.txt")),
    ({"code/a": "x", "code": "y"}, "'code', which cannot"),
    ({"code": "x", "code/a": "y"}, "'code/a', which cannot"),
    ({"code": "x", "code/": member("code/", tarfile.DIRTYPE)}, "'code', which cannot"),
    ({"a" * 300: "x"}, "'a{80}', which cannot"),
    ({"less": LESS}, "of -10000000000000 bytes"),
    ({f"{number}.txt": "" for number in range(9)}, "more than 8 members"),
    ({"zeros": bytes(8 << 20)}, "too large unpacked"),
    (b"", "no whole tar"),
    (b"no archive at all", "no whole tar"),
    (gzip.compress(b"no tar" * 200), "no whole tar"),
    (gzip.compress(os.urandom(100_000))[:50_000], "no whole tar"),
    # Before its bytes are read, which would take half a minute.
    (huge(tarfile.REGTYPE, 3 << 30, 0), "too large unpacked"),
    # A name in a header of its own (pax), which is read whole.
    (huge(tarfile.XHDTYPE, 64 << 20, 64 << 20), "more than 32 MiB beside its files"),
    (gzip.compress(tarfile.TarInfo("a").tobuf() + bytes(33 << 20), 1), "more than 32 MiB beside"),
    (gzip.compress(PAX * 3000, 1), "no whole tar.gz .maximum recursion"),
    # Damaged after all that tarfile reads of it, and where tarfile takes it for the end.
    (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "no whole tar.gz .CRC check failed"),
    (WHOLE[:-8], "no whole tar.gz .Compressed file ended"),
    (WHOLE + b"more", "no whole tar.gz .Not a gzipped file"),
    (gzip.compress(tarfile.TarInfo("a").tobuf() + b"x" * 512), "no whole tar.gz .a damaged header"),
]  # fmt: skip


@pytest.mark.parametrize(("held", "sentence"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_hostile_or_no_archive_is_refused_and_nothing_is_written_outside(
    held, sentence, tmp_path, monkeypatch
):
    monkeypatch.setattr(archives, "MEMBERS_MAX", 8)
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    file = tmp_path / "m.tar.gz"
    if is_whole := isinstance(held, bytes):
        file.write_bytes(held)
    else:
        pack(file, held)

    with pytest.raises(ModelError, match=sentence) as told:
        unpack(file, tmp_path / "to")
    assert not (tmp_path / "out").exists()
    assert not (is_whole and (tmp_path / "to" / "zeros").exists())
    assert str(tmp_path) not in str(told.value)


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
