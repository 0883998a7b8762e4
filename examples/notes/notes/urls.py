import django
from django import forms
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from notes.models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["text"]


@require_http_methods(["GET", "HEAD", "POST"])
def notes(request):
    form = NoteForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("/")
    found = {"form": form, "notes": Note.objects.all()[:50], "version": django.get_version()}
    return render(request, "notes/notes.html", found, status=422 if form.errors else 200)


urlpatterns = [path("", notes)]
