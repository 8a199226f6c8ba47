"""Studies: what they consist of, how their models come about and are scored, and what of that is finished."""

from neurocompare.study.models import Entry
from neurocompare.study.study import Study, open_study

__all__ = ["Entry", "Study", "open_study"]
