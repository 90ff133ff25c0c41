# soadns as an image, from a clean checkout: docker build -t soadns:0.1.0 .
# Everything that it needs is installed in the first stage; the second one has neither pip nor sources.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY soadns soadns
COPY examples/dubbo-demo/files examples/dubbo-demo/files
RUN python3 -m venv --without-pip /opt/soadns
RUN python3 -m pip --python /opt/soadns/bin/python install --no-compile --disable-pip-version-check '.[ads,transfer]'
# It runs once, and what a configuration may ask for is imported: what is not compiled here would be at every start. Not in
# this folder, whose sources would be taken then. Of the Kubernetes client that is little; most of its modules never are.
RUN cd / && /opt/soadns/bin/soadns demo --once --listen 127.0.0.1:1053 --http 127.0.0.1:8053
RUN cd / && /opt/soadns/bin/python -c 'import soadns.sources.kube, soadns.sources.zookeeper, soadns.ads.server, soadns.transfer.server'
RUN cd / && /opt/soadns/bin/python -c 'import compileall, soadns; assert compileall.compile_dir(*soadns.__path__, quiet=1)'

FROM python:3.11-slim-bookworm
# Mounted over in a pod; without a volume, snapshots end with the container.
RUN install -d -o 65532 -g 65532 /var/lib/soadns
COPY --from=build /opt/soadns /opt/soadns
ENV PATH=/opt/soadns/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/
USER 65532:65532
EXPOSE 1053/udp 1053/tcp 8053 8054 8055 8056 15010
ENTRYPOINT ["soadns"]
CMD ["serve"]
