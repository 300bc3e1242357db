"""The three adapters against the frameworks themselves: the same requests have the same answers in each of them."""

import asyncio
import io
import json
import unittest
from importlib.metadata import version

from .frameworks import serve_django, serve_fastapi, serve_flask, serve_starlette
from .support import CLICK, SECRET, Bench

LIMIT = 1024 * 1024
SERVERS = [serve_fastapi, serve_starlette, serve_flask, serve_django]


class AdaptersTest(unittest.TestCase):
    def each(self, servers=SERVERS, **options):
        for serve in servers:
            with self.subTest(serve.__name__):
                bench = Bench(**options)
                yield bench, serve(bench.receiver)

    def test_a_signed_event_is_handled_once_and_answered_with_json(self):
        for bench, served in self.each():
            seen = []
            bench.receiver.on("link.click")(lambda event: seen.append(event.data["dest_url"]))
            request = bench.signed({**CLICK, "note": "Größe 👟"})
            status, headers, body = served.send(request.headers, request.body)
            self.assertEqual((status, headers["content-type"]), (200, "application/json"))
            self.assertEqual(json.loads(body), {"outcome": "processed", "id": CLICK["id"]})
            self.assertEqual(json.loads(served.send(request.headers, request.body)[2])["outcome"], "duplicate")
            self.assertEqual(seen, ["https://shop.example/"])

    def test_what_is_no_signed_webhook_is_refused(self):
        for bench, served in self.each():
            request = bench.signed()
            good, body = request.headers, request.body
            without = {name: value for name, value in good.items() if name != "x-linkme-signature"}
            cases = [
                ("GET", served.send(good, b"", method="GET"), 405),
                ("a form", served.send({**good, "content-type": "application/x-www-form-urlencoded"}, body), 415),
                ("no type", served.send({n: v for n, v in good.items() if n != "content-type"}, body), 415),
                ("too large", served.send(good, b"x" * (LIMIT + 1)), 413),
                ("no signature", served.send(without, body), 401),
                ("forged", served.send(good, body + b" "), 401),
                ("twice", served.send([*good.items(), ("X-LinkMe-Signature", good["x-linkme-signature"])], body), 401),
                ("no body", served.send(good, b""), 401),
            ]
            for name, (status, headers, answer), expected in cases:
                self.assertEqual(status, expected, name)
                self.assertIn("error", json.loads(answer), name)
                self.assertEqual(headers.get("allow"), "POST" if expected == 405 else None)
            signed = bench.signed("{")
            self.assertEqual(served.send(signed.headers, signed.body)[0], 400)
            bench.now += 301
            self.assertEqual(served.send(good, body)[0], 401, "replayed")
            self.assertEqual(bench.told, [])

    def test_a_handler_that_fails_is_answered_503_with_retry_after(self):
        for bench, served in self.each():

            @bench.receiver.on("link.click")
            def handler(event):
                raise ConnectionError("no database")

            request = bench.signed()
            status, headers, _ = served.send(request.headers, request.body)
            self.assertEqual((status, headers["retry-after"]), (503, "30"))

    def test_a_body_of_the_largest_size_is_read_whole(self):
        for bench, served in self.each():
            event = {"id": "1", "event": "e", "data": {"x": ""}}
            event["data"]["x"] = "x" * (LIMIT - len(bench.signed(event).body))
            request = bench.signed(event)
            self.assertEqual(len(request.body), LIMIT)
            self.assertEqual(served.send(request.headers, request.body)[0], 200)

    def test_a_body_of_no_told_length_is_read_to_the_limit_and_not_beyond(self):
        # Django reads none of it over WSGI.
        for bench, served in self.each([serve_fastapi, serve_starlette, serve_flask]):
            request = bench.signed()
            chunks = [request.body[:10], request.body[10:]]
            self.assertEqual(served.send(request.headers, b"", chunks=chunks)[0], 200)
            self.assertEqual(served.send(request.headers, b"", chunks=[b"x" * LIMIT, b"x", b"x"])[0], 413)

    def test_a_body_that_is_cut_is_answered_400(self):
        for bench, served in self.each([serve_fastapi, serve_starlette]):
            request = bench.signed()
            status, _, body = served.send(request.headers, b"", chunks=[request.body[:10], None])
            self.assertEqual((status, json.loads(body)["error"]), (400, "body_cut"))
        for bench, served in self.each([serve_flask]):
            request = bench.signed()
            for is_terminated in (False, True):
                told = {"declared": len(request.body), "is_terminated": is_terminated}
                status, _, body = served.send(request.headers, request.body[:10], **told)
                self.assertEqual((status, json.loads(body)["error"]), (400, "body_cut"))

    def test_a_body_that_takes_too_long_is_answered_408(self):
        for bench, served in self.each([serve_fastapi], body_timeout_seconds=0.01):
            request = bench.signed()

            async def ask():
                sent = []

                async def receive():
                    await asyncio.Event().wait()

                async def send(message):
                    sent.append(message)

                pairs = [(name.encode(), value.encode()) for name, value in request.headers.items()]
                path = "/webhooks/linkme"
                scope = {"type": "http", "method": "POST", "path": path, "headers": pairs, "query_string": b""}
                await served.app(scope, receive, send)
                return sent[0]["status"]

            self.assertEqual(asyncio.run(ask()), 408)

    def test_a_connection_that_breaks_is_answered_400(self):
        class Broken(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                raise ConnectionResetError

        for bench, served in self.each([serve_flask, serve_django]):
            request = bench.signed()
            told = [*request.headers.items(), ("content-length", "10")]
            status, _, body = served.call("POST", told, io.BufferedReader(Broken()))
            self.assertEqual((status, json.loads(body)["error"], bench.told), (400, "body_cut", []))


class SpoiledTest(unittest.TestCase):
    """Somebody has read the body before the adapter gets it."""

    def check(self, serve, spoil, fix, **how):
        bench = Bench()
        request = bench.signed()
        status, _, body = serve(bench.receiver, spoil).send(request.headers, request.body, **how)
        self.assertEqual((status, json.loads(body)["error"]), (500, "misconfigured"))
        ((error, _),) = bench.told
        self.assertEqual(error.code, "raw_body_missing")
        self.assertIn(fix, str(error))
        self.assertNotIn(SECRET, str(error))

    def check_harmless(self, serve, spoil):
        bench = Bench()
        request = bench.signed()
        self.assertEqual(serve(bench.receiver, spoil).send(request.headers, request.body)[0], 200)
        self.assertEqual(bench.told, [])

    def test_in_fastapi_a_stream_that_was_read_is_told_of_and_json_is_harmless(self):
        async def read(request):
            async for _ in request.stream():
                pass

        async def parse(request):
            await request.json()

        self.check(serve_fastapi, read, "with no model or dict as a parameter")
        self.check_harmless(serve_fastapi, parse)

    def test_in_flask_a_stream_that_was_read_is_told_of_and_json_is_harmless(self):
        from flask import request

        for read in (
            lambda: request.get_json(cache=False) and None,
            lambda: request.get_data(cache=False) and None,
            lambda: request.stream.read() and None,
        ):
            for is_terminated in (False, True):
                self.check(serve_flask, read, "request.get_data(), and not request.json", is_terminated=is_terminated)
        for parse in (lambda: request.get_json() and None, lambda: request.get_data() and None, lambda: request.form and None):
            self.check_harmless(serve_flask, parse)

    def test_in_django_a_stream_that_was_read_is_told_of_and_request_body_is_harmless(self):
        self.check(serve_django, lambda request: request.read(10), "pass request.body, and not json.loads(request.body)")
        self.check_harmless(serve_django, lambda request: json.loads(request.body))
        self.check_harmless(serve_django, lambda request: request.POST)


class LimitsTest(unittest.TestCase):
    def test_a_smaller_limit_of_the_framework_is_answered_413_as_well(self):
        # Werkzeug before 2.3 heeds its limit for forms alone.
        is_old = tuple(int(part) for part in version("werkzeug").split(".")[:2]) < (2, 3)
        cases = [
            (serve_flask, {"MAX_CONTENT_LENGTH": 50}, 200 if is_old else 413),
            (serve_django, {"DATA_UPLOAD_MAX_MEMORY_SIZE": 50}, 413),
        ]
        for serve, settings, expected in cases:
            with self.subTest(serve.__name__):
                bench = Bench()
                request = bench.signed()
                self.assertEqual(serve(bench.receiver, **settings).send(request.headers, request.body)[0], expected)

    def test_in_fastapi_handlers_may_be_coroutines(self):
        bench, seen = Bench(), []

        @bench.receiver.on("link.click")
        async def handler(event):
            await asyncio.sleep(0)
            seen.append(event.id)

        request = bench.signed()
        self.assertEqual(serve_fastapi(bench.receiver).send(request.headers, request.body)[0], 200)
        self.assertEqual(seen, [CLICK["id"]])
