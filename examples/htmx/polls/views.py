"""A poll: its page, and the websocket that htmx holds for it."""

from django.db.models import F
from django.shortcuts import render
from django.template.loader import render_to_string

from polls.forms import VoteForm
from polls.models import Choice
from ws4redis.views import websocket

CHANNEL = "poll"


def page(request):
    return render(request, "polls/page.html", {"form": VoteForm()})


@websocket
def vote(request, websocket):
    """Take votes, and show the results to everybody whenever somebody has voted."""
    websocket.subscribe(CHANNEL)
    websocket.send(results())
    for event in websocket.events():
        if event.channel is None:
            take(websocket, event.json(dict))
        else:
            websocket.send(results())


def take(websocket, fields):
    """Count a vote; htmx sends the fields of the form as JSON."""
    form = VoteForm(fields)
    if form.is_valid():
        choice = form.cleaned_data["choice"]
        Choice.objects.filter(pk=choice.pk).update(votes=F("votes") + 1)
        websocket.publish(CHANNEL, "voted")
    websocket.send(render_to_string("polls/answer.html", {"form": form}))


def results():
    return render_to_string("polls/results.html", {"choices": Choice.objects.all()})
