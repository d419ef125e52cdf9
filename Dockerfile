# The container image, for those who build with docker, podman or buildah. What is in it is put together
# by .ci/image, which also makes the very same image without any of them, and reads how it is to be run
# from the last stage of this file. For the same bytes each time, name the first stage by its digest:
# docker build --build-arg RUST=docker.io/library/rust@sha256:… .
ARG RUST=docker.io/library/rust:1.95-bookworm
FROM ${RUST} AS build
WORKDIR /lapsed
COPY . .
RUN cargo build --locked --profile dist \
    && .ci/image target/dist/lapsed target/lapsed-image.tar /image

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image/var/lib/lapsed /var/lib/lapsed
USER 65532:65532
WORKDIR /var/lib/lapsed
# One heap for all threads: less is kept for later use (docs/performance.md).
ENV MALLOC_ARENA_MAX="1"
EXPOSE 8470/tcp
LABEL org.opencontainers.image.title="lapsed" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT"
ENTRYPOINT ["/usr/bin/lapsed"]
CMD ["run"]
