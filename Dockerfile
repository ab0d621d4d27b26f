# For those who have a container engine. `make image` needs none and gives the same content.
#   make build && docker build -t registry.example.com/platform/clb-gate:0.1.0 .
FROM debian:bookworm-slim AS roots
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates

FROM scratch
COPY --from=roots /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ARG BINARY=target/x86_64-unknown-linux-gnu/release/clb-gate
COPY ${BINARY} /clb-gate
USER 65532:65532
ENTRYPOINT ["/clb-gate"]
