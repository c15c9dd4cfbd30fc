"""Websocket views that do what people do in views, and a middleware."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from django import forms
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, require_GET, require_POST

from ws4redis.views import WebSocketView, websocket, websocket_loop
from ws4redis.views.samples import echo
from ws4redis.views.urls import websocket_reverse


def undecorated(request: Any) -> None:
    request.websocket.send("undecorated")


class GroupForm(forms.ModelForm):
    class Meta:
        model = Group
        fields = ["name"]


@websocket
def add_groups(request: Any, websocket: Any) -> None:
    while (data := websocket.receive_json()) is not None:
        form = GroupForm(data)
        if form.is_valid():
            form.save()
        websocket.send_json(form.errors)


@websocket
def remember(request: Any, websocket: Any, what: str) -> None:
    """Put something into the session, unless it is nothing."""
    request.session.get("page")
    if what != "nothing":
        request.session["websocket"] = what
    for message in websocket:
        websocket.send(message)


@websocket
def look_first(request: Any, websocket: Any) -> None:
    """Choose a subprotocol after a look whether the websocket has ended."""
    if not websocket.closed:
        websocket.accept(subprotocol="chat")
    websocket.accept()
    websocket.send("open")


@websocket
def close(request: Any, websocket: Any, code: int) -> None:
    try:
        websocket.close(code)
    except ValueError as error:
        websocket.send(str(error))


@websocket
def close_elsewhere(request: Any, websocket: Any) -> None:
    websocket.accept()
    thread = threading.Thread(target=websocket.close, args=(4001, "from there"))
    thread.start()
    assert websocket.receive() is None
    thread.join()


@websocket
def redirect(request: Any, websocket: Any) -> HttpResponseRedirect:
    return HttpResponseRedirect("/elsewhere/?token=secret")


@websocket
def language(request: Any, websocket: Any) -> None:
    websocket.send(str(translation.get_language()))


@websocket
def place(request: Any, websocket: Any, name: str) -> None:
    websocket.send_json([name, request.path])


@websocket
def known(request: Any, websocket: Any) -> None:
    """Tell what is known of the request."""
    websocket.send_json({name: type(value).__name__ for name, value in request.META.items()})


@websocket
def names(request: Any, websocket: Any) -> None:
    """Tell where a page is, and a websocket."""
    websocket.send_json([reverse("page"), websocket_reverse("names", request)])


@never_cache
@websocket_loop
def loop(request: Any, websocket: Any) -> None:
    websocket.send(websocket.receive())


class LoggedIn(LoginRequiredMixin, WebSocketView):
    def on_open(self) -> HttpResponse | None:
        return HttpResponse("full", status=409) if self.kwargs["room"] > 9 else None

    def on_message(self, message: Any) -> None:
        self.websocket.send(f"{self.request.user} in {self.kwargs['room']}: {message}")


@method_decorator(never_cache, name="dispatch")
class Uncached(WebSocketView):
    def on_message(self, message: Any) -> None:
        self.websocket.send(message)


urlpatterns = [
    path("undecorated/", undecorated),
    path("groups/", add_groups),
    path("remember/<what>/", remember),
    path("look-first/", look_first),
    path("räume/<name>/", place),
    path("known/", known),
    path("names/", names, name="names"),
    path("close/<int:code>/", close),
    path("close-elsewhere/", close_elsewhere),
    path("redirect/", redirect),
    path("exempt/", csrf_exempt(echo)),
    path("get/", require_GET(echo)),
    path("post/", require_POST(echo)),
    path("never-cached/", never_cache(echo)),
    path("cached/", cache_page(60)(echo)),
    path("zipped/", gzip_page(echo)),
    path("condition/", condition(etag_func=lambda request: "as-ever")(echo)),
    path("loop/", loop),
    path("room/", undecorated),
    path("room/<int:room>/", LoggedIn.as_view()),
    path("uncached/", Uncached.as_view()),
    path("ws/view/", echo),
    *i18n_patterns(path("language/", language)),
]


OTHER_PAGES = (path("elsewhere/", undecorated, name="page"),)


class TellingMiddleware:
    """Tells what views have answered; has other pages, or fails, as the query says."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "other-pages" in request.GET:
            vars(request)["urlconf"] = OTHER_PAGES
        if "before" in request.GET:
            raise RuntimeError("secret")
        response = self._get_response(request)
        sys.stderr.write(f"Answered {request.path} with {response.status_code}.\n")
        if "after" in request.GET:
            raise RuntimeError("secret")
        return response
