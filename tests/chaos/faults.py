"""The faults that are made on purpose: every one has at least one test, marked `@pytest.mark.fault(name)`.

docs/chaos.md explains each; a test keeps the two lists and the tests in step.
"""

FAULTS = (
    "worker killed",
    "rolling deploy",
    "RabbitMQ restarted",
    "RabbitMQ alarm",
    "publish refused",
    "PostgreSQL restarted",
    "PostgreSQL failed over",
    "PostgreSQL slow",
    "PostgreSQL cut off",
    "COMMIT's answer lost",
    "FCM accepts, then hangs or resets",
    "FCM quota",
    "FCM in trouble",
    "FCM refuses",
    "user service in trouble",
    "template service in trouble",
    "gateway down",
    "duplicate messages",
    "hostile messages",
    "clock skew",
    "disk full",
    "two workers, one row",
    "worker hangs",
    "crash loop",
    "operation pressed twice",
    "credentials rotated",
    "everything at random",
)
