"""Makes `.venv` with everything in requirements.txt. Run by the Makefile with whatever python3 there is.

Uses the standard library only, and only what old versions of it have, so that an old Python gets a sentence
instead of a traceback.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
PLACE = ".venv"
STAMP = os.path.join(PLACE, "installed-requirements.txt")


def interpreter():
    # type: () -> str
    """The Python to make the environment with: this one, or a newer one beside it. Exits without any."""
    if sys.version_info[:2] >= OLDEST:
        return sys.executable
    for minor in range(20, OLDEST[1] - 1, -1):
        found = shutil.which("python3.%d" % minor)
        # Version managers leave a command for versions that are not there.
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return found
    sys.exit(
        "Python {}.{} or newer is needed; `python3` is {}.\n".format(*OLDEST, sys.version.split()[0])
        + "Install it (Debian 12 and Ubuntu 24.04 have it: apt-get install python3 python3-venv; macOS: "
        "brew install python), or name one: make PYTHON=/path/to/python3.12"
    )


def make(python):
    # type: (str) -> None
    """Make the environment. Debian keeps a part of `venv` in a package of its own, installed if possible."""
    command = [python, "-m", "venv", PLACE]
    if subprocess.call(command, stdout=subprocess.DEVNULL) == 0:
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    package = "python%s-venv" % version.decode().strip()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and (not sudo or shutil.which("sudo")):
        print("`python3 -m venv` does not work; installing %s" % package, flush=True)
        subprocess.call([*sudo, "apt-get", "update", "-q"])
        subprocess.call([*sudo, "apt-get", "install", "-y", "-q", "--no-install-recommends", package])
        if subprocess.call(command) == 0:
            return
        shutil.rmtree(PLACE, ignore_errors=True)
    sys.exit("%s -m venv failed. On Debian and Ubuntu: sudo apt-get install %s" % (python, package))


def main():
    # type: () -> None
    """Make the environment where it is missing or broken, then install what is pinned."""
    inside = os.path.join(PLACE, "bin", "python")
    works = os.path.exists(inside)
    works = works and subprocess.call([inside, "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0
    if not works:
        shutil.rmtree(PLACE, ignore_errors=True)
        make(interpreter())
    print("Installing the packages of requirements.txt into %s" % PLACE, flush=True)
    pip = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--requirement"]
    if subprocess.call([*pip, "requirements.txt"]) != 0:
        sys.exit("pip failed: see above. Without network, PIP_FIND_LINKS=<directory> names saved packages.")
    shutil.copyfile("requirements.txt", STAMP)


if __name__ == "__main__":
    main()
