"""The form that asks for a re-score."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from challenge.models import GroundTruth, Phase, Rescore, TaskSpec


class RescoreForm(forms.Form):
    """Under which labels and which task, and from what."""

    labels = forms.ModelChoiceField(
        label=_("Labels"), queryset=GroundTruth.objects.none(), empty_label=None
    )
    task = forms.ModelChoiceField(
        label=_("Task: classes and policies"), queryset=TaskSpec.objects.none(), empty_label=None
    )
    method = forms.ChoiceField(
        label=_("Score"), choices=Rescore.Method.choices, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, phase: Phase, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        truth = phase.ground_truth
        named = GroundTruth.objects.filter(challenge=phase.challenge_id)
        named = named.select_related("challenge").defer("patches")
        tasks = TaskSpec.objects.filter(challenge=phase.challenge_id)
        tasks = tasks.select_related("challenge").order_by("-version")
        self.fields["labels"].queryset = (  # type: ignore[attr-defined]
            named.filter(name=truth.name) if truth is not None else named
        ).order_by("-version")
        self.fields["task"].queryset = tasks  # type: ignore[attr-defined]
        self.fields["labels"].initial = truth.pk if truth is not None else None
        newest = tasks.first()
        self.fields["task"].initial = newest.pk if newest is not None else None
        self.fields["method"].initial = Rescore.Method.EVIDENCE.value
