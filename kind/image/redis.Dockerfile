# Redis as the cache in front of a CounterCluster: no volume, no privileges, a read-only root will do.
ARG BASE=redis:8

FROM ${BASE} AS listed
COPY kind/image/sbom /sbom
RUN sh /sbom countercluster-redis >/sbom.cdx.json

FROM ${BASE}
COPY --from=listed /sbom.cdx.json /usr/share/sbom/sbom.cdx.json
USER 65532:65532
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["redis-server"]
