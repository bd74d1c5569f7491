# syntax=docker/dockerfile:1
# One image for web, worker and beat (target site), one with torch for GPU workers (target gpu).
#   docker build --target site -t flair-site .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/flair
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY challenge ./challenge
COPY scoring ./scoring
COPY baselines ./baselines
RUN uv pip install --no-cache --python /opt/flair/bin/python \
      --constraint requirements.lock '.[site,s3,client]' \
    && uv pip uninstall --python /opt/flair/bin/python flair-challenge-platform

FROM build AS build-gpu
RUN uv pip install --no-cache --python /opt/flair/bin/python \
      --constraint requirements.lock '.[site,s3,client,baselines]' \
    && uv pip uninstall --python /opt/flair/bin/python flair-challenge-platform

FROM python:${PYTHON}-slim-bookworm AS base
ENV PATH=/opt/flair/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLAIR_DATA_DIR=/tmp/flair \
    STATIC_DIR=/srv/static
RUN groupadd --gid 10001 flair \
    && useradd --uid 10001 --gid flair --no-create-home --shell /usr/sbin/nologin flair \
    && install -d -o flair -g flair /srv/static /srv/storage /srv/uploads /srv/labels \
       /srv/evidence /srv/runs
WORKDIR /app
COPY --chown=root:root manage.py pyproject.toml ./
COPY --chown=root:root challenges ./challenges
COPY --chown=root:root challenge ./challenge
COPY --chown=root:root scoring ./scoring
COPY --chown=root:root baselines ./baselines

FROM base AS gpu
COPY --from=build-gpu /opt/flair /opt/flair
USER 10001:10001

FROM base AS site
COPY --from=build /opt/flair /opt/flair
USER 10001:10001
RUN python manage.py collectstatic --no-input --verbosity 0 && rm -rf /tmp/flair
EXPOSE 8000
CMD ["gunicorn", "--config", "python:challenge.config.gunicorn", "challenge.config.wsgi"]
