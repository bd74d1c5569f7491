"""Django's settings: the only module that reads ``env``, except for the embedded servers' folders.

Every variable read here has a heading in docs/settings.md (a test compares the two). Longer than
400 lines, because Django reads one module of settings and each variable has its reason beside it.
"""

from __future__ import annotations

import importlib.util
from email.utils import formataddr
from pathlib import Path
from typing import Any

import django_stubs_ext
import structlog
from csp.constants import NONE, SELF

from challenge import env
from challenge.config import WEB_THREADS, redis_servers, sentry
from challenge.embedded.data_folder import (
    ROOT,
    DataFolder,
    data_folder,
    default_folder,
    found_postgres_programs,
    secret_in,
)
from challenge.services.task_queue import Queue, TaskName

MIB = 2**20

# Lets classes of Django be written with their type arguments: ModelAdmin[Phase].
django_stubs_ext.monkeypatch()

# --- What this process is part of ---------------------------------------------------------------

DATA_DIR = data_folder()
EMBEDDED = not env.secret("DATABASE_URL", default="")
DEBUG = env.flag("DEBUG", default=False)


SECRET_KEY = env.secret(
    "SECRET_KEY", default=secret_in(DATA_DIR / "secret-key") if EMBEDDED else None
)
if not DEBUG:
    env.check_key("SECRET_KEY", SECRET_KEY)
# Signs receipts; kept apart from SECRET_KEY so that one can be changed without the other.
RECEIPT_KEY = env.secret("RECEIPT_KEY", default="")

SITE_URL = (env.text("SITE_URL") or "http://localhost:8000").rstrip("/")
_site = env.take_apart("SITE_URL", SITE_URL, schemes=("http", "https"))
SITE_IS_HTTPS = _site.scheme == "https"
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS", default=tuple(dict.fromkeys([_site.host, "localhost", "127.0.0.1", "[::1]"]))
)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
# Whom people write to and where they talk, linked at the foot of every page.
CONTACT_EMAIL = env.text("CONTACT_EMAIL")
FORUM_URL = env.text("FORUM_URL")
# What this site is called, who runs it, and their logo: at the head and the foot of every page.
SITE_NAME = env.text("SITE_NAME", default="FLAIR")
ORGANISATION_NAME = env.text("ORGANISATION_NAME")
ORGANISATION_URL = env.text("ORGANISATION_URL")
LOGO_FILE = env.file("LOGO_FILE", suffixes=(".svg", ".png", ".webp"))
# Set by the demonstration alone: its mails lie there, and a page shows them to anyone.
DEMO_MAILS_DIR = env.folder("DEMO_MAILS_DIR")
if FORUM_URL:
    env.take_apart("FORUM_URL", FORUM_URL, schemes=("http", "https"))
if ORGANISATION_URL:
    env.take_apart("ORGANISATION_URL", ORGANISATION_URL, schemes=("http", "https"))

# --- The applications ---------------------------------------------------------------------------

INSTALLED_APPS = [
    "challenge",  # first: its templates override those of the others
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",  # always: an account's connections go with it, also once it is off
]

MIDDLEWARE = [
    "challenge.config.request_metrics.RequestMetricsMiddleware",
    "challenge.config.request_log.RequestLogMiddleware",
    "challenge.web.middleware.SiteUrlMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "challenge.api.head.HeadMiddleware",
    "challenge.api.problems.ProblemMiddleware",
    "challenge.api.etags.EtagMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "challenge.web.middleware.ViewerMiddleware",
    "challenge.config.maintenance.MaintenanceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "challenge.config.urls"
WSGI_APPLICATION = "challenge.config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "challenge.web.context.shell",
            ]
        },
    }
]

# --- PostgreSQL, the one database ---------------------------------------------------------------


# How long a request waits for a connection, and for the answer to one query.
DATABASE_WAIT_S = env.integer("DATABASE_WAIT_S", default=5, minimum=1)
DATABASE_ANSWER_S = env.integer("DATABASE_ANSWER_S", default=60, minimum=1)
TCP_LIMITS = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


