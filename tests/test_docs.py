"""What the documents say is what the code does."""

from pathlib import Path

import pytest

from sonosynth.config import PRESETS, Arm, Section, Settings

ROOT = Path(__file__).parents[1]


def rows():
    """One Markdown row per setting: name, type, default, meaning."""
    for name, field in Settings.model_fields.items():
        section = field.default
        if name == "arms":
            for key, inner in Arm.model_fields.items():
                yield row(f"arms.NAME.{key}", inner)
            for arm in field.default:
                yield f"- `{arm}`"
        elif isinstance(section, Section) or name == "prompts":
            for key, inner in type(section).model_fields.items():
                yield row(f"{name}.{inner.alias or key}", inner)
        else:
            yield row(name, field)


def row(name, field):
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"| `{name}` | `{default}` | {field.description} |"


@pytest.mark.parametrize("line", list(rows()))
def test_every_setting_is_documented_with_its_default(line):
    assert line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_presets_and_commands_are_documented():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{preset}`" in text for preset in PRESETS)
    assert "python -m pip install -c constraints.txt . && sonosynth demo" in text
    assert "python -m pip install -c constraints.txt '.[dev]' && python -m pytest" in text
