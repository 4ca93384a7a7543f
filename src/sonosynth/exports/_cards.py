"""Cards: README files in Markdown, from the templates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from sonosynth import disk
from sonosynth.modality import WORDS
from sonosynth.sharing import Shared

ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    autoescape=False, loader=jinja2.PackageLoader("sonosynth.exports", "templates"),
)  # fmt: skip


def code(text: object) -> str:
    """Text of a user as Markdown code, in which nothing is markup."""
    fence = "``" if "`" in str(text) else "`"
    return f"{fence} {text} {fence}" if fence == "``" else f"`{text}`"


ENVIRONMENT.filters["code"] = code


def write(file: Path, template: str, shared: Shared, header: Mapping[str, Any] | None = None, **facts: Any) -> None:
    """Write a card.

    Args:
        header: the YAML block that the hub reads. facts: what else the template names.
    """
    words = ENVIRONMENT.get_template(f"{template}.md.j2").render(
        origin=shared.origin, left_out=shared.left_out, modality=WORDS[shared.origin.modality], **facts
    )
    block = f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n" if header else ""
    disk.write_text(file, block + words)
