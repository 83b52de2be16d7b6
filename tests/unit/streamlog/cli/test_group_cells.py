"""A group as people and programs see it: once, and while they watch."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from streamlog.cli.groups.cells import (
    as_csv,
    as_json,
    as_text,
    lag_line,
    lag_text,
    partitions_text,
    span_text,
)
from streamlog.cli.groups.offsets_file import parse_offsets
from streamlog.cli.groups.watching import GroupScreen, ListScreen, watch
from streamlog.cli.output import Output
from streamlog.client import (
    ClientError,
    GroupDescription,
    GroupFinding,
    GroupRebalance,
    TopicPartition,
)
from tests.fakes.described_group import COMMITTED_AT_MS, described, member, partition

AT_S = COMMITTED_AT_MS / 1_000


def full() -> GroupDescription:
    owned = TopicPartition("orders", 0), TopicPartition("orders", 1)
    return described(
        partition("orders", 0, offset=5, lag=(4, 12.34), member="m1"),
        partition("orders", 1, offset=10, lag=(0, 0.0), member="m1"),
        partition("orders", 2, offset=None),
        members=(member("m1", *owned),),
        findings=(
            GroupFinding(
                "no_progress", 61_000, "m1", None, "owns 2 partitions and handles nothing"
            ),
        ),
        rebalances=(
            GroupRebalance(3, "member_joined", COMMITTED_AT_MS, "m1", ""),
            GroupRebalance(4, "offsets_reset", COMMITTED_AT_MS + 1_000, "", "2 partitions"),
        ),
    )


def test_for_people() -> None:
    """What they should look at comes before the tables; the newest rebalance first."""
    assert as_text(full()) == (
        "billing: stable, 1 member, assignor sticky, epoch 4, coordinated by node 2\n"
        "lag: 4 records, the oldest unread for 12.3 s, 1 partition not known\n"
        "\n"
        "! no_progress: m1 owns 2 partitions and handles nothing for 1.0 min\n"
        "\n"
        "member  instance  client  host      phase   connected  heard   idle     owns        gives up\n"
        "m1      -         till    10.0.0.7  stable  yes        850 ms  1.0 min  orders:0,1  -\n"
        "\n"
        "topic   partition  member  position  start  end  lag  lag time  committed\n"
        "orders  0          m1      5         0      10   4    12.3 s    2026-01-31T00:00:00Z\n"
        "orders  1          m1      10        0      10   0    0         2026-01-31T00:00:00Z\n"
        "orders  2          -       -         0      10   -    -         -\n"
        "\n"
        "rebalance             epoch  cause          member  detail\n"
        "2026-01-31T00:00:01Z  4      offsets_reset  -       2 partitions\n"
        "2026-01-31T00:00:00Z  3      member_joined  m1      -"
    )


def test_a_group_of_nobody() -> None:
    """Without members, positions or answers there is less to say, and nothing breaks."""
    assert as_text(described()) == (
        "billing: empty, 0 members, epoch 4, coordinated by node 2, empty since"
        " 2026-01-31T00:00:00Z\n"
        "lag: it has read nothing"
    )
    assert lag_line(described(partition("t", 0, end=None))) == "lag: not known"
    assert lag_line(described(partition("t", 0, lag=(0, 0.0)))) == "lag: none"


def test_what_is_written_is_what_reset_reads() -> None:
    """JSON and CSV of a description name the same positions; unknown ones are left out."""
    wanted = {("orders", 0): 5, ("orders", 1): 10}
    assert parse_offsets(json.dumps(as_json(full())), "f") == wanted
    assert parse_offsets(as_csv(full()), "f") == wanted
    rows = list(csv.DictReader(io.StringIO(as_csv(full()))))
    assert rows[0] == {
        "topic": "orders",
        "partition": "0",
        "offset": "5",
        "start": "0",
        "end": "10",
        "lag_records": "4",
        "lag_seconds": "12.34",
        "member": "m1",
    }
    told = as_json(full())
    assert told["lag_records"] == 4
    assert told["members"][0]["assigned"] == ["orders/0", "orders/1"]
    assert told["findings"][0]["kind"] == "no_progress"


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (90_000, "1.5 min"),
        (7_200_000, "2.0 h"),
        (864_000_000, "10.0 d"),
        (None, None),
    ],
)
def test_spans(span_ms: float | None, text: str | None) -> None:
    """In the unit that fits."""
    assert span_text(span_ms) == text


def test_small_cells() -> None:
    """No lag is no time, and many partitions are cut."""
    assert (lag_text(0.0), lag_text(None), lag_text(0.05)) == ("0", None, "50 ms")
    assert partitions_text([]) is None
    many = [TopicPartition("a", n) for n in range(10)] + [TopicPartition("b", 1)]
    assert partitions_text(many) == "a:0,1,2,3,4,5,6,7+2 b:1"


def test_a_picture_shows_the_worst_first_and_fits() -> None:
    """On a small terminal the partitions with most lag are there, with the change since the last
    look."""
    screen = GroupScreen()
    before = described(*(partition("t", n, lag=(n * 10, 1.0)) for n in range(100)))
    after = described(*(partition("t", n, lag=(n * 10 + 20, 1.0)) for n in range(100)))
    first = screen.picture(before, AT_S, 20).splitlines()
    second = screen.picture(after, AT_S + 2, 20).splitlines()
    assert len(second) <= 20
    assert second[0] == "2026-01-31T00:00:02Z  Ctrl-C ends"
    (header,) = (n for n, line in enumerate(second) if line.startswith("topic"))
    assert second[header + 1].split()[:2] == ["t", "99"]
    assert second[header + 1].endswith("+10/s")
    assert not first[header + 1].endswith("/s")
    shown = len(second) - header - 2
    assert second[-1] == f"and {100 - shown} more"


def test_lines_for_logs_and_programs() -> None:
    """Each with its time, only partitions that lag; JSON: one object a look."""
    screen = GroupScreen()
    assert screen.lines(full(), AT_S) == [
        "2026-01-31T00:00:00Z billing stable members=1 lag=4 lag_time=12.3s change=- findings=1",
        "2026-01-31T00:00:00Z billing orders/0 lag=4 lag_time=12.3s member=m1",
    ]
    assert "change=0/s" in screen.lines(full(), AT_S + 1)[0]
    (line,) = GroupScreen(as_json=True).lines(full(), AT_S)
    assert json.loads(line)["lag_records"] == 4
    rows: list[dict[str, Any]] = [{"group": "g", "phase": "empty", "lag": None}]
    assert ListScreen(Output.TABLE).lines(rows, AT_S) == [
        "2026-01-31T00:00:00Z g phase=empty lag=-"
    ]
    assert json.loads(ListScreen(Output.JSON).lines(rows, AT_S)[0])["groups"] == rows
    assert ListScreen(Output.TABLE).lines([], AT_S) == ["2026-01-31T00:00:00Z no groups"]
    assert "no groups" in ListScreen(Output.TABLE).picture([], AT_S, 10)
    assert ListScreen(Output.TABLE).picture(rows * 50, AT_S, 12).splitlines()[-1] == "and 42 more"


async def test_who_watches_sees_it_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """A look that nobody answers is a note; what looking again would not mend ends it."""
    answers: list[GroupDescription | ClientError] = [
        full(),
        ClientError("nobody is there", retriable=True),
        full(),
        ClientError("no such group", reason="UNKNOWN_GROUP"),
    ]

    async def look() -> GroupDescription:
        answer = answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    await watch(look, GroupScreen(), 0.001, 2, in_place=False)
    told = capsys.readouterr()
    assert told.out.count("billing stable") == 2
    assert told.err == "note: nobody is there\n"
    with pytest.raises(ClientError, match="no such group"):
        await watch(look, GroupScreen(), 0.001, None, in_place=False)


async def test_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    """The picture is drawn; a name that looks like markup stays as it is."""

    async def look() -> GroupDescription:
        return described(partition("[red]t", 0, lag=(3, 1.0)))

    await watch(look, GroupScreen(), 0.001, 1, in_place=True)
    out = capsys.readouterr().out
    assert "[red]t" in out
    assert "Ctrl-C ends" in out