def _pool_size() -> int:
    """Connections of a web process: one for each thread, and for the two that store uploads."""
    threads = env.integer("WEB_THREADS", default=WEB_THREADS, minimum=1)
    size = env.integer("DATABASE_POOL_SIZE", default=threads + 2)
    if size < threads:
        raise env.BadSetting(
            "DATABASE_POOL_SIZE",
            f"is {size} and WEB_THREADS is {threads}",
            "allowed are sizes from WEB_THREADS on: a thread without a connection answers nobody",
        )
    return size


def _database() -> dict[str, Any]:
    schemes = ("postgresql", "postgres")
    address = env.address("DATABASE_URL", schemes=schemes) or env.take_apart(
        "DATABASE_URL", DataFolder(default_folder()).database_url, schemes=schemes
    )
    options: dict[str, Any] = dict(address.options)
    # A folder of sockets travels as ?host=, because it has slashes.
    host = options.pop("host", address.host)
    name = address.path.lstrip("/")
    if not name:
        raise env.BadSetting("DATABASE_URL", "names no database", "end it with /NAME")
    # Connections are pooled for the web's threads alone: a pool does not survive a fork, and
    # Celery forks. challenge.config.wsgi asks for it.
    pooled = env.flag("DATABASE_POOL", default=False)
    # A server that went away without a word is noticed in half a minute, not in two hours.
    options = TCP_LIMITS | {"connect_timeout": str(DATABASE_WAIT_S)} | options
    if pooled:
        options["pool"] = {"min_size": 1, "max_size": _pool_size()}
    return {
        "ENGINE": "challenge.config.postgresql",
        "NAME": name,
        "USER": address.user,
        "PASSWORD": address.password,
        "HOST": host,
        "PORT": address.port or "",
        "OPTIONS": options,
        "CONN_MAX_AGE": 0 if pooled else 60,
        "CONN_HEALTH_CHECKS": True,
        # A cursor that outlives its transaction is on another connection with the next query.
        "DISABLE_SERVER_SIDE_CURSORS": env.flag("DATABASE_POOLER", default=False),
    }


DATABASES = {"default": _database()}
# Programs of PostgreSQL beside the system's: a backup takes pg_dump of the server's version.
POSTGRESQL_PROGRAMS = found_postgres_programs()

# --- Redis or Valkey: broker and cache -----------------------------------------------------------

# Certificates of servers with TLS are verified, against these authorities or the system's.
_redis_ca = env.folder("REDIS_CA")
_redis = redis_servers.read(
    "REDIS_URL",
    env.secret("REDIS_URL", default="") or DataFolder(default_folder()).redis_url,
    ca=_redis_ca,
)
# A server of its own lets the cache forget what it has no room for; the broker must not.
_cache = redis_servers.read(
    "CACHE_URL", env.secret("CACHE_URL", default="") or _redis.url, ca=_redis_ca
)
REDIS_URL = _redis.url

CACHES = {
    "default": {
        "BACKEND": "challenge.config.cache.SiteCache",
        "LOCATION": _cache.url,
        "KEY_PREFIX": "flair",
        "OPTIONS": {
            "timeout_s": env.integer("CACHE_TIMEOUT_S", default=1, minimum=1),
            **_cache.cache_options(),
        },
    }
}
# Not in the cache: who reads or writes it would be whoever is signed in, and a session that ends
# while the cache is away would be there again afterwards (decision 320).
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Scoring, and Celery which notifies workers --------------------------------------------------

SCORER_TIMEOUT_S = env.integer("SCORER_TIMEOUT_S", default=1800, minimum=1)
SCORER_WORKERS = env.integer("SCORER_WORKERS", default=0) or None
SCORER_MEMORY_BYTES = env.size_bytes("SCORER_MEMORY", default=600 * MIB)
# Who asks for /metrics sends it as a bearer token; without it nobody gets them.
METRICS_TOKEN = env.secret("METRICS_TOKEN", default="")
WORKER_MIN_FREE_BYTES = env.size_bytes("WORKER_MIN_FREE", default=64 * MIB)
# Read by the scorer itself too: the layers of isolation that this machine may lack.
SCORING_ALLOW_UNSANDBOXED = env.words("SCORING_ALLOW_UNSANDBOXED")
# Read by the scorer itself too.
SCORING_KERNELS = env.choice("SCORING_KERNELS", default="compiled", allowed=("compiled", "plain"))
LEASE_S = env.integer("LEASE_S", default=60, minimum=5)
TRAINING_LEASE_S = env.integer("TRAINING_LEASE_S", default=180, minimum=5)
SWEEP_S = env.integer("SWEEP_S", default=30, minimum=1)
# For how long a process goes by what it knows of maintenance.
MAINTENANCE_CHECK_S = env.integer("MAINTENANCE_CHECK_S", default=5)

