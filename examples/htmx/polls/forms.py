"""What a visitor may send."""

from django import forms

from polls.models import Choice


class VoteForm(forms.Form):
    """A vote for one choice."""

    choice = forms.ModelChoiceField(
        Choice.objects.all(), widget=forms.RadioSelect, empty_label=None
    )
