"""The documents are true as far as a program can tell: what they name exists, and what exists is
named where users look for it.

Pages that are generated are compared with their source elsewhere (`test_errors_page`,
`test_settings_page`, `test_metrics_page`, `test_cli_documentation`), log events in `test_log_events`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import streamlog.client
from consumer_groups.records import Cause
from jepsen_like.planted.bugs import BUGS, PATCHES, ByCrashStates, BySeeds
from streamlog.cli.documentation import leaves
from streamlog.cli.main import build
from streamlog.client import Admin, ClientError, Consumer, Producer
from streamlog.groups.findings import NO_PROGRESS, PARTITION_UNOWNED, TOPIC_MISSING
from streamlog.model.errors import Reason
from streamlog.model.settings.node import NODE_SETTINGS
from streamlog.model.settings.topic import TOPIC_SETTINGS
from streamlog.server.metrics.catalog import SECTIONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
        *DOCS.rglob("*.md"),
        *(
            ROOT / folder / "README.md"
            for folder in ("examples", "deploy", "benchmarks", "jepsen_like")
        ),
    ]
)
OPERATORS = [
    DOCS / f"{name}.md"
    for name in ("operations", "troubleshooting", "upgrade", "guarantees", "client", "from-kafka")
    if (DOCS / f"{name}.md").exists()
]
"""Pages that name settings, reasons, events and the like in the middle of sentences."""
APPLICATION: Any = typer.main.get_command(build())
METRICS = {metric.name for _, metrics in SECTIONS for metric in metrics}
SETTINGS = {*NODE_SETTINGS, *TOPIC_SETTINGS}
OTHER_CAPITALS = {"SIGTERM", "SIGKILL", "SIGHUP", "SIGINT"}
STATES = {
    "without_leader",
    "below_start",
    "above_end",
    "jepsen_like",
    *(cause.name.lower() for cause in Cause),
    NO_PROGRESS,
    PARTITION_UNOWNED,
    TOPIC_MISSING,
}
"""Values of labels and fields, and a folder."""
NO_SETTINGS = re.compile(
    r".*\.(py|md|proto|toml|log|pid|segment|service|socket)|[a-z_]+\.(client|sync|v1|io)(\..*)?"
)


def name_of(page: Path) -> str:
    """For the names of tests."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as renderers make them."""
    found = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file or folder of the project, and its anchor a heading there."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def test_every_page_is_in_the_index() -> None:
    """README leads to each page of docs and to each README of a folder."""
    linked = {
        (ROOT / path).resolve()
        for path in re.findall(r"\]\(([^)#:]+)", (ROOT / "README.md").read_text())
    }
    missing = [
        name_of(page)
        for page in PAGES
        if page.parent != DOCS / "adr"
        and page != ROOT / "README.md"
        and not {page.resolve(), page.parent.resolve()} & linked
    ]
    assert not missing
    assert (DOCS / "adr" / "README.md").resolve() in linked


def words(page: Path) -> Iterator[str]:
    """What stands between backticks, outside of blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_metrics_exist(page: Path) -> None:
    """What looks like a metric is one, or a part of one."""
    for name in re.findall(r"\bstreamlog_[a-z_]+\b", page.read_text()):
        bare = re.sub(r"_(bucket|sum|count)$", "", name)
        assert {name, bare} & METRICS, name


@pytest.mark.parametrize("page", OPERATORS, ids=name_of)
def test_settings_exist(page: Path) -> None:
    """What looks like a setting is one; the Kafka column has Kafka's."""
    for word in words(page):
        match = re.fullmatch(r"([a-z]+(?:\.[a-z]+)+)(?:[ =].*)?", word)
        if match is None or NO_SETTINGS.fullmatch(match[1]) or match[1] in KAFKAS:
            continue
        assert match[1] in SETTINGS, word


@pytest.mark.parametrize("page", OPERATORS, ids=name_of)
def test_reasons_exist(page: Path) -> None:
    """What looks like a reason is one."""
    text = re.sub(r"`STREAMLOG_[A-Z_]+`|PATH_TO_THE_CLONE", "", page.read_text())
    for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text):
        assert name in Reason.__members__, name


