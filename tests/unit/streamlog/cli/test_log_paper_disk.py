"""The disk that keeps changes in memory: as a real one to whoever uses it, and nothing is written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from replication.ports import Disk
from streamlog.cli.log.paper_disk import PAGE_BYTES, PaperDisk


@pytest.mark.parametrize("seed", range(10))
async def test_a_file_is_what_was_written(seed: int, tmp_path: Path) -> None:
    """Random writes, cuts and extensions of a file of some pages, beside a model in memory; a second
    handle sees the same, and the real file stays as it was."""
    rng = random.Random(seed)
    model = bytearray(rng.randbytes(rng.randint(0, 3 * PAGE_BYTES)))
    (tmp_path / "file").write_bytes(model)
    before = bytes(model)
    disk: Disk = PaperDisk(tmp_path)
    file, other = await disk.open("file"), await disk.open("file", writable=False)
    for _ in range(40):
        at = rng.randint(0, len(model) + 100)
        match rng.choice(["write", "truncate", "read"]):
            case "write":
                data = rng.randbytes(rng.choice([1, 100, PAGE_BYTES, 2 * PAGE_BYTES]))
                await file.write(at, [data[:7], data[7:]])
                model.extend(bytes(max(0, at - len(model))))
                model[at : at + len(data)] = data
            case "truncate":
                await file.truncate(at)
                del model[at:]
                model.extend(bytes(at - len(model)))
            case _:
                length = rng.randint(0, 2 * PAGE_BYTES)
                assert await other.read(at, length) == model[at : at + length]
        assert await other.size() == len(model)
    assert await other.read(0, len(model)) == model
    assert (tmp_path / "file").read_bytes() == before


async def test_names_change_on_paper_only(tmp_path: Path) -> None:
    """Files made, renamed and removed, and directories made, show in the lists; the real directory
    stays as it was."""
    (tmp_path / "logs").mkdir()
    for name in ("a", "b"):
        (tmp_path / "logs" / name).write_bytes(name.encode())
    disk: Disk = PaperDisk(tmp_path)
    made = await disk.open("logs/c.tmp", create=True)
    await made.write_durable(0, [b"new"])
    await disk.rename("logs/c.tmp", "logs/b")
    await disk.remove("logs/a")
    await disk.make_directory("more/below")
    assert await disk.list_directory("") == ["logs", "more"]
    assert await disk.list_directory("logs") == ["b"]
    assert await disk.list_directory("more") == ["below"]
    assert await (await disk.open("logs/b")).read(0, 10) == b"new"
    for path in ("logs/a", "logs/c.tmp", "nothing"):
        with pytest.raises(FileNotFoundError):
            await disk.open(path)
    with pytest.raises(FileExistsError):
        await disk.open("logs/b", create=True)
    with pytest.raises(FileNotFoundError):
        await disk.sync_directory("nowhere")
    await disk.sync_directory("more/below")
    assert _names(tmp_path) == ["logs", "logs/a", "logs/b"]
    assert (tmp_path / "logs" / "b").read_bytes() == b"b"


def _names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
