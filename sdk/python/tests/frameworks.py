"""The three frameworks behind one face: each serves a receiver at a path, and is sent requests without a network.

``Served.send`` gives status, headers (names in lower case) and body. ``spoil`` registers what users do wrong: something that
reads the body before the adapter does.
"""

import asyncio
import io
import sys
import types

PATH = "/webhooks/linkme"


class Served:
    """An app of WSGI or ASGI."""

    def __init__(self, app, is_async):
        self.app = app
        self.is_async = is_async

    def send(self, headers, body, method="POST", chunks=None, declared=None, is_terminated=False):
        """A request, and its answer.

        ``chunks``: sent without a length. ``declared``: the length that is told, when it is not the true one.
        ``is_terminated``: the server of WSGI ends the body by itself, as Gunicorn does; it has to where there is no length.
        """
        length = [] if chunks is not None else [("content-length", str(len(body) if declared is None else declared))]
        pairs = list(headers.items() if isinstance(headers, dict) else headers) + length
        parts = chunks if chunks is not None else [body]
        if self.is_async:
            return asyncio.run(self._ask(method, pairs, parts))
        return self.call(method, pairs, io.BytesIO(b"".join(parts)), is_terminated or chunks is not None)

    async def _ask(self, method, pairs, parts):
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
        messages.append({"type": "http.request", "body": parts[-1], "more_body": False})
        if parts[-1] is None:
            messages[-1] = {"type": "http.disconnect"}
        sent = []

        async def receive():
            return messages.pop(0) if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "server": ("receiver.test", 80),
            "client": ("127.0.0.1", 1),
        }
        await self.app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])

    def call(self, method, pairs, body, is_terminated=False):
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": PATH,
            "QUERY_STRING": "",
            "SERVER_NAME": "receiver.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": is_terminated,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in pairs:
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            # As servers do: PEP 3333 knows one value for each name.
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        answered = []

        def start_response(status, headers, exc_info=None):
            answered.append((int(status.split(" ")[0]), {name.lower(): value for name, value in headers}))

        result = self.app(environ, start_response)
        answer = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        return (*answered[0], answer)


def serve_fastapi(receiver, spoil=None):
    from fastapi import FastAPI
    from linkme_webhooks.fastapi import to_fastapi_endpoint

    endpoint = to_fastapi_endpoint(receiver)
    app = FastAPI()
    if spoil is not None:
        from starlette.requests import Request

        inner = endpoint

        async def endpoint(request: Request):
            await spoil(request)
            return await inner(request)

    app.add_api_route(PATH, endpoint, methods=["GET", "POST"])
    return Served(app, True)


def serve_starlette(receiver):
    from linkme_webhooks.fastapi import to_fastapi_endpoint
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Served(Starlette(routes=[Route(PATH, to_fastapi_endpoint(receiver), methods=["GET", "POST"])]), True)


def serve_flask(receiver, spoil=None, **config):
    from flask import Flask
    from linkme_webhooks.flask import to_flask_view

    app = Flask(__name__)
    app.config.update(config)
    if spoil is not None:
        app.before_request(spoil)
    app.add_url_rule(PATH, view_func=to_flask_view(receiver), methods=["GET", "POST"])
    return Served(app, False)


def serve_django(receiver, spoil=None, **settings):
    from linkme_webhooks.django import to_django_view

    view = to_django_view(receiver)
    urls = django_urls(lambda path: [path(PATH[1:], view)])
    middleware = ["django.middleware.csrf.CsrfViewMiddleware"]
    if spoil is not None:
        urls.spoil = lambda get_response: lambda request: (spoil(request), get_response(request))[1]
        middleware.append(f"{urls.__name__}.spoil")
    return Served(open_django(ROOT_URLCONF=urls.__name__, MIDDLEWARE=middleware, **settings), False)


def django_urls(make):
    """A module of URLs, as projects have one in a file."""
    from django.urls import path

    urls = types.ModuleType("linkme_test_urls")
    urls.urlpatterns = make(path)
    sys.modules[urls.__name__] = urls
    return urls


def open_django(**settings):
    """An app of WSGI with settings of its own: those of one process are otherwise made once."""
    import django
    from django.conf import settings as shared
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings
    from django.urls import clear_url_caches

    if not shared.configured:
        shared.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of no use here", INSTALLED_APPS=[])
        django.setup()
    override = override_settings(**settings)
    override.enable()
    clear_url_caches()
    try:
        handler = WSGIHandler()
    finally:
        override.disable()

    def app(environ, start_response):
        with override_settings(**settings):
            clear_url_caches()
            return handler(environ, start_response)

    return app
