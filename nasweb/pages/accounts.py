"""Log in and out, change the password, switch the team."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse_lazy
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from nasweb import access

_login_page = auth.LoginView.as_view(
    template_name="accounts/login.html", redirect_authenticated_user=True
)


@login_not_required
def log_in(request: HttpRequest) -> HttpResponseBase:
    """Ask for name and password.  A part of a page that is renewed after the session
    has ended loads the whole page anew, and so comes here."""
    if "HX-Request" in request.headers:
        return HttpResponseClientRefresh()
    return _login_page(request)


@require_POST
def switch_team(request: HttpRequest) -> HttpResponse:
    """Show the work of another of the user's teams from here on."""
    chosen = request.POST.get("team", "")
    team = next((t for t in access.teams_of(request) if str(t.pk) == chosen), None)
    if team is None:
        messages.error(request, "You are in no such team; choose one of the menu.")
    else:
        request.session[access.SESSION_KEY] = team.pk
    return redirect("home")


urlpatterns = [
    path("login/", log_in, name="login"),
    # Who is out already is sent to the log-in page like everybody who leaves.
    path("logout/", login_not_required(auth.LogoutView.as_view()), name="logout"),
    path(
        "password/",
        auth.PasswordChangeView.as_view(
            template_name="accounts/password.html",
            success_url=reverse_lazy("password_change_done"),
        ),
        name="password_change",
    ),
    path(
        "password/changed/",
        auth.PasswordChangeDoneView.as_view(template_name="accounts/changed.html"),
        name="password_change_done",
    ),
]
