"""The sign-up form: it takes as long for an address with an account as for one without."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import SignupForm
from allauth.socialaccount.forms import SignupForm as SocialSignupForm
from django.http import HttpRequest

from challenge.services.accounts import passwords


class SignUpForm(SignupForm):  # type: ignore[misc]
    """allauth's form, which hashes the password of a new account alone."""

    def try_save(self, request: HttpRequest) -> Any:
        """Create the account, or write to the owner of the one that exists."""
        if self.account_already_exists:
            passwords.spend_a_hash(self.cleaned_data["password1"])
        return super().try_save(request)


class ProviderSignUpForm(SignUpForm, SocialSignupForm):  # type: ignore[misc]
    """The same form for who comes from an OpenID Connect provider.

    It asks for a password, too: changes of an account are confirmed with it, and people sign in
    with it while the provider does not answer.
    """
