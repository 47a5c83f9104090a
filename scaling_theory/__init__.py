"""How a model with N units of capacity spends them."""

from scaling_theory.allocation import Allocation, allocate
from scaling_theory.curves import (
    DiscreteCurve,
    ExponentialCurve,
    LossCurve,
    PlateauCurve,
    PowerLawCurve,
    TabulatedCurve,
)
from scaling_theory.frequencies import (
    EmpiricalFrequencies,
    Frequencies,
    PowerLawFrequencies,
    ZipfMandelbrotFrequencies,
)
from scaling_theory.population import Group, Population
