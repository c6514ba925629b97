# tts-bench in a container; docs/guides/container.md says how to build and run it.
#
#   docker build --tag tts-bench .                                 for CPUs
#   docker build --tag tts-bench:cuda --build-arg DEVICE=cuda .    for NVIDIA GPUs
#
# Both have the releases of constraints.txt. A digest fixes the base image; the tag only names it for readers.
ARG BASE=docker.io/library/python:3.11.16-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

FROM ${BASE} AS build
# cpu: PyTorch's builds without CUDA; cuda: PyPI's builds, which bring CUDA's libraries
ARG DEVICE=cpu
# optional parts of pyproject.toml, for example "metrics,adapters"
ARG EXTRAS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/tts-bench/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/tts-bench
COPY constraints.txt ./
RUN case "$DEVICE" in \
      cpu) set -- --index-url https://download.pytorch.org/whl/cpu ;; \
      cuda) set -- ;; \
      *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 2 ;; \
    esac; \
    pip install --constraint constraints.txt "$@" torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY bench bench
COPY tts tts
RUN pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM ${BASE}
# any user may write here, as --user may name another one than 1000
RUN useradd --uid 1000 --create-home bench && install --directory --mode 1777 /home/bench /home/bench/results
COPY --from=build /opt/tts-bench /opt/tts-bench
ENV PATH=/opt/tts-bench/bin:$PATH HOME=/home/bench USER=bench
WORKDIR /home/bench
VOLUME /home/bench/results
USER 1000:1000
ENTRYPOINT ["tts-bench"]
CMD ["--help"]
