"""``make campaigns``, with campaigns and an ``install.sh`` that are stand-ins."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tandem_lab import paths


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(paths.REPOSITORY / "Makefile", tmp_path)
    script(tmp_path / "lab" / "install.sh", '#!/bin/sh\necho "install $*"\n')
    script(tmp_path / "campaigns" / "gateway" / "run.py", "import sys; sys.exit('wrk is missing')\n")
    script(tmp_path / "campaigns" / "operator" / "run.py", "print('measured')\n")
    return tmp_path


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)


def campaigns(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--old-file=prepare", "campaigns", f"PYTHON={sys.executable}", *arguments]
    env = {"PATH": "/usr/bin:/bin"}  # and not what a make around this one says
    return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)


def test_a_campaign_that_cannot_run_keeps_no_other_from_running(checkout: Path) -> None:
    done = campaigns(checkout)

    assert "measured" in done.stdout
    assert "not measured: campaigns/gateway/run.py\n" in done.stderr
    assert done.returncode != 0


def test_the_load_generator_is_installed_for_the_campaign_that_needs_it(checkout: Path) -> None:
    assert "install wrk" in campaigns(checkout).stdout
    assert "install wrk" in campaigns(checkout, "NAME=gateway").stdout
    assert "install" not in campaigns(checkout, "NAME=operator").stdout


def test_without_the_right_to_install_the_others_are_measured(checkout: Path) -> None:
    (checkout / "lab" / "install.sh").write_text("#!/bin/sh\necho 'install: wrk is missing' >&2\nexit 1\n")

    done = campaigns(checkout)

    assert "measured" in done.stdout
    assert done.returncode != 0


def test_campaigns_that_all_ran_are_no_failure(checkout: Path) -> None:
    assert campaigns(checkout, "NAME=operator").returncode == 0
