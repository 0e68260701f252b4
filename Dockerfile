# The service in one image: `docker run --env-file .env -p 8000:8000 <image>` serves; the same image
# runs `python manage.py rundramatiq` (a worker) and `python -m sandbox`.

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --require-hashes -r requirements.txt

FROM python:3.12-slim-bookworm
# One malloc arena per core would cost more memory than the threads are worth.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin push \
    && install -d -o push -g push -m 0700 /app/var /keys /sandbox
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY providers providers
COPY sandbox sandbox
COPY deliveries deliveries
COPY pushproject pushproject
RUN python -m compileall -q .
USER push
VOLUME /app/var
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8000}/api/v1/health/live\", timeout=4)"]
CMD ["python", "manage.py", "serve", "--migrate"]
