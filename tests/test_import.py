"""What ``import scaling_theory`` costs, and what it offers."""

import subprocess
import sys

import scaling_theory as sth

HEAVY = [
    "torch", "numba", "pyarrow", "safetensors", "matplotlib", "sympy", "scipy.optimize",
    "scipy.stats", "pandas", "rich", "click",
]  # fmt: skip


def test_importing_the_package_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import scaling_theory"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "scaling_theory.allocation.exact" in loaded
    assert "numpy" in loaded
    for name in HEAVY:
        assert not [m for m in loaded if m == name or m.startswith(f"{name}.")]


def test_solving_loads_nothing_heavy_either():
    code = (
        "import sys, scaling_theory as st;"
        "p = st.Population(st.PowerLawFrequencies(0.5), st.PowerLawCurve(0.1));"
        "st.allocate(p, 1000); st.latents_for(p, loss=0.5); st.predict(0.5, 0.1).loss(10);"
        "print([m for m in ('torch', 'matplotlib', 'sympy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented():
    assert sorted(sth.__all__) == sth.__all__
    for name in sth.__all__:
        assert getattr(sth, name).__doc__
