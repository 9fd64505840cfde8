FROM python:3.12-slim

# tini is the first process. It passes signals on, and the program is not PID 1, for which the kernel ignores them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

# Dependencies have a separate layer because they change less often than the code. The VGG19 weights are one of
# them, so nothing is downloaded when a container runs.
WORKDIR /app
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        extras = p['optional-dependencies']; \
        print(*p['dependencies'], *extras['heic'], *extras['ray'], *extras['serve'], sep='\n')" \
        > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY LICENSE README.md ./
COPY nst nst
COPY pipeline pipeline
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home --uid 1000 nst \
    && mkdir /inbox /outbox \
    && chown nst /inbox /outbox

USER 1000
WORKDIR /home/nst
# File events of some hosts do not reach a container, so the inbox is polled.
# `serve` listens at all addresses, and then needs --token-file or --trust-network.
ENV NST_INBOX=/inbox NST_OUTBOX=/outbox NST_POLL=1 NST_HOST=0.0.0.0 PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/tmp/cache
VOLUME ["/inbox", "/outbox"]
EXPOSE 5002
# Only `serve` answers requests; the command line of the first process says whether that is what runs here.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request as u; \
b'serve' in open('/proc/1/cmdline', 'rb').read().split(b'\\0') \
and u.urlopen('http://127.0.0.1:' + os.environ.get('NST_PORT', '5002') + '/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "nst-pipeline"]
CMD ["watch"]
