"""Figures: that they can be drawn from real results is shown by the drivers; here what they must contain or refuse."""

import numpy as np
import pytest
import xarray as xr

import qtorque as qt
from qtorque import plot


def junction():
    magnet, oxide = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=9.0)
    return qt.Stack(left=qt.Lead(magnet), layers=[qt.Layer(oxide, 2, barrier=True)], right=qt.Lead(magnet))


@pytest.mark.filterwarnings("ignore:The proj_transform_clip")
def test_every_builder_of_a_stack_can_be_plotted_with_all_its_sites():
    stack = junction()
    region, left, right = stack.builders()
    for system, sites in ((region, 4), (left, 1), (right, 1), (stack.wrapped((0.1, 0.2)), 4)):
        figure = plot.lattice(system)
        (axes,) = figure.axes
        drawn = sum(len(c.get_offsets()) for c in axes.collections if hasattr(c, "_offsets3d"))
        # Leads are drawn with some of their cells.
        assert drawn >= sites


def test_a_map_over_the_zone_needs_the_mesh_it_was_computed_on():
    s = qt.solve(junction(), energy=0.0, kmesh=qt.kmesh(4))
    figure = plot.transmission_map({"parallel": qt.transmission(s)}, qt.kmesh(4))
    assert "parallel" in [axes.get_title() for axes in figure.axes]
    with pytest.raises(qt.InputError, match="mesh"):
        plot.transmission_map({"parallel": qt.transmission(s)}, qt.kmesh(5))


def test_a_figure_is_written_whole_and_never_over_another_by_accident(tmp_path):
    d = qt.spin_torque(junction(), angle=np.linspace(0, np.pi, 3), voltage=[-0.2, 0.0, 0.2], kmesh=qt.kmesh(4))
    path = tmp_path / "torque.png"
    plot.save_figure(plot.torque_versus_voltage(d), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(qt.InputError, match="exists"):
        plot.save_figure(plot.torque_versus_angle(d, 0.2), path)
    assert [p.name for p in tmp_path.iterdir()] == ["torque.png"]


@pytest.mark.parametrize(
    ("roles", "leads", "shaded"),
    [
        (["fixed", "", "free"], ["", ""], [1, 3]),
        (["", "free", ""], ["fixed", ""], [0, 2]),
        (["", "", "free"], ["", "free"], [3, 4]),
    ],
)
def test_every_magnetic_layer_is_shaded_single_ones_and_leads_too(roles, leads, shaded):
    parts = ["damping-like", "field-like"]
    d = xr.Dataset(
        {
            "spin_current_response": (("part", "bond"), np.ones((2, 4))),
            "torque_response": (("part", "layer"), np.ones((2, 3))),
        },
        coords={"part": parts, "magnet": ("layer", roles), "lead_magnet": ("lead", leads)},
    )
    for panel in plot.layer_profile(d).axes:
        middles = [patch.get_x() + patch.get_width() / 2 for patch in panel.patches]
        assert middles == shaded
        assert panel.get_xlim() == (0, 4)
