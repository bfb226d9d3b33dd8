"""Say in one sentence what keeps nasweb from being installed here.

Run by the Makefile before anything is installed, by whatever Python is there: so
only the standard library, and a syntax that old versions can read.
"""

import shutil
import sys

NEEDED_GIGABYTES = 9  # PyTorch with its CUDA libraries, and their downloads


def problem(version, free_bytes, modules):
    """Return the sentence, or an empty text if all is well."""
    if version < (3, 11):
        return (
            "nasweb needs Python 3.11 or newer, and this is {}.{}; install one and "
            "run `make PYTHON=python3.12 run`."
        ).format(*version[:2])
    if not modules:
        return (
            "This Python cannot make virtual environments; install its venv package "
            "(Debian and Ubuntu: `apt-get install python3-venv`)."
        )
    if free_bytes < NEEDED_GIGABYTES * 10**9:
        return (
            f"The disk is too full to install PyTorch ({free_bytes / 1e9:.1f} GB are "
            f"free); free {NEEDED_GIGABYTES} GB."
        )
    return ""


def can_make_environments():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def main():
    found = problem(
        tuple(sys.version_info), shutil.disk_usage(".").free, can_make_environments()
    )
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main()
