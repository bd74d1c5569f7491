from django.apps import AppConfig


class ChallengeApp(AppConfig):
    name = "challenge"
    label = "challenge"
    verbose_name = "FLAIR challenge platform"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from allauth.account.signals import email_confirmed, password_reset

        from challenge import checks  # noqa: F401  (registers the system checks)
        from challenge.services.accounts import connections
        from challenge.services.teams import mailboxes

        email_confirmed.connect(mailboxes.bind_after_confirmation)
        password_reset.connect(connections.drop_all)
