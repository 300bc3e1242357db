"""What a receiver does with events that it believes, and what it answers in each case, in both worlds."""

import asyncio
import json
import subprocess
import sys
import threading
import unittest

from linkme_webhooks import (
    LinkMeFinalError,
    LinkMeRetryError,
    LinkMeUsageError,
    MemoryDedupe,
    Receiver,
    parse_linkme_webhook_envelope,
)

from .support import CLICK, PACKAGE, SECRET, Bench, read_samples

WEEK = 7 * 24 * 3600


def fail(words):
    def handler(*values):
        raise AssertionError(words)

    return handler


class FailingDedupe(MemoryDedupe):
    """A store of which single calls fail."""

    def __init__(self, fails):
        super().__init__()
        setattr(self, fails, self._fail)

    def _fail(self, *values):
        raise ConnectionError("connection refused")


class AnswersTest(unittest.TestCase):
    def test_each_of_the_five_events_reaches_its_own_handler_once(self):
        bench, seen = Bench(), []
        bench.receiver.on("link.click")(lambda event: seen.append((event.event, event.data["dest_url"])))
        bench.receiver.on("link.token_created")(lambda event: seen.append((event.event, event.data["methods"])))
        bench.receiver.on("link.claim")(lambda event: seen.append((event.event, event.data["claim_type"])))
        bench.receiver.on("link.app_open")(lambda event: seen.append((event.event, event.data["type"])))
        bench.receiver.on("link.deferred_claim_attempt")(lambda event: seen.append((event.event, event.data["reason"])))
        samples = [sample for name, sample in read_samples().items() if name.count(".") == 2]
        for sample in samples:
            answers = [bench.send(sample), bench.send(sample)]
            self.assertEqual([answer.status for answer in answers], [200, 200])
            self.assertEqual([answer.outcome.kind for answer in answers], ["processed", "duplicate"])
        self.assertEqual([event for event, _ in seen], [sample["event"] for sample in samples])
        self.assertEqual(len(seen), 5)

    def test_what_is_no_signed_webhook_is_refused_and_nothing_is_done(self):
        cases = [
            ("another method", {"method": "GET"}, 405, "method_not_allowed"),
            ("a form", {"content-type": "application/x-www-form-urlencoded"}, 415, "content_type"),
            ("a type that only begins like JSON", {"content-type": "application/jsonp"}, 415, "content_type"),
            ("no content type", {"content-type": None}, 415, "content_type"),
            ("a body over the limit", {"body": "x" * (1024 * 1024 + 1)}, 413, "body_too_large"),
            ("the promise of one", {"content-length": "1048577"}, 413, "body_too_large"),
            ("no signature", {"x-linkme-signature": None}, 401, "signature_missing"),
            ("another body", {"body": b"{}"}, 401, "signature_mismatch"),
            ("no body", {"body": None}, 401, "signature_mismatch"),
        ]
        for name, changed, status, code in cases:
            with self.subTest(name):
                bench = Bench()
                bench.receiver.on("link.click")(fail("nothing is believed"))
                request = bench.signed()
                given = {"method": "POST", "body": request.body, **request.headers, **changed}
                method, body = given.pop("method"), given.pop("body")
                answer = bench.receiver.receive(method, given, body)
                self.assertEqual((answer.status, json.loads(answer.body)["error"]), (status, code))
                self.assertEqual(answer.headers.get("allow"), "POST" if status == 405 else None)
                self.assertEqual((answer.headers["content-type"], bench.told), ("application/json", []))

    def test_a_content_type_may_have_parameters_a_method_be_in_lower_case_and_a_length_be_odd(self):
        bench = Bench()
        request = bench.signed()
        headers = {**request.headers, "content-type": "Application/JSON ; charset=utf-8"}
        for length in ("1048576", "-1", "1e9", "9" * 5000, ""):
            answer = bench.receiver.receive("post", {**headers, "content-length": length}, request.body)
            self.assertEqual(answer.status, 200, length)

    def test_a_signed_body_that_is_no_envelope_is_answered_400(self):
        bodies = ["", "{", "null", "[]", '"text"', "{}", '{"id":"1"}', '{"id":1,"event":"e"}', '{"id":"","event":"e"}']
        bodies += ['{"id":"1","event":""}', '{"id":"1","event":"e","data":[]}', '{"id":"1","event":"e","ts":1}']
        bodies += ['{"id":"1","event":"e","data":{"n":NaN}}', '{"id":"1","event":"e","data":{"n":-Infinity}}']
        bodies += [b'{"id":"\xff","event":"e"}', '{"id":"1","event":"e"}'.encode("utf-16"), "[" * 200_000]
        bodies += [json.dumps({"id": "x" * 256, "event": "e"})]
        for body in bodies:
            with self.subTest(body[:50]):
                answer = Bench().send(body)
                self.assertEqual((answer.status, json.loads(answer.body)["error"]), (400, "envelope_invalid"))
                self.assertNotIn("x" * 256, answer.body.decode())

    def test_the_longest_and_the_oddest_ids_are_remembered(self):
        keys = []

        class Noting(MemoryDedupe):
            def begin(self, key, owner, lease_seconds):
                keys.append(key)
                return super().begin(key, owner, lease_seconds)

        bench = Bench(dedupe=Noting())
        bench.receiver.on_unknown(lambda event, why: None)
        for event_id in ("x" * 255, "/ü👟: " * 40, "\\ud800"):
            body = f'{{"id":"{event_id}","event":"e","app_id":"a:b"}}'
            self.assertEqual([bench.send(body).outcome.kind for _ in range(2)], ["unknown_event", "duplicate"])
        for key in keys:
            self.assertRegex(key, r"\Aa%3Ab:[!-9;-~]{1,1700}:handler\Z")

    def test_an_event_of_the_future_is_answered_200_counted_and_given_to_on_unknown_once(self):
        bench, seen = Bench(), []
        event = {"id": "1", "event": "link.shared", "data": {"by": "mail"}}
        self.assertEqual((bench.send(event).status, bench.send(event).outcome.kind), (200, "unknown_event"))
        bench.receiver.on_unknown(lambda given, why: seen.append((given, why)))
        bench.send(event)
        self.assertEqual(bench.send(event).outcome.kind, "duplicate")
        self.assertEqual(seen, [(parse_linkme_webhook_envelope(event), "type")])
        self.assertEqual((bench.receiver.counts()["unknown_event"], bench.told), (3, []))

    def test_an_event_whose_data_is_of_another_form_never_reaches_a_handler_that_is_promised_more(self):
        bench, seen = Bench(), []
        bench.receiver.on("link.click")(fail("it has no dest_url"))
        made = {**CLICK, "data": {"link_id": "lnk_1"}}
        self.assertEqual((bench.send(made).outcome.kind, len(bench.told)), ("unknown_event", 1))
        self.assertRegex(str(bench.told[0][0]), "link.click came with data of another form.*on_unknown")
        bench.receiver.on_unknown(lambda event, why: seen.append((event.data, why)))
        bench.send({**made, "id": "2"})
        self.assertEqual(seen, [(made["data"], "data")])

    def test_an_event_for_which_nobody_asked_is_answered_200_and_ignored(self):
        bench = Bench()
        bench.receiver.on("link.claim")(fail("it is a click"))
        self.assertEqual((bench.send().status, bench.send().outcome.kind), (200, "ignored"))

    def test_a_handler_that_fails_is_answered_503_told_of_and_called_again(self):
        bench = Bench()
        failures = [ConnectionError("the database of 10.0.0.7 is away"), LinkMeRetryError("busy", 90.4)]

        @bench.receiver.on("link.click")
        def handler(event):
            if failures:
                raise failures.pop(0)

        first = bench.send()
        self.assertEqual((first.status, first.headers["retry-after"], first.outcome.kind), (503, "30", "retry"))
        self.assertNotIn(b"10.0.0.7", first.body, "what an error says stays here")
        self.assertEqual([(str(error)[:12], event.id) for error, event in bench.told], [("the database", CLICK["id"])])
        second = bench.send()
        self.assertEqual((second.status, second.headers["retry-after"]), (503, "91"))
        self.assertEqual([bench.send().outcome.kind for _ in range(2)], ["processed", "duplicate"])
        self.assertEqual(bench.receiver.counts()["retry"], 2)

    def test_a_handler_that_gives_up_for_good_is_answered_200_told_of_and_not_called_again(self):
        bench, calls = Bench(), []

        @bench.receiver.on("link.click")
        def handler(event):
            calls.append(event)
            raise LinkMeFinalError("no such user")

        answer = bench.send()
        self.assertEqual((answer.status, answer.outcome.reason, len(bench.told)), (200, "no such user", 1))
        self.assertEqual((bench.send().outcome.kind, len(calls)), ("duplicate", 1))

    def test_an_event_that_comes_again_while_it_is_being_handled_is_answered_503_and_not_handled_twice(self):
        bench, inner = Bench(), []
        bench.receiver.on("link.click")(lambda event: inner.append(bench.send()))
        self.assertEqual(bench.send().status, 200)
        self.assertEqual([(one.status, one.headers["retry-after"]) for one in inner], [(503, "30")])

    def test_an_event_whose_handler_died_with_its_process_is_handled_when_the_lease_is_over(self):
        bench, calls = Bench(lease_seconds=60), []

        @bench.receiver.on("link.click")
        def handler(event):
            calls.append(event)
            if len(calls) == 1:
                raise SystemExit

        with self.assertRaises(SystemExit):
            bench.send()
        self.assertEqual((bench.send().status, len(calls)), (503, 1))
        bench.now += 60
        self.assertEqual((bench.send().status, len(calls)), (200, 2))

    def test_events_of_two_apps_with_one_id_are_two_and_after_a_week_an_id_is_new(self):
        bench, calls = Bench(), []
        bench.receiver.on("link.click")(calls.append)
        for app_id in ("shop", "other", "shop"):
            bench.send({**CLICK, "app_id": app_id})
        self.assertEqual(len(calls), 2)
        bench.now += WEEK - 1
        self.assertEqual(bench.send().outcome.kind, "duplicate")
        bench.now += 1
        self.assertEqual((bench.send().outcome.kind, len(calls)), ("processed", 3))

    def test_a_store_that_cannot_be_asked_is_answered_503_before_anything_is_done(self):
        bench = Bench(dedupe=FailingDedupe("begin"))
        bench.receiver.on("link.click")(fail("it may have been handled already"))
        self.assertEqual((bench.send().status, len(bench.told)), (503, 1))

    def test_a_store_that_cannot_be_told_is_told_of_and_does_not_change_what_was_done(self):
        done = Bench(dedupe=FailingDedupe("done"))
        done.receiver.on("link.click")(lambda event: None)
        self.assertEqual((done.send().status, len(done.told)), (200, 1))
        release = Bench(dedupe=FailingDedupe("release"))
        release.receiver.on("link.click")(fail("no"))
        self.assertEqual((release.send().status, len(release.told)), (503, 2))

    def test_a_body_that_is_no_body_is_answered_500_and_on_error_is_told_what_to_change(self):
        fixes = {"fastapi": "await request.body", "flask": "request.get_data", "django": "request.body"}
        for body in ({"id": "1"}, [], 7, object()):
            for framework, fix in [*fixes.items(), (None, "In Django pass request.body")]:
                with self.subTest(body=body, framework=framework):
                    bench = Bench()
                    answer = bench.receiver.receive("POST", bench.signed().headers, body, framework)
                    self.assertEqual((answer.status, answer.outcome.kind), (500, "misconfigured"))
                    self.assertIn("misconfigured (raw_body_parsed)", json.loads(answer.body)["message"])
                    ((error, event),) = bench.told
                    self.assertIsInstance(error, LinkMeUsageError)
                    self.assertRegex(str(error), "parsed before.*signature is over the bytes")
                    self.assertIn(fix, str(error))

    def test_whatever_holds_the_bytes_of_a_body_will_do(self):
        bench = Bench()
        request = bench.signed()
        body = request.body
        for form in (body, bytearray(body), memoryview(body), body.decode(), lambda limits: body):
            self.assertEqual(bench.receiver.receive("POST", request.headers, form).status, 200)

    def test_a_connection_that_ends_while_the_body_is_read_is_answered_400(self):
        bench = Bench()

        def read(limits):
            raise TimeoutError(f"no {limits.max_bytes} bytes")

        answer = bench.receiver.receive("POST", bench.signed().headers, read)
        self.assertEqual((answer.status, json.loads(answer.body)["error"], bench.told), (400, "body_cut", []))

    def test_without_on_error_errors_are_logged_with_the_event_and_without_body_and_secret(self):
        bench = Bench()
        receiver = Receiver(secrets=SECRET, now=lambda: bench.now)
        receiver.on("link.click")(fail("no disk"))
        request = bench.signed()
        with self.assertLogs("linkme_webhooks", "ERROR") as logs:
            receiver.receive("POST", request.headers, request.body)
        ((record),) = logs.records
        self.assertEqual(record.getMessage(), f"LinkMe receiver (link.click {CLICK['id']}): no disk")
        self.assertIsInstance(record.exc_info[1], AssertionError)
        self.assertNotIn("dest_url", logs.output[0])
        self.assertNotIn(SECRET, logs.output[0])

    def test_an_on_error_that_raises_changes_nothing(self):
        bench = Bench()
        receiver = Receiver(secrets=SECRET, now=lambda: bench.now)
        receiver.on("link.click")(fail("no disk"))
        receiver.on_error(fail("the log is full"))
        request = bench.signed()
        with self.assertLogs("linkme_webhooks", "ERROR"):
            self.assertEqual(receiver.receive("POST", request.headers, request.body).status, 503)