@pytest.mark.parametrize(
    "page", [page for page in OPERATORS if page.stem != "from-kafka"], ids=name_of
)
def test_names_with_underscores_exist(page: Path) -> None:
    """Log events, and arguments, methods and values of the client."""
    log_events = re.findall(r"^\| `(\w+)` \|", (DOCS / "log-events.md").read_text(), re.MULTILINE)
    errors = re.findall(r"`([a-z_]+)`", (DOCS / "errors.md").read_text())
    known = {*log_events, *errors, *METRICS, *client_names()}
    unknown = {
        word
        for word in words(page)
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", word) and word not in known | STATES
    }
    assert not unknown
    for after in re.findall(r"[Ee]vents? ((?:`\w+`(?:, | and )?)+)", page.read_text()):
        assert set(re.findall(r"`(\w+)`", after)) <= {*log_events}, after


def columns(page: Path, *head: str) -> list[list[str]]:
    """Rows of the table that has these heads."""
    found = re.search(
        rf"^\| {re.escape(' | '.join(head))} \|\n\|[-|]+\|\n((?:\|.*\n)+)",
        page.read_text(),
        re.MULTILINE,
    )
    assert found is not None, head
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def test_what_replaces_kafkas_calls_and_settings_exists() -> None:
    """Methods, arguments, settings: whatever stands in our columns."""
    page = DOCS / "from-kafka.md"
    calls = columns(page, "confluent-kafka", "aiokafka", "here")
    assert len(calls) > 15
    for row in calls:
        for text in re.findall(r"`([^`]+)`", row[2]):
            names = {*re.findall(r"(\w+)\(", text), *re.findall(r"(\w+)=", text)}
            names |= {text.rpartition(".")[2]} if re.fullmatch(r"[\w.]+", text) else set()
            assert names <= client_names() | {"topic", "partition"}, text
    section = page.read_text().partition("## Settings of nodes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `.*?` \| (.*?) \|$", section, re.MULTILINE)
    assert len(rows) > 8
    for name in re.findall(r"`([a-z.]+)`", " ".join(rows)):
        assert name in NODE_SETTINGS, name


def client_names() -> set[str]:
    """Methods, their arguments, and fields of what they return; what is inherited, too."""
    names: set[str] = set()
    exported = {name: getattr(streamlog.client, name) for name in streamlog.client.__all__}
    kinds = [kind for each in exported.values() for kind in each.__mro__ if is_ours(kind)]
    for each in kinds:
        names |= {*exported, *vars(each), *getattr(each, "__annotations__", {})}
        for method in [each, *vars(each).values()]:
            if inspect.isfunction(method) or (inspect.isclass(method) and is_ours(method)):
                names |= set(inspect.signature(method).parameters)
    return names


def is_ours(kind: type) -> bool:
    """Python itself has no part in what the client offers."""
    return kind.__module__.startswith("streamlog.")


def test_the_client_page_is_complete() -> None:
    """Every class that users meet, every argument of the constructors, every way to send and read."""
    page = (DOCS / "client.md").read_text()
    errors = [
        name
        for name in streamlog.client.__all__
        if inspect.isclass(each := getattr(streamlog.client, name))
        and issubclass(each, ClientError)
    ]
    assert len(errors) > 15
    missing = [name for name in errors if name not in page]
    for kind in (Producer, Consumer, Admin):
        missing += [
            f"{kind.__name__}({name})"
            for name in list(inspect.signature(kind).parameters)[1:]
            if f"`{name}`" not in page
        ]
    for kind in (Producer, Consumer):
        missing += [
            f"{kind.__name__}.{name}"
            for name, method in vars(kind).items()
            if inspect.isfunction(method)
            and not name.startswith("_")
            and name not in {"start", "refresh_soon", "writer"}
            and not re.search(rf"\b{name}\b", page)
        ]
    assert not missing