CELERY_BROKER_URL = _redis.broker_url()
CELERY_BROKER_USE_SSL = _redis.broker_tls()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_CONSUMER = "challenge.config.consumer:Consumer"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any scoring task may last, or the task would run twice at once.
    "visibility_timeout": SCORER_TIMEOUT_S + 600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 3,
    "socket_timeout": 30,
    "retry_on_timeout": True,
    **_redis.broker_options(),
}
# A message is a hint; a broker that is down must not hold up the request that sends it.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = True
# A killed pool child is redelivered without end otherwise; the lease and the sweep do it better.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_IGNORE_RESULT = True
# Celery's defaults, said aloud: a message that is not JSON is refused, never unpickled.
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
# Machine learning may be left out of an image, and its tasks with it.
CELERY_IMPORTS = [
    "challenge.workers.scoring",
    "challenge.workers.labels",
    "challenge.workers.rescoring",
    "challenge.workers.comparing",
    "challenge.workers.drawing",
    "challenge.workers.gallery",
    "challenge.workers.revealing",
    "challenge.workers.announcing",
    "challenge.workers.maintenance",
    "challenge.workers.notifications",
    *(["challenge.workers.training"] if importlib.util.find_spec("baselines") else []),
]
CELERY_TASK_DEFAULT_QUEUE = Queue.DEFAULT.value
CELERY_TASK_ROUTES = {name.value: {"queue": name.queue.value} for name in TaskName}
# Kept in memory: no task minds being sent once more after a restart.
CELERY_BEAT_SCHEDULER = "challenge.config.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    name.value: {"task": name.value, "schedule": every_s, "options": {"expires": every_s}}
    for name, every_s in (
        (TaskName.SWEEP, SWEEP_S),
        (TaskName.SWEEP_FILES, 600),
        (TaskName.SWEEP_EVIDENCE, 600),
        (TaskName.DISTRIBUTE_LABELS, 600),
    )
}

# --- Files --------------------------------------------------------------------------------------


def _default_storage() -> dict[str, Any]:
    address = env.address("STORAGE_URL", schemes=("file", "s3"))
    if address is None or address.scheme == "file":
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": address.path if address else str(DATA_DIR / "storage"),
                "file_permissions_mode": 0o640,
                "directory_permissions_mode": 0o750,
            },
        }
    options = dict(address.options)
    chosen: dict[str, Any] = {
        "bucket_name": address.host,
        "location": address.path.strip("/"),
        "access_key": address.user or None,
        "secret_key": address.password or None,
        "endpoint_url": options.pop("endpoint", None),
        "region_name": options.pop("region", None),
        "addressing_style": options.pop("addressing", None),
        "querystring_expire": 600,
        "file_overwrite": False,
        "default_acl": None,
    }
    if options:
        raise env.BadSetting(
            "STORAGE_URL",
            f"has the options {', '.join(sorted(options))}",
            "allowed are endpoint, region, addressing",
        )
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": chosen}


# Hashed names and compressed files, made by collectstatic; without them files are served as found.
STATIC_MANIFEST = env.flag("STATIC_MANIFEST", default=not DEBUG)
_static_backend = (
    "challenge.config.static_files.HashedStaticFiles"
    if STATIC_MANIFEST
    else "django.contrib.staticfiles.storage.StaticFilesStorage"
)
STORAGES = {"default": _default_storage(), "staticfiles": {"BACKEND": _static_backend}}
STATIC_URL = "static/"
STATIC_ROOT = env.folder("STATIC_DIR", default=DATA_DIR / "static")
WHITENOISE_USE_FINDERS = not STATIC_MANIFEST
WHITENOISE_AUTOREFRESH = DEBUG