class MakingTest(unittest.TestCase):
    def test_registering_anything_twice_or_an_event_that_there_is_not_raises(self):
        receiver = Bench().receiver
        handler = receiver.on("link.click")(lambda event: None)
        self.assertIsNone(handler(None), "the decorator leaves the function as it is")
        receiver.on_unknown(lambda event, why: None)
        for again in (receiver.on("link.click"), receiver.on_unknown, receiver.on_error):
            with self.assertRaises(LinkMeUsageError) as raised:
                again(lambda *values: None)
            self.assertEqual(raised.exception.code, "handler_twice")
        for name in ("link.clicked", "on_error", ""):
            with self.assertRaises(LinkMeUsageError) as raised:
                receiver.on(name)
            self.assertEqual(raised.exception.code, "receiver_option", name)

    def test_an_option_without_a_bound_is_refused_when_the_receiver_is_made(self):
        names = ["tolerance", "body_timeout", "lease", "ttl", "retry_after"]
        for name in [f"{one}_seconds" for one in names] + ["max_body_bytes"]:
            for value in (0, -1, float("inf"), float("nan"), "5m", None, True):
                with self.subTest(name, value=value):
                    with self.assertRaises(LinkMeUsageError) as raised:
                        Receiver(secrets=SECRET, **{name: value})
                    self.assertEqual(raised.exception.code, "receiver_option")
                    self.assertIn(name, str(raised.exception))

    def test_the_package_alone_imports_no_framework_and_none_is_needed(self):
        code = (
            "import sys, linkme_webhooks\n"
            "print(sorted({name.split('.')[0] for name in sys.modules} & {'starlette', 'fastapi', 'flask', 'django', 'cryptography'}))"
        )
        env = {"PYTHONPATH": str(PACKAGE)}
        output = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        self.assertEqual(output, "[]\n")