def test_every_promise_names_tests_that_exist() -> None:
    """Each section of the guarantees; and every planted bug belongs to some promise."""
    page = (DOCS / "guarantees.md").read_text()
    sections = re.findall(r"^## (\d+\. .*?)\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE)
    assert len(sections) >= 10
    for title, text in sections:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
        assert named, title
        for path, test in named:
            assert re.search(rf"def {test}\(", (ROOT / path).read_text()), f"{path}::{test}"
    planted = set(re.findall(r"`planted: ([\w-]+)`", page))
    assert planted == {bug.name for bug in BUGS}


def test_every_rule_names_bugs_and_tests_that_exist() -> None:
    """The table of rules: its rows name patches and tests that are there, and every patch is in a
    row. The numbers above it are those of the patches."""
    page = (ROOT / "jepsen_like" / "README.md").read_text()
    found = re.search(r"^### Rules\n.*?^\|---.*?\n(.*?)(?=^#)", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    rows = [row.split("|")[1:-1] for row in found[1].splitlines() if row.startswith("|")]
    planted: set[str] = set()
    for rule, bugs, tests in rows:
        names = re.findall(r"`([^`]*)`", bugs)
        planted.update(names)
        named = re.findall(r"`([^`]*)`", tests)
        assert (names and named) or bugs.strip() == "there are no transactions yet", rule
        for each in named:
            path, _, test = each.partition("::")
            assert path.startswith("tests/"), each
            assert re.search(rf"def {test}\(", (ROOT / path).read_text()), each
    assert planted == {path.stem for path in PATCHES.glob("*.patch")}
    by_seeds = sum(isinstance(bug.way, BySeeds) for bug in BUGS)
    by_states = sum(isinstance(bug.way, ByCrashStates) for bug in BUGS)
    others = len(BUGS) - by_seeds
    assert f"Of {len(BUGS)} bugs the simulator must catch {by_seeds}," in page
    assert f"The other {others} are convicted by other means. {by_states} need" in page
    assert f" {others - by_states} name one test" in page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_and_tests_exist(page: Path) -> None:
    """`folder/file` and `folder/file.py::name`, wherever they are named."""
    tops = "tests|streamlog|replication|jepsen_like|docs|deploy|examples|proto|benchmarks"
    for word in words(page):
        match = re.fullmatch(rf"((?:{tops})/[\w./-]+)(?:::(\w+))?", word)
        if match is None:
            continue
        path = ROOT / match[1]
        assert path.exists(), word
        assert match[2] is None or f"def {match[2]}(" in path.read_text(), word


def test_the_map_is_complete() -> None:
    """ARCHITECTURE.md has each package, and each folder it has exists."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    listed = {
        path if path.startswith(folder) else f"{folder}/{path}"
        for row in rows
        if (names := re.findall(r"`([^`]+)`", row))
        for folder in [names[0].rpartition("/")[0]]
        for path in names
        if "{" not in path
    }
    assert [path for path in sorted(listed) if not (ROOT / path.lstrip("/")).exists()] == []
    packages = {
        str(package.relative_to(ROOT))
        for top in ("streamlog", "replication", "jepsen_like")
        for package in (ROOT / top).iterdir()
        if package.is_dir() and package.name not in {"v1", "__pycache__"}
    }
    assert not packages - named


def command_words() -> list[tuple[str, str]]:
    """Page and text of everything between backticks that begins with the command's name."""
    return [
        (name_of(page), word)
        for page in PAGES
        for word in words(page)
        if word.startswith("streamlog ")
    ]


def test_commands_in_sentences_exist() -> None:
    """`streamlog x y --z` is a command with that option, wherever it is named."""
    known = {path.removeprefix("streamlog "): each for path, each in leaves(APPLICATION)}
    groups = {path.partition(" ")[0] for path in known} | {""}
    for page, word in command_words():
        parts = word.split()[1:]
        named = [part for part in parts if not part.startswith("-")]
        command = known.get(" ".join(named[:2])) or known.get(" ".join(named[:1]))
        options = {part.partition("=")[0] for part in parts if re.match(r"--?[a-z]", part)}
        if command is None:
            assert " ".join(named[:1]) in groups, f"{page}: {word}"
            assert options <= {"--version", "--install-completion", "--help"}, f"{page}: {word}"
            continue
        allowed = {name for each in command.params for name in each.opts} | {"--help"}
        assert options <= allowed, f"{page}: {word}"


def test_targets_exist() -> None:
    """`make x` is a target, in sentences and in blocks."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:^|`|\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert set(named) <= targets, name_of(page)


def test_measured_figures_are_those_of_the_benchmarks() -> None:
    """README repeats some; the table has them all."""
    paragraph = (ROOT / "README.md").read_text().partition("Measured beside Kafka 4.1 ")[2]
    figures = re.findall(r"\d\.\d+", paragraph.partition("\n\n")[0])
    assert len(figures) >= 5
    table = (ROOT / "benchmarks" / "README.md").read_text()
    assert [figure for figure in figures if not re.search(rf"\b{figure}\b", table)] == []


def kafkas() -> set[str]:
    """Names of the first column of the tables that are about Kafka."""
    page = DOCS / "from-kafka.md"
    text = page.read_text() if page.exists() else ""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z.]+)", cell)}


KAFKAS = kafkas()
