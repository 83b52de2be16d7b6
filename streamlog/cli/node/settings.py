"""The settings of a node on the command line: an option and a variable for each.

They are made from the list of settings, so a new setting has both at once. `resolved_settings`
says which of the places where operators write them counts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from streamlog.model.settings.node import NODE_SETTINGS
from streamlog.model.settings.setting import BooleanSetting, Setting, field_of

ENVIRONMENT_PREFIX = "STREAMLOG_"
VARIABLES_OF_THEIR_OWN = {"bootstrap": "STREAMLOG_SERVER_BOOTSTRAP"}
"""STREAMLOG_BOOTSTRAP is where clients find the cluster; a node in the same shell must not take
that address for its own flag."""


def flag_of(key: str) -> str:
    """The command-line option of a setting."""
    return "--" + key.replace(".", "-").replace("_", "-")


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    own = VARIABLES_OF_THEIR_OWN.get(key)
    return own or ENVIRONMENT_PREFIX + key.replace(".", "_").replace("-", "_").upper()


def option_of(setting: Setting) -> inspect.Parameter:
    """A parameter that makes typer offer the setting as an option, absent when not given."""
    shown = getattr(setting, "format", str)(setting.default)
    option: Any = typer.Option(
        flag_of(setting.key),
        metavar=None if isinstance(setting, BooleanSetting) else f"<{setting.unit or 'text'}>",
        help=f"{setting.documentation} Allowed: {setting.allowed}."
        + (f" Default: {shown}." if shown else "")
        + f" [env var: {variable_of(setting.key)}]",
        show_default=False,
    )
    kind: Any = bool if isinstance(setting, BooleanSetting) else str
    return inspect.Parameter(
        field_of(setting.key),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def options() -> list[inspect.Parameter]:
    """One for each setting of a node."""
    return [option_of(setting) for setting in NODE_SETTINGS.values()]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command's function that ends with `**settings`, as typer is to see it: with one option
    for each setting instead."""
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    def wrapped(**values: Any) -> None:
        command(**values)

    wrapped.__signature__ = inspect.Signature([*own, *options()])  # type: ignore[attr-defined]
    return wrapped


def given(values: Mapping[str, Any]) -> dict[str, str]:
    """Text by key of the options that were given."""
    texts: dict[str, str] = {}
    for key in NODE_SETTINGS:
        value = values.get(field_of(key))
        if value is not None:
            texts[key] = text_of(value)
    return texts


def text_of(value: bool | int | str) -> str:
    """As a setting's text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