class AsyncTest(unittest.TestCase):
    def test_coroutines_are_waited_for_and_the_rest_runs_in_threads(self):
        threads, seen = [], []

        async def secrets():
            await asyncio.sleep(0)
            return SECRET

        class Store:
            """As of a driver for asyncio."""

            def __init__(self):
                self.memory = MemoryDedupe()

            async def begin(self, key, owner, lease_seconds):
                return self.memory.begin(key, owner, lease_seconds)

            async def done(self, key, ttl_seconds):
                self.memory.done(key, ttl_seconds)

            async def release(self, key, owner):
                self.memory.release(key, owner)

        async def main():
            bench = Bench(secrets=secrets, dedupe=Store())

            @bench.receiver.on("link.click")
            async def handler(event):
                await asyncio.sleep(0)
                seen.append(threading.current_thread())

            bench.receiver.on_unknown(lambda event, why: threads.append(threading.current_thread()))
            kinds = [(await bench.send_async()).outcome.kind for _ in range(2)]
            kinds.append((await bench.send_async({"id": "1", "event": "e"})).outcome.kind)
            return kinds, bench.told

        self.assertEqual(asyncio.run(main()), (["processed", "duplicate", "unknown_event"], []))
        self.assertEqual(seen, [threading.main_thread()])
        self.assertNotEqual(threads, [threading.main_thread()])
        self.assertEqual(len(threads), 1)

    def test_of_two_deliveries_at_once_one_is_handled_and_the_other_comes_again(self):
        async def main():
            bench, calls = Bench(), []
            begun, go = asyncio.Event(), asyncio.Event()

            @bench.receiver.on("link.click")
            async def handler(event):
                calls.append(event)
                begun.set()
                await go.wait()

            first = asyncio.ensure_future(bench.send_async())
            await begun.wait()
            second = await bench.send_async()
            go.set()
            return (await first).status, second.status, len(calls)

        self.assertEqual(asyncio.run(main()), (200, 503, 1))

    def test_a_coroutine_that_fails_is_answered_as_a_function_that_does(self):
        async def main():
            bench = Bench()

            @bench.receiver.on("link.click")
            async def handler(event):
                raise LinkMeRetryError("busy", 5)

            answer = await bench.send_async()
            return answer.status, answer.headers["retry-after"], len(bench.told)

        self.assertEqual(asyncio.run(main()), (503, "5", 1))

    def test_a_coroutine_where_nobody_can_wait_is_answered_503_and_on_error_is_told_what_to_change(self):
        bench = Bench()

        @bench.receiver.on("link.click")
        async def handler(event):
            raise AssertionError("it is never run")

        self.assertEqual(bench.send().status, 503)
        ((error, _),) = bench.told
        self.assertEqual(error.code, "handler_async")
        self.assertIn("def instead of async def", str(error))
