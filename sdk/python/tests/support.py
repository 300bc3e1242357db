"""What the tests share with each other, and where they find what they share with the other suites."""

import base64
import json
import re
from pathlib import Path

from linkme_webhooks import Receiver, sign_test_payload

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]

SECRET = "whsec_w0LVM2ReVJ/UcoK9x4wGhw1K7DV4VRvA1iy1l8K070g="
OTHER = "whsec_rMQec8/P0fXQm3Jw6VCbtxqgqvA24UhsFD6nSIq7/Io="
NOW = 1769851801
CLICK = {
    "id": "019c1363-4b5c-71f1-84b7-8073442bd4c8",
    "event": "link.click",
    "ts": "2026-01-31T09:30:00.412Z",
    "app_id": "shop",
    "data": {"link_id": "lnk_1", "platform": "ios", "dest_url": "https://shop.example/"},
}


def read_vectors(group="x_linkme_signature"):
    text = (ROOT / "spec/vectors/signatures.json").read_text(encoding="utf-8")
    return json.loads(text)[group]


def body_of(vector):
    body = vector["body"]
    return (body.encode() if vector["body_encoding"] == "utf8" else base64.b64decode(body)) * vector["body_repeat"]


def read_samples():
    paths = sorted((ROOT / "spec/events").glob("*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def readme_example(heading):
    """The first Python block below a heading of the README."""
    section = (PACKAGE / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    return re.search(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE).group(1)


class Bench:
    """A receiver under test with a clock of its own, and what it told of errors."""

    def __init__(self, **options):
        self.now = NOW
        self.told = []
        self.receiver = Receiver(**{"secrets": SECRET, "now": lambda: self.now, **options})
        self.receiver.on_error(lambda error, event: self.told.append((error, event)))

    def signed(self, payload=CLICK):
        return sign_test_payload(payload, SECRET, at=self.now)

    def send(self, payload=CLICK, **changed):
        request = self.signed(payload)
        return self.receiver.receive("POST", {**request.headers, **changed}, request.body)

    async def send_async(self, payload=CLICK):
        request = self.signed(payload)
        return await self.receiver.receive_async("POST", request.headers, request.body)
