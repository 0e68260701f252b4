"""Programs of Debian's that tests need: installed by apt-get where they are missing and that is possible."""

import os
import shutil
import subprocess
import sys

INSTALL = """\
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' > $policy && chmod 755 $policy
  trap "rm -f $policy" EXIT
fi
apt-get update -q
apt-get install -y -q -o DPkg::Lock::Timeout=120 --no-install-recommends {package}
"""


def install(package: str) -> None:
    """Does what it can; whether it helped, the caller looks."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and (not sudo or shutil.which("sudo")):
        sys.stderr.write(f"{package} is not installed: apt-get install {package} …\n")
        script = INSTALL.format(package=package)
        subprocess.run([*sudo, "sh", "-c", script], stdout=sys.stderr, check=False)