# Parts of resumable uploads, on a disk that all web processes share.
UPLOADS_DIR: Path = env.folder("UPLOADS_DIR", default=DATA_DIR / "uploads") or DATA_DIR
UPLOAD_LIMIT_BYTES = env.size_bytes("UPLOAD_LIMIT", default=6_000_000_000)
UPLOAD_EXPIRY_S = env.integer("UPLOAD_EXPIRY_S", default=48 * 3600, minimum=60)
# What one person may have uploaded or declared without submitting it.
UPLOAD_USER_BYTES = env.size_bytes("UPLOAD_USER", default=12_000_000_000)
UPLOAD_USER_COUNT = env.integer("UPLOAD_USER_COUNT", default=10, minimum=1)
# With an object store as storage, uploads go there in parts of this size while they arrive.
UPLOAD_PART_BYTES = env.size_bytes("UPLOAD_PART", default=8 * MIB)
if UPLOAD_PART_BYTES < 5 * MIB:
    raise env.BadSetting(
        "UPLOAD_PART", f"is {UPLOAD_PART_BYTES}", "object stores want 5MiB or more"
    )
# Never filled, so that the database and the logs on the same disk can go on.
UPLOAD_RESERVE_BYTES = env.size_bytes("UPLOAD_RESERVE", default=500_000_000)
# Requests that may stream at once in one web process, of all people and of one: fewer together than
# its threads.
UPLOAD_STREAMS = env.integer("UPLOAD_STREAMS", default=8, minimum=1)
UPLOAD_STREAMS_PERSON = env.integer("UPLOAD_STREAMS_PERSON", default=2, minimum=1)
DOWNLOAD_STREAMS = env.integer("DOWNLOAD_STREAMS", default=4, minimum=1)
DOWNLOAD_STREAMS_PERSON = env.integer("DOWNLOAD_STREAMS_PERSON", default=2, minimum=1)
# A client silent for longer loses its connection (not its bytes), and its thread is free again.
UPLOAD_IDLE_S = env.integer("UPLOAD_IDLE_S", default=20, minimum=1)
# So does one that sends or takes fewer bytes a second for long.
CLIENT_MIN_RATE_BYTES = env.size_bytes("CLIENT_MIN_RATE", default=2000)
if CLIENT_MIN_RATE_BYTES < 1:
    raise env.BadSetting("CLIENT_MIN_RATE", "is 0", "allowed are sizes from 1 byte (a second) on")
# Requests a minute: of one address to the API, of one address to uploads, of one token.
API_RATE_ADDRESS = env.integer("API_RATE_ADDRESS", default=600, minimum=1)
API_RATE_UPLOAD = env.integer("API_RATE_UPLOAD", default=1200, minimum=1)
API_RATE_TOKEN = env.integer("API_RATE_TOKEN", default=600, minimum=1)
API_RATE_WRONG_TOKEN = env.integer("API_RATE_WRONG_TOKEN", default=30, minimum=1)
# Of a JSON body, and of a form without its files: far more than any text that is asked for.
DATA_UPLOAD_MAX_MEMORY_SIZE = MIB
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 10
# Invitations by mail: of one person an hour, to one mailbox a day whoever sends them.
INVITATIONS_PER_HOUR = env.integer("INVITATIONS_PER_HOUR", default=20, minimum=1)
INVITATIONS_PER_RECIPIENT = env.integer("INVITATIONS_PER_RECIPIENT", default=3, minimum=1)
FILE_UPLOAD_HANDLERS = ["challenge.uploads.form_files.FormFileHandler"]
FILE_UPLOAD_TEMP_DIR = env.folder("UPLOAD_TEMP_DIR")

# Hidden labels and the per-patch counts drawn from them: set for workers alone, never for the web.
LABELS_DIR = env.folder("LABELS_DIR")
EVIDENCE_DIR = env.folder(
    "EVIDENCE_DIR", default=LABELS_DIR.parent / "evidence" if LABELS_DIR else None
)
# Private keys: of the labels worker, for it alone; of the scoring workers, for them and for it.
LABELS_KEY_DIR = env.folder("LABELS_KEY_DIR")
SCORING_KEY_DIR = env.folder("SCORING_KEY_DIR")
# The largest zip of masks: the labels worker opens it in memory.
LABELS_LIMIT_BYTES = env.size_bytes("LABELS_LIMIT", default=2_000_000_000)
LABELS_LEASE_S = env.integer("LABELS_LEASE_S", default=120, minimum=5)
# Data sets and runs of the reference baselines: set for GPU workers.
BASELINES_DATA_DIR = env.folder("BASELINES_DATA_DIR")
BASELINES_RUNS_DIR = env.folder("BASELINES_RUNS_DIR", default=DATA_DIR / "runs")
# GPUs that one training uses together.
BASELINES_DEVICES = env.integer("BASELINES_DEVICES", default=1, minimum=1)

