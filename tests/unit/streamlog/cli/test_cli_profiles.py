"""Profiles in their file, and how the cluster of a command is found."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from streamlog.cli import profiles
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.profiles import Profiles, load, profiles_file, save
from streamlog.cli.target import resolve_target

ONE, TWO = "10.0.0.1:9092", "10.0.0.2:9092,[::1]:9093"


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def stored(tmp_path: Path) -> Path:
    """A file with two profiles."""
    path = profiles_file(environment(tmp_path))
    save(path, Profiles({"one": ONE, "two": TWO}, "two"))
    return path


def streamlog(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLOG_")}
    return subprocess.run(
        [sys.executable, "-m", "streamlog.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean, **environment(tmp_path, **more)},
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Names with dots too; only the owner may read it; nothing is left beside it."""
    path = profiles_file(environment(tmp_path))
    assert load(path) == Profiles()
    known = Profiles({"a.b-c": ONE, "d": 'odd "text" \\ ü \x07'}, "a.b-c")
    save(path, known)
    assert load(path) == known
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["profiles.toml"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written beside its place and renamed when it is complete."""
    path = stored(tmp_path)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandFailed, match=r"can not write the profiles in .*No space left"):
        save(path, Profiles({"three": ONE}))
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_changes() -> None:
    """The first profile is the current one; deleting the current one leaves none."""
    known = Profiles().with_profile("one", ONE, use=False)
    assert known.current == "one"
    known = known.with_profile("two", TWO, use=False)
    assert known.current == "one"
    assert known.using("two").current == "two"
    assert known.with_profile("three", ONE, use=True).current == "three"
    assert known.without("two") == Profiles({"one": ONE}, "one")
    assert known.without("one") == Profiles({"two": TWO}, None)


@pytest.mark.parametrize("name", ["", "-x", "a b", "ü", "a/b", "x" * 65])
def test_names_that_are_refused(name: str) -> None:
    """With the rule."""
    with pytest.raises(CommandFailed, match="1 to 64 characters"):
        profiles.check_name(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("current = ", "is not TOML"),
        ("[profiles.x]\nport = 1", "the profile 'x' has no bootstrap"),
        ("[profiles]\nx = 1", "the profile 'x' has no bootstrap"),
    ],
)
def test_files_that_can_not_be_used(tmp_path: Path, content: str, words: str) -> None:
    """Named; a current profile that does not exist is none."""
    path = stored(tmp_path)
    path.write_text(content)
    with pytest.raises(CommandFailed, match=words) as caught:
        load(path)
    assert str(path) in caught.value.message
    path.write_text('current = "gone"')
    assert load(path) == Profiles()


def test_precedence(tmp_path: Path) -> None:
    """--bootstrap, STREAMLOG_BOOTSTRAP, --profile, STREAMLOG_PROFILE, the current profile, the
    default; each says that it was it."""
    default = resolve_target(None, None, environment(tmp_path))
    assert (default.bootstrap, default.source) == ("127.0.0.1:9092", "the default")
    path = stored(tmp_path)
    base = environment(tmp_path)
    current = resolve_target(None, None, base)
    assert current.addresses == ("10.0.0.2:9092", "[::1]:9093")
    assert current.source == f"the current profile 'two' ({path})"
    named = base | {"STREAMLOG_PROFILE": "one"}
    by_variable = resolve_target(None, None, named)
    assert (by_variable.bootstrap, by_variable.source) == (
        ONE,
        "the profile 'one' (STREAMLOG_PROFILE)",
    )
    by_option = resolve_target(None, "two", named)
    assert (by_option.bootstrap, by_option.source) == (TWO, "the profile 'two' (--profile)")
    every = named | {"STREAMLOG_BOOTSTRAP": "h:1"}
    variable = resolve_target(None, "two", every)
    assert (variable.bootstrap, variable.source) == ("h:1", "STREAMLOG_BOOTSTRAP")
    assert variable.note == "STREAMLOG_BOOTSTRAP goes before --profile two"
    option = resolve_target("h:2", None, every)
    assert (option.bootstrap, option.source, option.note) == ("h:2", "--bootstrap", "")
    assert resolve_target(None, None, base | {"STREAMLOG_BOOTSTRAP": ""}) == current


@pytest.mark.parametrize("bootstrap", ["nonsense", "host:99999", "host:0", ":1", "a b:1"])
def test_addresses_that_are_none(tmp_path: Path, bootstrap: str) -> None:
    """Named, with who gave them."""
    with pytest.raises(CommandFailed, match=r"is not host:port .*\(from --bootstrap\)") as caught:
        resolve_target(f"good:1,{bootstrap}", None, environment(tmp_path))
    assert repr(bootstrap) in caught.value.message
    with pytest.raises(CommandFailed, match="--bootstrap names no node"):
        resolve_target(" ,", None, environment(tmp_path))


def test_a_misspelt_profile(tmp_path: Path) -> None:
    """Names like it are suggested."""
    assert stored(tmp_path)
    with pytest.raises(CommandFailed, match="no profile 'onne'; did you mean 'one'") as caught:
        resolve_target(None, "onne", environment(tmp_path))
    assert caught.value.exit_code == EXIT_USAGE
    with pytest.raises(CommandFailed, match="no profile 'xyz'; there are one, two"):
        resolve_target(None, "xyz", environment(tmp_path))


def test_a_relative_configuration_directory_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the specification of base directories asks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / ".config" / "streamlog" / "profiles.toml"
    assert profiles_file({"XDG_CONFIG_HOME": "relative"}) == expected
    assert profiles_file({}) == expected


def test_who_has_no_home_has_no_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: the default cluster, unless a profile is asked for."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert resolve_target(None, None, {}).source == "the default"
    with pytest.raises(CommandFailed, match="set XDG_CONFIG_HOME"):
        resolve_target(None, "p", {})


def test_the_commands(tmp_path: Path) -> None:
    """Create, list, use, show and delete; a script must say --yes."""

    def ok(*arguments: str) -> str:
        done = streamlog(tmp_path, "profile", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ok("list").startswith("no profiles; make one")
    assert ok("list", "-o", "json") == "[]\n"
    assert "the default" in ok("show")
    assert ok("create", "one", "-b", ONE) == f"one is {ONE}, the current profile\n"
    assert ok("create", "two", "-b", TWO) == f"two is {TWO}\n"
    assert ok("use", "two") == f"commands talk to two ({TWO})\n"
    rows = json.loads(ok("list", "-o", "json"))
    assert rows == [
        {"profile": "one", "bootstrap": ONE, "current": False},
        {"profile": "two", "bootstrap": TWO, "current": True},
    ]
    assert ok("list").splitlines()[2].split() == ["two", TWO, "*"]
    assert json.loads(ok("show", "one", "-o", "json"))["bootstrap"] == ONE
    assert json.loads(ok("show", "-o", "json"))["bootstrap"] == TWO

    refused = streamlog(tmp_path, "profile", "delete", "two")
    assert refused.returncode == EXIT_USAGE
    assert "this needs --yes" in refused.stderr
    assert ok("delete", "two", "--yes") == "deleted two, the current profile\n"
    for arguments, words in (
        (("create", "one", "-b", TWO), "exists already (10.0.0.1:9092); --replace changes it"),
        (("create", "x", "-b", "nowhere"), "'nowhere' is not host:port"),
        (("use", "none"), "there is no profile 'none'"),
        (("delete", "none", "-y"), "there is no profile 'none'"),
        (("show", "none"), "there is no profile 'none'"),
    ):
        wrong = streamlog(tmp_path, "profile", *arguments)
        assert wrong.returncode == EXIT_USAGE
        assert words in wrong.stderr
        assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("how", ["option", "variable", "profile", "default"])
def test_an_unreachable_cluster_is_told_with_its_source(tmp_path: Path, how: str) -> None:
    """So that a wrong address is found where it was written."""
    address = "127.0.0.1:1"
    if how == "default":
        # The default port may be in use here, so that only the resolution is asked.
        assert resolve_target(None, None, environment(tmp_path)).source == "the default"
        return
    save(profiles_file(environment(tmp_path)), Profiles({"p": address}, "p"))
    options = ("-b", address) if how == "option" else ()
    variables = {"STREAMLOG_BOOTSTRAP": address} if how == "variable" else {}
    done = streamlog(tmp_path, "topic", "list", *options, **variables)
    source = {
        "option": "--bootstrap",
        "variable": "STREAMLOG_BOOTSTRAP",
        "profile": "the current profile 'p'",
    }[how]
    assert done.returncode == 1
    assert f"no node answers at {address}, from {source}" in done.stderr
    assert done.stderr.count("\n") == 1
