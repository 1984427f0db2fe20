"""Runs Gyre's processes under fire; `python3 integration/fire --help` tells how."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
_here = Path(__file__).resolve().parent
sys.path[0] = str(_here.parent)
sys.path.insert(1, str(_here.parent.parent / "deploy"))

from fire.main import main  # noqa: E402

sys.exit(main())
