"""Reading an envelope: the samples, what newer servers may send, and what is no envelope."""

import dataclasses
import json
import unittest

from linkme_webhooks import LinkMeWebhookEnvelope, LinkMeWebhookError, parse_linkme_webhook_envelope

from .support import read_samples


class EnvelopeTest(unittest.TestCase):
    def test_every_sample_is_read_without_loss(self):
        samples = read_samples()
        self.assertGreaterEqual(len(samples), 5)
        for name, sample in samples.items():
            with self.subTest(name):
                self.assertEqual(dataclasses.asdict(parse_linkme_webhook_envelope(sample)), sample)

    def test_what_an_envelope_may_be(self):
        cases = [
            ("id and event are enough", {"id": "1", "event": "link.click"}, ("1", "link.click", None, None, None)),
            ("an event type of a newer server", {"id": "1", "event": "x"}, ("1", "x", None, None, None)),
            ("empty optional texts", {"id": "1", "event": "e", "ts": "", "app_id": ""}, ("1", "e", "", "", None)),
            ("empty data", {"id": "1", "event": "e", "data": {}}, ("1", "e", None, None, {})),
            ("unknown members, which are left out", {"id": "1", "event": "e", "v": 2}, ("1", "e", None, None, None)),
            (
                "any values inside data",
                {"id": "1", "event": "e", "data": {"a": None, "🔗": [1, {"b": True}]}},
                ("1", "e", None, None, {"a": None, "🔗": [1, {"b": True}]}),
            ),
        ]
        for why, given, expected in cases:
            with self.subTest(why):
                self.assertEqual(parse_linkme_webhook_envelope(given), LinkMeWebhookEnvelope(*expected))

    def test_what_is_no_envelope_is_refused_with_a_code_the_field_and_what_is_accepted(self):
        cases = [
            ("nothing", None, "envelope_not_object", None, "JSON object, but it is null."),
            ("a number", 7, "envelope_not_object", None, "it is a number."),
            ("a list", [{"id": "1", "event": "e"}], "envelope_not_object", None, "it is an array."),
            ("JSON text", '{"id":"1"}', "envelope_not_object", None, "a string: call json.loads"),
            ("a raw body", b"{}", "envelope_not_object", None, "of the type bytes: call json.loads"),
            ("no id", {"event": "e"}, "field_missing", "id", '"id" is missing: a non-empty string is required.'),
            ("an empty id", {"id": "", "event": "e"}, "field_invalid", "id", "but it is an empty string."),
            ("a number as id", {"id": 1, "event": "e"}, "field_invalid", "id", "but it is a number."),
            ("null as id", {"id": None, "event": "e"}, "field_invalid", "id", "but it is null."),
            ("no event", {"id": "1"}, "field_missing", "event", '"event" is missing'),
            ("an empty event", {"id": "1", "event": ""}, "field_invalid", "event", "a non-empty string"),
            ("a list as event", {"id": "1", "event": ["e"]}, "field_invalid", "event", "but it is an array."),
            ("null as ts", {"id": "1", "event": "e", "ts": None}, "field_invalid", "ts", "a string, or absent"),
            ("a boolean as ts", {"id": "1", "event": "e", "ts": True}, "field_invalid", "ts", "it is a boolean."),
            ("null as app_id", {"id": "1", "event": "e", "app_id": None}, "field_invalid", "app_id", "it is null."),
            ("null as data", {"id": "1", "event": "e", "data": None}, "field_invalid", "data", "a JSON object, or"),
            ("a list as data", {"id": "1", "event": "e", "data": []}, "field_invalid", "data", "it is an array."),
            ("text as data", {"id": "1", "event": "e", "data": "{}"}, "field_invalid", "data", "it is a string."),
        ]
        for why, given, code, field, message in cases:
            with self.subTest(why):
                with self.assertRaises(LinkMeWebhookError) as raised:
                    parse_linkme_webhook_envelope(given)
                self.assertEqual((raised.exception.code, raised.exception.field), (code, field))
                self.assertIn(message, str(raised.exception))

    def test_a_message_never_repeats_what_was_received(self):
        with self.assertRaises(LinkMeWebhookError) as raised:
            parse_linkme_webhook_envelope({"id": "1", "event": "e", "data": "private-value"})
        self.assertNotIn("private-value", str(raised.exception))

    def test_an_envelope_cannot_be_changed_and_its_data_is_its_own(self):
        given = json.loads('{"id":"1","event":"e","data":{"a":1}}')
        envelope = parse_linkme_webhook_envelope(given)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            envelope.id = "2"
        given["data"]["a"] = 2
        self.assertEqual(envelope.data, {"a": 1})
