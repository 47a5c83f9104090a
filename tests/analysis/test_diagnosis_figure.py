"""The page of a diagnosis: what is said is on it, whatever the verdict."""

import math
from dataclasses import replace

import matplotlib as mpl
import pytest

import scaling_theory as sth

mpl.use("Agg")


@pytest.fixture(scope="module")
def told():
    table = sth.datasets.load("gpt2_layer8_widths")
    return sth.diagnose(
        widths_losses=(table["width"].to_numpy(), 1.0 - table["variance_explained"].to_numpy())
    )


@pytest.fixture(autouse=True)
def _closed():
    from matplotlib import pyplot as plt

    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_page(told):
    axes = told.draw()
    page = axes[0].figure
    assert len(axes) == len(page.axes) == 4
    assert page.get_suptitle().startswith(f"Verdict: {told.verdict}\n")
    assert told.message in page.get_suptitle().replace("\n", " ")
    shown = texts(axes[0])
    assert shown[-1] == f"{told.probabilities['pathological']:.2f}"
    assert shown[:-1] == [f"{told.prior:.2f}", *(f"{p.pathological:.2f}" for p in told.evidence)]
    decides = [bar.get_width() for bar in axes[3].patches]
    assert decides == told.further["decides"].tolist()
    page.canvas.draw()  # every text that can't be set is an error


def test_bars_are_the_probabilities(told):
    ax = told.draw()[0]
    lengths = [bar.get_width() for bar in ax.patches]
    assert all(
        a + b == pytest.approx(1.0) for a, b in zip(lengths[::2], lengths[1::2], strict=True)
    )
    assert lengths[-1] == told.probabilities["pathological"]
    # told apart without colour
    assert [bar.get_hatch() for bar in ax.patches[:2]] == [None, "///"]


@pytest.mark.parametrize("beta", [(0.1, 0.2, 0.3), (0.1, 0.2, math.inf), (2.0, math.inf, math.inf)])
def test_exponents(told, beta):
    table = told.parameters.copy()
    table.loc["beta"] = beta
    table.loc["alpha"] = (-0.3, 0.1, 0.4)
    ax = replace(told, parameters=table).draw()[1]
    without = "no\nmanifolds" in [tick.get_text() for tick in ax.get_yticklabels()]
    assert without == math.isinf(beta[2])
    low, high = ax.get_ylim()
    _, cloud, across, up, middle = ax.lines
    assert len(cloud.get_xdata()) == len(told.posterior)
    assert list(across.get_xdata()) == [-0.3, 0.4]
    assert up.get_ydata()[0] == beta[0]
    assert low < up.get_ydata()[1] < high
    assert middle.get_xdata() == [0.1]
    if math.isfinite(beta[1]):
        assert middle.get_ydata() == [beta[1]]
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("verdict", "why"),
    [("the model does not describe these SAEs", "does not describe"), ("benign", "worked out")],
)
def test_without_further_measurements(told, verdict, why):
    ax = replace(told, verdict=verdict, further=None).draw()[3]
    assert why in texts(ax)[0]
    assert not ax.patches


def test_on_axes_of_the_callers(told):
    from matplotlib import pyplot as plt

    page, axes = plt.subplots(1, 4)
    assert told.draw(axes) == list(axes)
    assert not page.get_suptitle()
    with pytest.raises(ValueError, match=r"axes must be 4 Axes, .* got 1"):
        told.draw(axes[0])
