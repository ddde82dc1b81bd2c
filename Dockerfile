# One image for every process of the system: `docker run … <module> <role>`.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# What setup.cfg names as needed at run time (with the extra `services`), in the versions that were tested; a layer of its own, so that a
# change of code installs nothing.
COPY setup.cfg requirements.txt ./
RUN python -c "import configparser; c = configparser.RawConfigParser(); c.read('setup.cfg'); print(c['options']['install_requires'], c['options.extras_require']['services'])" > /tmp/runtime.txt \
    && sed 's/\[.*\]//' requirements.txt > /tmp/pins.txt \
    && pip install --requirement /tmp/runtime.txt --constraint /tmp/pins.txt \
    && rm /tmp/runtime.txt /tmp/pins.txt

RUN useradd --system --uid 10001 --no-create-home lease && install --directory --owner lease /data
COPY . .
# For the processes' user, whatever modes the checkout has.
RUN chmod --recursive a+rX . && python -m compileall -q .

USER lease
ENTRYPOINT ["python", "-m"]
