import inspect
import subprocess
import sys

import pytest

from exporter import api


def test_the_package_exports_every_public_name() -> None:
    """`__all__` names every public value that the package holds, in order."""
    public = {
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }

    assert set(api.__all__) == public
    assert list(api.__all__) == sorted(api.__all__, key=lambda name: (not name.isupper(), name))


@pytest.mark.process
def test_the_vendors_library_is_imported_late() -> None:
    """Importing the package leaves alone the library, which is slow and reads the environment."""
    script = "import sys, exporter.api; print('alibabacloud_credentials' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50
    )

    assert done.stdout == "False\n"
