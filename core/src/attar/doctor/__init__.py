"""``attar doctor``: what this machine has, and what is slow or broken here and why.

Nothing is measured by running work, nothing is fetched, and nothing is left behind. Importing
this package loads neither torch nor numpy.
"""

from attar.doctor.advice import advise
from attar.doctor.records import Advice, Diagnosis
from attar.doctor.survey import diagnose, distributions

__all__ = ["Advice", "Diagnosis", "advise", "diagnose", "distributions"]
