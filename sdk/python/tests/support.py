"""Where the tests find what they share with the other suites."""

import json
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]


def read_vectors(group="x_linkme_signature"):
    text = (ROOT / "spec/vectors/signatures.json").read_text(encoding="utf-8")
    return json.loads(text)[group]


def read_samples():
    paths = sorted((ROOT / "spec/events").glob("*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
