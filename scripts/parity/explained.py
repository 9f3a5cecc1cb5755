"""Deliberate differences: what they look like, and the reason that docs/from_pytorch.md gives.

An entry is (row, call, what differs, key of the reason); each of the first three is a pattern of
fnmatch. A case that differs otherwise than its entry says stays open.
"""

import fnmatch
import re

# key -> one sentence for the user, which stands in docs/from_pytorch.md.
REASONS = {
    "more-dtypes": "A dtype that PyTorch's CPU kernel does not know (\"not implemented for\") is "
                   "computed here.",
    "more-gradients": "A gradient that PyTorch does not have (\"not implemented\", or an error "
                      "inside its backward) is computed here.",
    "multi-views": "Results of `unbind`, `split` and `chunk` may be written in place where "
                   "gradients are recorded; PyTorch refuses that.",
}

EXPLAINED = []


def reason(case, text, want):
    """The key of the reason for a difference, or ""."""
    if text.startswith("accepted") and re.search("not implemented for '(Half|BFloat16)'", want):
        return "more-dtypes"
    if text.startswith("gradient: accepted"):
        return "more-gradients"
    if text.startswith("accepted") and "returns multiple views" in want:
        return "multi-views"
    for row, call, differs, key in EXPLAINED:
        if all(fnmatch.fnmatchcase(x, y) for x, y in ((case.row, row), (str(case), call),
                                                      (text, differs))):
            return key
    return ""
