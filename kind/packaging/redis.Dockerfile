# Redis as the cache in front of a CounterCluster: no volume, no privileges, a read-only root will do.
# redis-cli is what its probes run.
ARG BASE=redis:8

FROM ${BASE} AS stripped
USER 0:0
COPY kind/packaging/sbom /sbom
COPY kind/packaging/strip /strip
RUN sh /sbom countercluster-redis >/sbom.cdx.json && mkdir -p /usr/share/sbom && cp /sbom.cdx.json /usr/share/sbom/
RUN ["sh", "/strip", "/", "redis-server", "redis-cli", "redis-check-rdb"]

FROM scratch
COPY --from=stripped / /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["redis-server"]
