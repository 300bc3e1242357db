"""Which envelopes are events that this version knows, against the sample events and against what comes close."""

import unittest
from typing import get_args, get_type_hints

from linkme_webhooks import LinkMeEvent, LinkMeEventType, parse_linkme_webhook_envelope, read_linkme_event
from linkme_webhooks.read_event import EVENT_CLASSES, MEMBERS

from .support import read_samples

SAMPLES = read_samples()


def read(body):
    return read_linkme_event(parse_linkme_webhook_envelope(body))


def changed(sample, **members):
    body = SAMPLES[f"{sample}.json"]
    return {**body, "data": {**body["data"], **members}}


def without(sample, member):
    body = SAMPLES[f"{sample}.json"]
    return {**body, "data": {name: value for name, value in body["data"].items() if name != member}}


class ReadEventTest(unittest.TestCase):
    def test_every_sample_is_read_as_its_own_type_with_all_its_data(self):
        for name, sample in SAMPLES.items():
            with self.subTest(name):
                event = read(sample)
                self.assertIs(type(event), EVENT_CLASSES[sample["event"]])
                self.assertEqual(
                    (event.id, event.event, event.ts, event.app_id, event.data),
                    (sample["id"], sample["event"], sample["ts"], sample["app_id"], sample["data"]),
                )

    def test_the_checks_are_those_of_the_types(self):
        self.assertEqual(tuple(MEMBERS), get_args(LinkMeEventType))
        self.assertEqual(tuple(EVENT_CLASSES.values()), get_args(LinkMeEvent))
        for event, members in MEMBERS.items():
            with self.subTest(event):
                hints = get_type_hints(EVENT_CLASSES[event])
                self.assertEqual(get_args(hints["event"]), (event,))
                self.assertEqual(set(members), set(get_type_hints(hints["data"])))
                required = {name for name in members if read(without(event, name)) is None}
                self.assertEqual(required, set(hints["data"].__required_keys__))

    def test_the_samples_show_no_member_that_the_types_lack_and_minimal_ones_only_what_is_required(self):
        for name, sample in SAMPLES.items():
            with self.subTest(name):
                data = get_type_hints(EVENT_CLASSES[sample["event"]])["data"]
                self.assertLessEqual(set(sample["data"]), set(get_type_hints(data)))
                if name.endswith(".minimal.json"):
                    self.assertEqual(set(sample["data"]), set(data.__required_keys__))

    def test_members_that_are_not_documented_pass_and_stay(self):
        event = read(changed("link.click", added={"later": [None]}))
        self.assertEqual(event.data["added"], {"later": [None]})

    def test_what_comes_close_to_an_event_is_none(self):
        cases = [
            ("a type of the future", {"id": "1", "event": "link.shared", "ts": "t", "app_id": "a", "data": {}}),
            ("no data", {"id": "1", "event": "link.click", "ts": "t", "app_id": "a"}),
            ("a platform that is none", changed("link.click", platform="desktop")),
            ("null for a text", changed("link.click", slug=None)),
            ("a number in a map of texts", changed("link.click", utm={"utm_source": 1})),
            ("a list for a map", changed("link.click", params=[])),
            ("a mark that is false", changed("link.click", test=False)),
            ("a mark that is 1", changed("link.click", force_web=1)),
            ("ids of Google without cookies", changed("link.click", ga={"client_id": "1.2"})),
            ("ids of Google that are a text", changed("link.click", ga="1.2")),
            ("a client id that is a number", changed("link.click", ga={"client_id": 1.2, "cookies": {}})),
            ("methods in a text", changed("link.token_created", methods="direct")),
            ("an unknown method", changed("link.token_created", methods=["direct", "magic"])),
            ("a list for a word", changed("link.claim", claim_type=["direct"])),
            ("a claim that is a duplicate", changed("link.claim", duplicate=True)),
            ("a claim with 0 for false", changed("link.claim", duplicate=0)),
            ("a time that is true", changed("link.app_open", timestamp=True)),
            ("half a second", changed("link.app_open", timestamp=0.5)),
            ("more seconds than are safe", changed("link.app_open", timestamp=2**53)),
            ("a flag in words", changed("link.deferred_claim_attempt", matched="yes")),
            ("an unknown reason", changed("link.deferred_claim_attempt", reason="rain")),
        ]
        for member in ("ts", "app_id"):
            body = {name: value for name, value in SAMPLES["link.click.json"].items() if name != member}
            cases.append((f"no {member}", body))
        for name, body in cases:
            with self.subTest(name):
                self.assertIsNone(read(body))
