"""For Django. Imports it, which the program that uses this has."""

from typing import Callable

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.views.decorators.csrf import csrf_exempt

from .raw_body import BodyTooLarge, missing_body_error
from .receiver import Receiver


def to_django_view(receiver: Receiver) -> Callable[[HttpRequest], HttpResponse]:
    """A view, without the check for CSRF tokens, which webhooks have none of. It takes ``request.body``.

    Django reads no body above ``DATA_UPLOAD_MAX_MEMORY_SIZE`` (2.5 MB if it is not set). Handlers are ``def`` and no
    coroutines. A body that something else has read is answered 500, and ``on_error`` is told what to change.

    Use it as ``path("webhooks/linkme", to_django_view(receiver))``.
    """

    def linkme_webhook(request: HttpRequest) -> HttpResponse:
        method = request.method or ""
        received = receiver.receive(method, request.headers, lambda _limits: _read(request), "django")
        response = HttpResponse(received.body, status=received.status)
        for name, value in received.headers.items():
            response[name] = value
        return response

    return csrf_exempt(linkme_webhook)


def _read(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig:
        raise BodyTooLarge from None
    except RawPostDataException:
        raise missing_body_error("django") from None