# --- People -------------------------------------------------------------------------------------

AUTH_USER_MODEL = "challenge.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "challenge.services.accounts.passwords.Argon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# For hashing passwords in one web process at once.
PASSWORD_MEMORY_BYTES = env.size_bytes("PASSWORD_MEMORY", default=100 * MIB)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_ADAPTER = "challenge.web.accounts.adapter.AccountAdapter"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_SIGNUP_FORM_CLASS = "challenge.web.forms.SignUp"
ACCOUNT_FORMS = {"signup": "challenge.web.accounts.sign_up.SignUpForm"}
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_USERNAME_MIN_LENGTH = 3
# Who finds a signed-in browser cannot take the account over: addresses, second factor and tokens
# want the password again, and the former address is told.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Owners and judges of a challenge change things with a second factor alone.
SECOND_FACTOR_REQUIRED = env.flag("SECOND_FACTOR_REQUIRED", default=True)
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _site.scheme
# A class of thirty behind one address signs up, mistypes and logs in within a minute. Guessing at
# one account is limited by the account.
LOGIN_RATE_ADDRESS = env.integer("LOGIN_RATE_ADDRESS", default=120, minimum=1)
LOGIN_FAILED_RATE_ADDRESS = env.integer("LOGIN_FAILED_RATE_ADDRESS", default=60, minimum=1)
LOGIN_FAILED_RATE_ACCOUNT = env.integer("LOGIN_FAILED_RATE_ACCOUNT", default=5, minimum=1)
SIGNUP_RATE_ADDRESS = env.integer("SIGNUP_RATE_ADDRESS", default=60, minimum=1)
ACCOUNT_RATE_LIMITS = {
    "login": f"{LOGIN_RATE_ADDRESS}/m/ip",
    # Every attempt counts until it proves right, so those that are checked at one time, too.
    "login_failed": f"{LOGIN_FAILED_RATE_ADDRESS}/m/ip,{LOGIN_FAILED_RATE_ACCOUNT}/5m/key",
    "signup": f"{SIGNUP_RATE_ADDRESS}/m/ip",
    "reset_password": f"{SIGNUP_RATE_ADDRESS}/m/ip,5/m/key",
    "reset_password_from_key": f"{SIGNUP_RATE_ADDRESS}/m/ip",
}

# --- Sign-in by OpenID Connect: off unless an issuer is named -----------------------------------

