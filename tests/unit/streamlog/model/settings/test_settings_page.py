"""The page of settings is the settings."""

from pathlib import Path

from streamlog.model.settings.documentation import render

PAGE = Path(__file__).parents[5] / "docs" / "configuration.md"


def test_the_page_is_what_the_settings_say() -> None:
    """An undocumented or changed setting fails here; the module's docstring has the command."""
    assert PAGE.read_text() == render()
