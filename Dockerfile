# The service for CPUs: docker build -t vmf .
# Not built where it was written: no container engine was at hand. tests/test_dockerfile.py holds
# its Python, extras and entry point against pyproject.toml.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/vmf
ENV PATH=/opt/vmf/bin:$PATH
COPY constraints/base.txt constraints/base.txt
# PyTorch's index of wheels without CUDA; the version is the one that is tested.
RUN pip install --no-cache-dir -c constraints/base.txt torch \
    --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints/base.txt '.[serve,export]'

FROM python:3.11-slim
COPY --from=build /opt/vmf /opt/vmf
# Nobody's account: it owns nothing but its home, where uploads are kept while they are read.
RUN useradd --create-home --uid 10001 vmf
USER vmf
WORKDIR /home/vmf
ENV PATH=/opt/vmf/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
# A mounted checkpoint is served. All interfaces of the container: without VMF_SERVE_TOKEN the
# command warns that anybody who reaches it may use it.
ENTRYPOINT ["vmf"]
CMD ["serve", "/model", "--host", "0.0.0.0"]