OIDC_ISSUER = env.text("OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.secret("OIDC_CLIENT_SECRET", default="")
OIDC_NAME = env.text("OIDC_NAME")
OIDC_CA = env.file("OIDC_CA", suffixes=(".pem", ".crt"))
if OIDC_ISSUER:
    _issuer = env.take_apart("OIDC_ISSUER", OIDC_ISSUER, schemes=("https", "http"))
    if _issuer.scheme == "http" and _issuer.host not in {"localhost", "127.0.0.1", "::1"}:
        raise env.BadSetting("OIDC_ISSUER", "is http", "https is needed, but for this very machine")
    for _name, _value in (
        ("OIDC_CLIENT_ID", OIDC_CLIENT_ID),
        ("OIDC_CLIENT_SECRET", OIDC_CLIENT_SECRET),
    ):
        if not _value:
            raise env.BadSetting(_name, "is not set", "OIDC_ISSUER needs it: the provider gives it")
    OIDC_NAME = OIDC_NAME or _issuer.host
SOCIALACCOUNT_ADAPTER = "challenge.web.accounts.provider.SocialAccountAdapter"
SOCIALACCOUNT_FORMS = {"signup": "challenge.web.accounts.sign_up.ProviderSignUpForm"}
# An account is found by issuer and subject, never by an address that the provider names.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_STORE_TOKENS = False

# --- The second factor and sessions -------------------------------------------------------------

MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = f"{SITE_NAME} challenges"
USERSESSIONS_TRACK_ACTIVITY = False  # it would write to the database with every page


def _email() -> dict[str, Any]:
    address = env.address("EMAIL_URL", schemes=("smtp", "smtps", "file", "console", "memory"))
    backends = "django.core.mail.backends"
    if address is None or address.scheme in {"console", "memory", "file"}:
        name = {"memory": "locmem", "file": "filebased"}.get(
            address.scheme if address else "", "console"
        )
        # These cannot be down or refuse a mail, so that nothing is queued.
        found = {"EMAIL_BACKEND": f"{backends}.{name}.EmailBackend"}
        if address is not None and address.scheme == "file":
            found["EMAIL_FILE_PATH"] = address.path
        return found | {"EMAIL_DELIVERY_BACKEND": found["EMAIL_BACKEND"]}
    return {
        # Whatever sends a mail in a request writes a row, and a worker sends it (decision 327).
        "EMAIL_BACKEND": "challenge.services.notifications.mail_queue.QueueingBackend",
        "EMAIL_DELIVERY_BACKEND": f"{backends}.smtp.EmailBackend",
        "EMAIL_HOST": address.host,
        "EMAIL_PORT": address.port or (465 if address.scheme == "smtps" else 25),
        "EMAIL_HOST_USER": address.user,
        "EMAIL_HOST_PASSWORD": address.password,
        "EMAIL_USE_SSL": address.scheme == "smtps",
        "EMAIL_USE_TLS": address.scheme == "smtp" and address.options.get("tls") == "1",
        "EMAIL_TIMEOUT": 20,
    }


_email_settings = _email()
EMAIL_DELIVERY_BACKEND: str = _email_settings.pop("EMAIL_DELIVERY_BACKEND")
globals().update(_email_settings)
DEFAULT_FROM_EMAIL = env.text("FROM_EMAIL") or formataddr((SITE_NAME, f"no-reply@{_site.host}"))
SERVER_EMAIL = DEFAULT_FROM_EMAIL
ADMINS = [("Organisers", address) for address in env.words("ADMIN_EMAILS")]

# --- Languages and time -------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [ROOT / "challenge" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"  # days of the quota are UTC days; pages show the viewer's own zone

# --- Security -----------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "challenge.web.challenges.home.csrf_failed"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = SITE_IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|livez|readyz|metrics)$"]
SECURE_HSTS_SECONDS = env.integer("HSTS_S", default=31_536_000) if SITE_IS_HTTPS else 0
ALLAUTH_TRUSTED_PROXY_COUNT = 0
BEHIND_PROXY = env.flag("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    # Only behind a proxy that always sets this header itself may it be believed.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True
    # Limits of log-ins count each client, not the proxy that they all come through.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
# Webhooks to private addresses reach what a firewall hides: off unless asked for by name.
WEBHOOK_ALLOW_PRIVATE = env.flag("WEBHOOK_ALLOW_PRIVATE", default=False)
# Other ports than those of web servers reach mail servers, databases and the like.
WEBHOOK_PORTS = env.ports("WEBHOOK_PORTS", default=() if WEBHOOK_ALLOW_PRIVATE else (80, 443))

# --- Logs ---------------------------------------------------------------------------------------

LOG_LEVEL = env.choice(
    "LOG_LEVEL", default="INFO", allowed=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
)
LOG_FORMAT = env.choice(
    "LOG_FORMAT", default="console" if EMBEDDED or DEBUG else "json", allowed=("console", "json")
)
# A line for each request, without its path, its query or the address of who asks.
ACCESS_LOG = env.flag("ACCESS_LOG", default=LOG_FORMAT == "json")
_shared_processors: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
structlog.configure(
    processors=[*_shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "lines": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _shared_processors,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer()
                if LOG_FORMAT == "json"
                else structlog.dev.ConsoleRenderer(colors=False),
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        name: {"level": LOG_LEVEL} for name in ("challenge", "scoring", "baselines", "celery")
    },
}

# --- Errors, told to a server of Sentry's kind: off unless it is named --------------------------

SENTRY_DSN = env.secret("SENTRY_DSN", default="")
if SENTRY_DSN:
    sentry.start(SENTRY_DSN)

# Last, and only for its effect: whoever has these settings sends through this Celery application.
from challenge.config import celery as _celery  # noqa: E402, F401
