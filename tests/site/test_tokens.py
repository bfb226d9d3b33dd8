"""The style sheets' colours: both themes complete, readable, and apart."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

CSS = Path(__file__).resolve().parents[2] / "static" / "css"
OPERATIONS = ("--op-none", "--op-skip", "--op-conv1", "--op-conv3", "--op-pool")

#: Linear RGB as seen with each kind of colour blindness: Machado, Oliveira,
#: Fernandes, IEEE TVCG 2009, table 1, severity 1.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def blocks() -> list[dict[str, str]]:
    """Return the variables of :root, of the system's dark theme, of the chosen one."""
    text = (CSS / "tokens.css").read_text(encoding="utf-8")
    found = re.findall(r":root[^{]*\{([^}]*)\}", text)
    return [dict(re.findall(r"(--[\w-]+):\s*([^;]+);", block)) for block in found]


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ rgb / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, light = sorted(float(linear(c) @ weights) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def test_the_dark_theme_of_the_system_is_the_one_of_the_switch() -> None:
    _, system, chosen = blocks()
    assert system == chosen


def test_every_colour_has_a_partner_in_the_dark_theme() -> None:
    light, dark, _ = blocks()
    coloured = {name for name, value in light.items() if value.startswith("#")}
    assert coloured == {name for name, value in dark.items() if value.startswith("#")}


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    "ink", ["text", "muted", "accent", "success", "warning", "danger"]
)
def test_words_are_readable_on_every_surface(theme: int, ink: str) -> None:
    tokens = blocks()[theme]
    for surface in ("--bg", "--surface", "--sunken"):
        assert contrast(tokens[f"--{ink}"], tokens[surface]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("tone", ["accent", "success", "warning", "danger"])
def test_a_badge_is_readable_on_its_own_tone(theme: int, tone: str) -> None:
    tokens = blocks()[theme]
    assert contrast(tokens[f"--{tone}"], tokens[f"--{tone}-soft"]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("sight", SIGHT)
def test_operations_stay_apart_for_colour_blind_eyes(theme: int, sight: str) -> None:
    tokens = blocks()[theme]
    seen = {
        name: lab(np.clip(SIGHT[sight] @ linear(tokens[name]), 0, 1))
        for name in OPERATIONS
    }
    for one, other in itertools.combinations(OPERATIONS, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)


@pytest.mark.parametrize("theme", [0, 1])
def test_operations_stand_out_from_the_card(theme: int) -> None:
    tokens = blocks()[theme]
    for name in OPERATIONS:
        assert contrast(tokens[name], tokens["--surface"]) >= 3


def test_no_other_style_sheet_names_a_colour_of_its_own() -> None:
    for sheet in CSS.glob("*.css"):
        if sheet.name != "tokens.css":
            text = re.sub(r"url\([^)]*\)", "", sheet.read_text(encoding="utf-8"))
            assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", text), sheet.name


def test_every_variable_that_a_style_sheet_uses_is_there() -> None:
    known = set(blocks()[0])
    for sheet in CSS.glob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        own = set(re.findall(r"(--[\w-]+):", text))
        used = set(re.findall(r"var\((--[\w-]+)", text))
        assert used <= known | own, sheet.name
