"""The programs of `examples/clients`, built, and a cluster of three real nodes for them.

`make test-clients` runs this folder, one test after the other; `make test` does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.clients import VAR, BuildFailed, DownloadFailed, build
from contract.toolchains import LANGUAGES, Language
from tests.clients.running import Cluster, Rates

RATES = Rates()
BUILDS_AT_A_TIME = 2


class Programs:
    """Those that are wanted are built from the start on, two at a time: most builds wait for
    downloads for a while."""

    def __init__(self, wanted: Iterable[Language]) -> None:
        self._pool = ThreadPoolExecutor(BUILDS_AT_A_TIME)
        self._built: dict[str, Future[Path]] = {
            language.name: self._pool.submit(build, language)
            for language in wanted
            if language.written and not language.missing()
        }

    def close(self) -> None:
        """Nothing is built any more when this returns."""
        self._pool.shutdown(cancel_futures=True)

    def get(self, language: Language) -> Path:
        """What to run. Raises BuildFailed; skips when tools or the network are missing."""
        if not language.written:
            pytest.skip(f"{language.title}: not written yet")
        missing = language.missing()
        if missing:
            pytest.skip(f"{language.title}: {', '.join(t.name for t in missing)} missing")
        try:
            return self._built[language.name].result()
        except DownloadFailed as failure:
            pytest.skip(f"{language.title}: what it needs can not be downloaded: {failure}")


@pytest.fixture(scope="session", autouse=True)
def retention_is_not_due() -> Iterator[None]:
    """The programs write records that are older than what topics keep by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLOG_RETENTION_CHECK_MS", "3600000")
        yield


def wanted_by(items: Iterable[pytest.Item]) -> list[Language]:
    """What these tests run: all languages, unless each is about one."""
    wanted: dict[str, Language] = {}
    for item in items:
        if isinstance(item, pytest.Function) and "builder" in item.fixturenames:
            one = item.callspec.params.get("program") if hasattr(item, "callspec") else None
            if not isinstance(one, Language):
                return list(LANGUAGES)
            wanted[one.name] = one
    return list(wanted.values())


@pytest.fixture(scope="session")
def builder(request: pytest.FixtureRequest) -> Iterator[Programs]:
    """For tests of one language."""
    programs = Programs(wanted_by(request.session.items))
    try:
        yield programs
    finally:
        programs.close()


@pytest.fixture(scope="session")
def programs(builder: Programs) -> Mapping[str, Path]:
    """All that could be built, by name of the language; why others could not is told elsewhere."""
    found = {}
    for language in LANGUAGES:
        try:
            found[language.name] = builder.get(language)
        except (BuildFailed, pytest.skip.Exception):
            continue
    return found


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def program(request: pytest.FixtureRequest, builder: Programs) -> Path:
    """Of each language in turn."""
    return builder.get(request.param)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def rates() -> Rates:
    """Filled by tests, shown at the end."""
    return RATES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table for benchmarks/README.md."""
    table = RATES.table()
    if table:
        VAR.mkdir(parents=True, exist_ok=True)
        (VAR / "rates.md").write_text(table)
        terminalreporter.write_line(table)
