"""docs/api.md is what the comments in proto/ say today."""

from __future__ import annotations

import re
from pathlib import Path

from contract import reference

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def test_the_page_is_fresh() -> None:
    """`python -m contract.reference > docs/api.md` would change nothing."""
    assert PAGE.read_text() == reference.render()


def test_everything_is_there_and_explained() -> None:
    """Each file of the public package, and no row without words."""
    protos = {path.stem for path in (reference.PROTO / reference.PACKAGE).glob("*.proto")}
    assert protos == set(reference.FILES)
    rows = re.findall(r"^\| .* \|$", PAGE.read_text(), re.MULTILINE)
    silent = [row for row in rows if re.search(r"` \|(?: [^|]* \|)? *\|$", row)]
    assert len(rows) > 500
    assert silent == []
