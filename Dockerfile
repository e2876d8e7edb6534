# The image for all commands: pullsecrets serve, sync, cleanup. `make image` builds it with docker, podman or buildah.
#
# The last stage is the file system of the base without build tools. It contains Python, but no Python package manager, and it
# has a shell only if the base has one. Both images need the same Python at the same path. An example with a distroless base is
# BASE_IMAGE=gcr.io/distroless/python3-debian12 BUILD_IMAGE=docker.io/library/debian:12, with `python3-venv` in the latter.
ARG BASE_IMAGE=docker.io/library/python:3.13.13-slim-bookworm@sha256:355bfa66770995d7e9a0da4b3473b44d0cb451f6b56f5615ad9c39e3c4eca03f
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BASE_IMAGE} AS base

FROM ${BUILD_IMAGE} AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/pullsecrets \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1
WORKDIR /src
COPY .ci/uv.txt .ci/uv.txt
# Behind a TLS-intercepting proxy, the build secret `ca-bundle` contains its authority. It is not stored in the image.
RUN --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi && \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes -r .ci/uv.txt
# Dependencies come first, because they change rarely: a change of the sources reuses their layer.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi && \
    /opt/uv/bin/uv sync --quiet --frozen --no-default-groups --no-install-project
COPY webhook webhook
COPY certs certs
RUN --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi && \
    /opt/uv/bin/uv sync --quiet --frozen --no-default-groups --no-editable

# Python cannot store byte code in a read-only file system, so files that are not compiled here slow down each start.
COPY --from=base / /rootfs
COPY tools/image/strip.sh /strip.sh
RUN sh /strip.sh /rootfs /opt/pullsecrets

FROM scratch AS image
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pull-secret-webhook" \
      org.opencontainers.image.description="imagePullSecrets on every Pod and ServiceAccount of an opted-in namespace" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs /
COPY --from=build /opt/pullsecrets /opt/pullsecrets
ENV PATH=/opt/pullsecrets/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["pullsecrets"]

# The image with credential providers: `make image PROVIDERS=…`. The build context `providers` is a folder of programs.
FROM image AS with-providers
COPY --from=providers --chmod=755 . /opt/pull-secret-webhook/providers/

FROM image
