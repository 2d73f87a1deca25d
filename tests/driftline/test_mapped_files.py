"""Pages of libraries that a process lets go of after its imports."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from driftline import mapped_files
from driftline.mapped_files import _unwritten

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of mappings")
# Two of a library (its code, and what relocation wrote to), its writable data, and memory of none.
_MAPS = """\
7f00-7f10 r-xp 00000000 fe:00 77 /lib/a library.so
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f10-7f20 r--p 00010000 fe:00 77 /lib/a library.so
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd mr mw me ac
7f20-7f30 rw-p 00020000 fe:00 77 /lib/a library.so
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac
7f30-7f40 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me ac
7f40-7f50 r--p 00020000 fe:00 77 /lib/a library.so
Anonymous:             0 kB
Swap:                  8 kB
VmFlags: rd mr mw me ac
"""


def test_only_what_nobody_has_written_to_is_let_go_of() -> None:
    assert [*_unwritten(_MAPS.splitlines())] == [(0x7F00, 0x7F10)]


@_LINUX
def test_a_process_works_on_with_less_memory_of_files() -> None:
    code = (
        "import re, pyarrow.compute as pc, numpy as np, pyarrow as pa\n"
        "from driftline.mapped_files import release_mapped_files\n"
        "def files():\n"
        "    text = open('/proc/self/status').read()\n"
        "    return int(re.search(r'RssFile:\\s+(\\d+)', text)[1])\n"
        "before = files(); release_mapped_files(); after = files()\n"
        "assert pc.sum(pa.array(np.arange(1000.0))).as_py() == 499500\n"
        "print(before, after)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 2


def test_of_packages_only_libraries_below_their_folder_are_let_go_of() -> None:
    assert [*_unwritten(_MAPS.splitlines(), "/lib/")] == [(0x7F00, 0x7F10)]
    assert [*_unwritten(_MAPS.splitlines(), "/usr/lib/")] == []
    assert [*_unwritten(_MAPS.replace(".so", ".npy").splitlines(), "/lib/")] == []


class Looks(threading.Event):
    """Is set after some looks; before each, the work of that time is done at once."""

    def __init__(self, *work_s: float) -> None:
        super().__init__()
        self.used_s, self._work_s = 0.0, list(work_s)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._work_s:
            return True
        self.used_s += self._work_s.pop(0)
        return False


@pytest.mark.parametrize(
    ("work_s", "released", "trimmed"),
    [
        ([4.0, 0.9], 0, 0),  # At work all the time.
        ([4.0, 3.0, 3.0, 3.0], 0, 2),
        ([4.0, 0.01], 1, 1),
        ([4.0, 0.01, 0.01, 0.01], 1, 1),  # Nothing came back meanwhile.
        ([4.0, 0.01, 0.2], 2, 2),
    ],
)
def test_pages_are_let_go_of_once_after_each_work(
    work_s: list[float], released: int, trimmed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []
    trims: list[None] = []
    looks = Looks(*work_s)
    monkeypatch.setattr(mapped_files, "_release", folders.append)
    monkeypatch.setattr(mapped_files, "_return_freed_memory", lambda: trims.append(None))
    monkeypatch.setattr(mapped_files, "time", SimpleNamespace(process_time=lambda: looks.used_s))

    mapped_files.release_at_rest(looks)

    assert (len(folders), len(trims)) == (released, trimmed)


@pytest.mark.parametrize(("work_s", "released"), [(0.1, 0), (0.01, 1)])  # Of 5 s: 2 and 0.2%.
def test_a_process_says_how_little_work_is_rest(
    work_s: float, released: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []
    looks = Looks(4.0, work_s)
    monkeypatch.setattr(mapped_files, "_release", folders.append)
    monkeypatch.setattr(mapped_files, "_return_freed_memory", lambda: None)
    monkeypatch.setattr(mapped_files, "time", SimpleNamespace(process_time=lambda: looks.used_s))

    mapped_files.release_at_rest(looks, 0.01)

    assert len(folders) == released


@_LINUX
def test_what_is_free_between_objects_that_stay_goes_back_to_the_system() -> None:
    code = (
        "import re\n"
        "from driftline.mapped_files import _return_freed_memory\n"
        "def memory():\n"
        "    return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "blocks = [bytearray(1000) for _ in range(50_000)]; kept = blocks[::100]; del blocks\n"
        "before = memory(); _return_freed_memory(); print(before, memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 2


@_LINUX
def test_a_process_with_threads_works_on_without_the_pages_of_packages() -> None:
    code = (
        "import re, threading, pyarrow.compute as pc, numpy as np, pyarrow as pa\n"
        "from driftline import mapped_files\n"
        "mapped_files._LOOK_S, mapped_files._WORK_S = 0.01, 0\n"
        "def files():\n"
        "    text = open('/proc/self/status').read()\n"
        "    return int(re.search(r'RssFile:\\s+(\\d+)', text)[1])\n"
        "done = threading.Event(); rows = pa.array(np.arange(1000.0)); sums = set()\n"
        "def work():\n"
        "    while not done.is_set(): sums.add(pc.sum(rows).as_py())\n"
        "thread = threading.Thread(target=work); thread.start()\n"
        "before = files()\n"
        "rest = threading.Thread(target=mapped_files.release_at_rest, args=(done, 10))\n"
        "rest.start()\n"
        "while (after := files()) > before * 0.7: pass\n"
        "done.set(); thread.join(); rest.join(); assert sums == {499500}\n"
        "print(before, after)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = map(int, done.stdout.split())
    assert after <= before * 0.7
