# The gate, the recorder and the console in one image; the journal and an SQLite ledger live in the volume.
FROM python:3.13.9-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes --no-deps -r requirements/build.txt \
    && python -m venv /opt/joulegate && /opt/joulegate/bin/pip install --require-hashes --no-deps -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY estimator estimator
COPY migrations migrations
COPY proxy proxy
RUN /opt/build/bin/hatchling build --target wheel --directory /dist \
    && /opt/joulegate/bin/pip install --no-deps --no-index /dist/*.whl \
    && /opt/joulegate/bin/pip uninstall --yes pip

FROM python:3.13.9-slim-bookworm
RUN groupadd --system --gid 10001 joulegate \
    && useradd --system --uid 10001 --gid joulegate --home-dir /var/lib/joulegate --create-home joulegate
COPY --from=build /opt/joulegate /opt/joulegate
ENV PATH=/opt/joulegate/bin:$PATH PYTHONUNBUFFERED=1 \
    JOULEGATE_GATE_LISTEN=0.0.0.0:8700 JOULEGATE_CONSOLE_LISTEN=0.0.0.0:8701 JOULEGATE_CONSOLE_TOKEN=env:CONSOLE_TOKEN
USER joulegate
WORKDIR /var/lib/joulegate
VOLUME /var/lib/joulegate
EXPOSE 8700 8701
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8700/healthz', timeout=2)"]
ENTRYPOINT ["joulegate"]
CMD ["serve"]
