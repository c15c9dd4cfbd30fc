"""Three chats, to everybody, to one user, to a group, and a board. Each view pushes by itself."""

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import JsonResponse
from django.utils import timezone
from django.views.generic import FormView

from chatserver.forms import MessageForm, UserMessageForm
from chatserver.models import Note
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.redis_store import SELF

GROUP = "chatusers"


class Chat(FormView):
    """A page that shows messages of one audience, and posts to it."""

    template_name = "chat.html"
    form_class = MessageForm
    facility = "foobar"
    title = ""
    flags = ""

    def get_context_data(self, **kwargs):
        address = f"{self.facility}?{self.flags}"
        return super().get_context_data(title=self.title, address=address, **kwargs)

    def post(self, request, *args, **kwargs):
        if not request.user.is_authenticated:
            raise PermissionDenied
        return super().post(request, *args, **kwargs)

    def form_valid(self, form):
        message = {
            "sender": self.request.user.get_username(),
            "text": form.cleaned_data["message"],
            "time": timezone.now(),
        }
        try:
            self.publisher(form).publish_message(message)
        except BusError:
            return JsonResponse({"error": "The message was not sent, try again."}, status=503)
        return JsonResponse({})

    def form_invalid(self, form):
        error = next(iter(form.errors.values()))[0]
        return JsonResponse({"error": error}, status=400)

    def publisher(self, form):
        raise NotImplementedError


class BroadcastChat(Chat):
    """Everybody who looks at the page reads; users write."""

    title = "Everybody"
    flags = "subscribe-broadcast"

    def publisher(self, form):
        return RedisPublisher(facility=self.facility, broadcast=True)


class UserChat(LoginRequiredMixin, Chat):
    """The recipient and the sender read."""

    title = "One user"
    flags = "subscribe-user"
    form_class = UserMessageForm

    def publisher(self, form):
        users = [form.cleaned_data["recipient"], SELF]
        return RedisPublisher(facility=self.facility, users=users, request=self.request)


class GroupChat(LoginRequiredMixin, Chat):
    """Members of the group read and write."""

    title = f"Group {GROUP}"
    flags = "subscribe-group"

    def dispatch(self, request, *args, **kwargs):
        user = request.user
        if user.is_authenticated and not user.groups.filter(name=GROUP).exists():
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def publisher(self, form):
        return RedisPublisher(facility=self.facility, groups=[GROUP])


class Board(BroadcastChat):
    """Notes that stay. The page shows them, and its websocket goes on from where the page was."""

    template_name = "board.html"
    facility = "board"
    title = "Board"

    def get_context_data(self, **kwargs):
        notes = [note.as_message() for note in Note.objects.order_by("pk")]
        return super().get_context_data(notes=notes, **kwargs)

    @transaction.atomic
    def form_valid(self, form):
        note = Note(sender=self.request.user.get_username(), text=form.cleaned_data["message"])
        note.save()
        self.publisher(form).publish_message(note.as_message(), on_commit=True)
        return JsonResponse({})
