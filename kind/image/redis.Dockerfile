# Redis as the cache in front of a CounterCluster: no volume, no privileges, a read-only root will do.
ARG BASE=redis:8
FROM ${BASE}
USER 65532:65532
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["redis-server"]
