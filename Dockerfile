# One image for web, worker and beat (target site), one with torch for GPU workers (target gpu).
#   docker build --target site -t flair-site .
# By digest for builds that can be repeated: docs/operating.md tells how to find it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml requirements.lock requirements-build.lock README.md ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements-build.lock \
    && python -m venv /opt/flair
COPY challenge ./challenge
COPY scoring ./scoring
COPY baselines ./baselines
COPY challenges ./challenges
RUN uv pip install --no-cache --python /opt/flair/bin/python \
      --constraint requirements.lock --build-constraints requirements-build.lock '.[site,s3,client,backup]' \
    && uv pip uninstall --python /opt/flair/bin/python flair-challenge-platform

FROM build AS build-gpu
RUN uv pip install --no-cache --python /opt/flair/bin/python \
      --constraint requirements.lock --build-constraints requirements-build.lock '.[site,s3,client,baselines]' \
    && uv pip uninstall --python /opt/flair/bin/python flair-challenge-platform

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/flair/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLAIR_DATA_DIR=/tmp/flair \
    STATIC_DIR=/srv/static
RUN groupadd --gid 10001 flair \
    && useradd --uid 10001 --gid flair --no-create-home --shell /usr/sbin/nologin flair \
    && install -d -o flair -g flair /srv/static /srv/storage /srv/uploads /srv/labels \
       /srv/labels-key /srv/scoring-key \
       /srv/evidence /srv/runs /srv/scratch /srv/proxy
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
