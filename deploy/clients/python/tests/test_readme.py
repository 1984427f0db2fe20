"""The quick start of the README, as it stands there."""

import pathlib
import re

from cloud import ACCOUNT, ENDPOINT, PASSWORD, CloudTest

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


class QuickStart(CloudTest):
    def test_it_does_what_it_says(self):
        code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S).group(1)
        names = {"endpoint": ENDPOINT, "account": ACCOUNT, "password": PASSWORD}
        exec(compile(code, str(README), "exec"), names)
        self.assertEqual(names["vm"].name, "web-1")
        names["cloud"].close()


del CloudTest
