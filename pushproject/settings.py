"""Django's settings, derived from `pushproject.environment` and from nothing else."""

from deliveries.broker import Topology
from pushproject import database, logs
from pushproject.carriers import providers
from pushproject.environment import load
from pushproject.secret_key import secret_key
from pushproject.theme import CONTENT_SECURITY_POLICY, UNFOLD  # noqa: F401 - they are settings

PUSH = load()

DEBUG = PUSH.debug
SECRET_KEY = secret_key(PUSH)
ALLOWED_HOSTS = [*PUSH.allowed_hosts, "localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "deliveries",  # first: its templates are the ones that are shown, and its rundramatiq is the one that runs
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "pushproject.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pushproject",
    "django_dramatiq",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

LOGIN_REDIRECT_URL = "admin:index"

ROOT_URLCONF = "pushproject.urls"
WSGI_APPLICATION = "pushproject.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        **(
            database.from_url(PUSH.database_url.get_secret_value())
            if PUSH.database_url
            else database.embedded(PUSH.var_dir)
        ),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: there is no collectstatic to forget

TOPOLOGY = Topology(
    queue=PUSH.rabbitmq_queue,
    exchange=PUSH.rabbitmq_exchange,
    routing_keys=tuple(PUSH.rabbitmq_routing_key),
    dead_letter_exchange=PUSH.rabbitmq_dlx_exchange,
    dead_letter_key=PUSH.rabbitmq_dlx_routing_key,
    dead_letter_queue=PUSH.rabbitmq_dlx_queue,
    queue_arguments=PUSH.rabbitmq_queue_arguments,
)
DRAMATIQ_BROKER = {
    # No Retries, TimeLimit or AgeLimit: every wait and every attempt is a row in the ledger.
    "MIDDLEWARE": [
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "deliveries.middleware.EngineMiddleware",
    ],
    **(
        {
            "BROKER": "deliveries.broker.PushBroker",
            "OPTIONS": {
                "url": PUSH.rabbitmq_url.get_secret_value(),
                "topology": TOPOLOGY,
                "prefetch": PUSH.rabbitmq_prefetch_count,
            },
        }
        if PUSH.rabbitmq_url
        else {"BROKER": "deliveries.broker.EmbeddedBroker", "OPTIONS": {"topology": TOPOLOGY}}
    ),
}
DRAMATIQ_AUTODISCOVER_MODULES = ("actors",)
DRAMATIQ_IGNORED_MODULES = ["django_dramatiq.tasks"]  # it would bring a queue that nobody reads

PROVIDERS = providers(PUSH)

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "URL_FORMAT_OVERRIDE": None,  # what form an answer has is for the header Accept
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Push notification delivery",
    "DESCRIPTION": "Takes push notifications, and tells what became of each.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",  # pydantic's schemas are JSON Schema 2020-12
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",  # from our own files: there is no CDN
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "PREPROCESSING_HOOKS": ["deliveries.api.openapi.with_slash"],
    "POSTPROCESSING_HOOKS": ["deliveries.api.openapi.with_requests"],
}

LOGGING = logs.configuration(PUSH.log_level)

SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not PUSH.insecure_http
SECURE_REDIRECT_EXEMPT = [r"^api/v1/health"]  # probes ask in plain http, from inside
SECURE_HSTS_SECONDS = 0 if PUSH.insecure_http else 30 * 24 * 3600
# Whether sibling domains speak https is not ours to promise: no includeSubDomains, no preload.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
