"""Figures of transport: transmissions, torques, couplings, disorder, the lattice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import xarray as xr

from qtorque.brillouin import KMesh
from qtorque.errors import InputError
from qtorque.plot._figure import BLUE, GREY, VERMILION, blank_figure, legend_above_data, si_prefix
from qtorque.units import energy_per_area

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES = 6
"""Most decades that a logarithmic colour scale shows below its largest value."""
ROUNDING = 1e-24
"""Share of the largest transmission below which another is none: rounding of an amplitude between two spins."""
CLOSED = "0.85"
"""Grey of the momenta at which nothing is transmitted, or no channel is open."""
NEGLIGIBLE = 1e-6
"""Part of a torque below this share of its unit is an error of the energy integrals, and has no shape to compare."""
CURVE_POINTS = 181
"""Points of a drawn curve."""
STRAIGHT = 1e-6
"""rad; an evanescent wave whose phase is that close to 0 or pi does not turn while it decays."""


def transmission_map(transmissions: Mapping[str, xr.DataArray], mesh: KMesh) -> Figure:
    """Transmission over the in-plane Brillouin zone, summed over spins: one panel for each, with one logarithmic scale.

    Momenta without transmission are grey.

    Parameters
    ----------
    transmissions
        Title of the panel -> result of `qtorque.transmission` at every point of the mesh.
    mesh
        The `qtorque.kmesh` they were computed on.
    """
    totals = {title: t.sum(["spin_in", "spin_out"]) for title, t in transmissions.items()}
    largest = max(float(t.max()) for t in totals.values())
    if largest == 0:
        raise InputError("transmission_map: no transmission at any momentum; there is nothing to draw")
    totals = {title: t.where(t > ROUNDING * largest) for title, t in totals.items()}
    smallest = np.nanmin([t.min() for t in totals.values()])
    from matplotlib.colors import LogNorm

    clipped = smallest < largest * 10.0**-DECADES
    norm = LogNorm(largest * 10.0**-DECADES if clipped else min(smallest, largest / 10), largest)
    figure, panels = _zone_panels(len(totals))
    for panel, (title, t) in zip(panels, totals.items(), strict=True):
        image = _draw_over_zone(panel, t, mesh, norm=norm, cmap="viridis")
        panel.set_title(title)
    figure.colorbar(image, ax=panels, label=r"transmission $T(k)$", extend="min" if clipped else "neither", shrink=0.9)
    return figure


def mixing_conductance_map(mixing: xr.DataArray, mesh: KMesh) -> Figure:
    """Real and imaginary part of the spin-mixing conductance over the in-plane Brillouin zone.

    Momenta without an open channel are grey.

    Parameters
    ----------
    mixing
        Result of `qtorque.mixing_conductance` at every point of the mesh (complex).
    mesh
        The `qtorque.kmesh` it was computed on.
    """
    from matplotlib.colors import Normalize

    mixing = mixing.where(mixing != 0)
    largest = max(float(np.abs(mixing.imag).max()), np.finfo(float).tiny)
    figure, panels = _zone_panels(2)
    for panel, part, norm, cmap, title in (
        (panels[0], mixing.real, Normalize(0, max(float(mixing.real.max()), 1.0)), "viridis", "real part"),
        (panels[1], mixing.imag, Normalize(-largest, largest), "PuOr", "imaginary part"),
    ):
        image = _draw_over_zone(panel, part, mesh, norm=norm, cmap=cmap)
        panel.set_title(title)
        figure.colorbar(image, ax=panel, label=r"$g_{\uparrow\downarrow}(k)$  ($e^2/h$ per cell)", shrink=0.9)
    return figure


def torque_versus_voltage(d: xr.Dataset) -> Figure:
    """Damping-like and field-like torque on the free magnet versus bias, at the angle of `d` nearest to 90 degrees.

    Parameters
    ----------
    d
        Result of `qtorque.spin_torque`.
    """
    at = d.sel(angle=math.pi / 2, method="nearest")
    factor, prefix = si_prefix(at[["damping_like", "field_like"]].to_array())
    figure = blank_figure(9.4, 3.6)
    panels = figure.subplots(1, 2)
    for panel, name, title, colour, marker in (
        (panels[0], "damping_like", "damping-like", BLUE, "o"),
        (panels[1], "field_like", "field-like", VERMILION, "s"),
    ):
        panel.plot(at["voltage"], at[name] / factor, color=colour, marker=marker, markersize=4.5)
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.axvline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.set_xlabel("bias voltage (V)")
        panel.set_ylabel(rf"$\tau\,/\sin\theta$  ({prefix}eV per cell)")
        panel.set_title(f"{title} torque at {math.degrees(float(at['angle'])):.3g}°")
        _per_area_axis(panel, factor, d.attrs["cell_area"])
    return figure


def torque_versus_angle(d: xr.Dataset, voltage: float) -> Figure:
    """Both parts of the torque on the free magnet versus angle, against sin(angle), and what is left of the difference.

    The dashed lines are sines with the coefficient at 90 degrees; the lower panel shows how far the torque deviates
    from them, in percent of their height.

    Parameters
    ----------
    d
        Result of `qtorque.spin_torque`.
    voltage
        V; the nearest one of `d` is drawn.
    """
    at = d.sel(voltage=voltage, method="nearest")
    angle = at["angle"].values
    fine = np.linspace(angle.min(), angle.max(), CURVE_POINTS)
    factor, prefix = si_prefix(at[["damping_like", "field_like"]].to_array())
    figure = blank_figure(5.4, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    for name, label, colour, marker in (
        ("damping_like", "damping-like", BLUE, "o"),
        ("field_like", "field-like", VERMILION, "s"),
    ):
        coefficient = at[name].values
        across = float(at[name].sel(angle=math.pi / 2, method="nearest"))
        upper.plot(np.degrees(fine), across * np.sin(fine) / factor, "--", color=colour, linewidth=1)
        upper.plot(np.degrees(angle), coefficient * np.sin(angle) / factor, marker, color=colour, label=label)
        if abs(across) > NEGLIGIBLE * factor:
            deviation = 100 * (coefficient / across - 1) * np.sin(angle)
            lower.plot(np.degrees(angle), deviation, color=colour, marker=marker, markersize=4.5)
    upper.plot([], [], "--", color=GREY, linewidth=1, label=r"$\propto\sin\theta$")
    upper.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    upper.set_ylabel(rf"torque  ({prefix}eV per cell)")
    upper.set_title(f"torque on the free magnet at {float(at['voltage']):g} V")
    _per_area_axis(upper, factor, d.attrs["cell_area"])
    legend_above_data(upper)
    lower.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    lower.set_ylabel("deviation from\nthe sine (%)")
    lower.set_xlabel(r"angle between the magnets $\theta$ (degrees)")
    lower.set_xticks(np.arange(0, 181, 45))
    return figure


def configuration_average(d: xr.Dataset) -> Figure:
    """Conductances and mixing conductance of a disordered interface: means with standard errors, dashed the clean ones.

    Parameters
    ----------
    d
        With `conductance` (value, spin) and `g_mix` (value), their `_error`s, `clean_conductance` and `clean_g_mix` in
        e^2/h per cell, as drivers/disorder.py writes them.
    """
    value = d["value"]
    unit = "" if value.attrs["units"] == "1" else f" ({value.attrs['units']})"
    figure = blank_figure(9.4, 3.8)
    panels = figure.subplots(1, 2)
    spins = [
        (label, *(d[name].sel(spin=spin).values for name in ("conductance", "conductance_error", "clean_conductance")))
        for label, spin in ((r"$G_\uparrow$", "up"), (r"$G_\downarrow$", "down"))
    ]
    mixing = [
        (label, *(getattr(d[name], part).values for name in ("g_mix", "g_mix_error", "clean_g_mix")))
        for label, part in ((r"Re $g_{\uparrow\downarrow}$", "real"), (r"Im $g_{\uparrow\downarrow}$", "imag"))
    ]
    for panel, curves, title in ((panels[0], spins, "conductance"), (panels[1], mixing, "spin-mixing conductance")):
        for (label, mean, error, clean), colour, marker in zip(curves, (BLUE, VERMILION), ("o", "s"), strict=True):
            panel.axhline(float(clean), color=colour, linestyle="--", linewidth=1)
            panel.errorbar(value, mean, yerr=error, color=colour, marker=marker, markersize=4.5, capsize=3, label=label)
        panel.plot([], [], "--", color=GREY, linewidth=1, label="clean")
        panel.set_xlabel(value.attrs["long_name"] + unit)
        panel.set_ylabel(r"$e^2/h$ per primitive cell")
        panel.set_title(title)
        legend_above_data(panel)
    return figure


def nonlocal_resistance(d: xr.Dataset) -> Figure:
    """Non-local resistance of both states of a lateral spin valve versus energy, and the pure spin current in its bar.

    Parameters
    ----------
    d
        With `nonlocal_resistance` (energy, state) in Ohm and `spin_current` (energy, state), its component along z per
        injected current, as drivers/nonlocal_spin_valve.py writes them.
    """
    figure = blank_figure(5.4, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for state, colour, marker in (("parallel", BLUE, "o"), ("antiparallel", VERMILION, "s")):
        at = d.sel(state=state)
        style = {"color": colour, "marker": marker, "markersize": 4}
        upper.plot(at["energy"], at["nonlocal_resistance"], label=state, **style)
        lower.plot(at["energy"], at["spin_current"], **style)
    for panel in (upper, lower):
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    upper.set_ylabel(r"$(V_2 - V_3)/I$  ($\Omega$)")
    upper.set_title("non-local resistance")
    legend_above_data(upper)
    lower.set_ylabel("spin current in the bar\n" + r"along $z$, $(I_\uparrow - I_\downarrow)/I$")
    lower.set_xlabel("energy (eV)")
    return figure


def complex_bands(d: xr.Dataset, k: int = 0) -> Figure:
    """Complex band structure at one in-plane momentum: decay rates to the left, real wave numbers to the right.

    Each spin has a colour where the two differ. Waves with a complex wave number, which decay and turn, are pale. Those
    at a band edge, which neither run nor decay, are open circles among the real wave numbers.

    Parameters
    ----------
    d
        Result of `qtorque.complex_bands` at several energies.
    k
        Number of the momentum in `d`.
    """
    at = d.isel(k=k)
    energy = at["energy"].values
    spins = at["spin"].values.tolist()
    same = np.array_equal(at["q"].values[:, 0], at["q"].values[:, -1])
    figure = blank_figure(6.0, 4.2)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    for spin, colour in zip(spins[:1] if same else spins, (BLUE, VERMILION), strict=False):
        q, propagating = at["q"].sel(spin=spin).values, at["propagating"].sel(spin=spin).values
        kappa = at["kappa"].sel(spin=spin).values
        height = np.broadcast_to(energy[:, None], q.shape)
        decays = (kappa > 0) & np.isfinite(kappa) & ~propagating
        straight = np.minimum(np.abs(q.real), np.pi - np.abs(q.real)) < STRAIGHT
        label = "both spins" if same else f"spin {spin}"
        for chosen, alpha in ((decays & straight, 1.0), (decays & ~straight, 0.35)):
            left.plot(kappa[chosen], height[chosen], ".", color=colour, markersize=3, alpha=alpha)
        right.plot(np.abs(q.real[propagating]) / np.pi, height[propagating], ".", color=colour, markersize=3)
        edge = (q.imag == 0) & ~propagating
        # At Re q = 0 and pi, where most edges lie, half of a clipped circle would be missing.
        right.plot(
            np.abs(q.real[edge]) / np.pi, height[edge], "o", color=colour, markersize=4.5, markerfacecolor="none",
            clip_on=False,
        )  # fmt: skip
        right.plot([], [], "o", color=colour, markersize=5, label=label)
    for panel in (left, right):
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    left.set_xlim(left.get_xlim()[1], 0)
    right.set_xlim(0, 1)
    left.set_xlabel(r"decay rate $\kappa$ (1/nm)")
    left.set_ylabel("energy (eV)")
    right.set_xlabel(r"$\mathrm{Re}\,q\,/\,\pi$")
    phases = ", ".join(f"{float(at[name]) / np.pi:.3g}$\\pi$" for name in ("k1", "k2"))
    figure.suptitle(f"complex bands at $k\\cdot a$ = ({phases})", fontsize="medium")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def coupling_versus_thickness(d: xr.Dataset) -> Figure:
    """Interlayer exchange coupling versus a thickness by both routes, and multiplied with the square of the thickness.

    What is not larger than its error is left out.

    Parameters
    ----------
    d
        `coupling_energy` and `field_like` over `layers` with their errors, as drivers/coupling.py saves them.
    """
    layers = d["layers"].values
    first, second = (
        np.where(above_error(d, name, name), d[name].values, np.nan) for name in ("coupling_energy", "field_like")
    )
    routes = {
        r"$\Omega(0)-\Omega(\pi)$": (first, BLUE, "o", 6.0),
        r"$-2\tau_\mathrm{FL}(90\degree)$": (-2 * second, VERMILION, "x", 5.0),
    }
    figure = blank_figure(9.4, 3.8)
    panels = figure.subplots(1, 2)
    for panel, power, text in ((panels[0], 0, "coupling"), (panels[1], 2, r"$n^2\times$ coupling")):
        scaled = {label: y * layers**power for label, (y, *_) in routes.items()}
        factor, prefix = si_prefix(np.nan_to_num(np.concatenate(list(scaled.values()))))
        for label, (_, colour, marker, size) in routes.items():
            line = "-" if marker == "o" else ""
            panel.plot(
                layers, scaled[label] / factor, marker + line, color=colour, linewidth=0.8, markersize=size,
                markerfacecolor="none", label=label if power == 0 else None,
            )  # fmt: skip
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        _thickness_axis(panel, d["layers"])
        panel.set_ylabel(f"{text}  ({prefix}eV per cell)")
        _per_area_axis(panel, factor, d.attrs["cell_area"])
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def torkance_versus_thickness(d: xr.Dataset) -> Figure:
    """Size of both torkances at 90 degrees versus a thickness, logarithmic; open symbols are negative.

    What is not larger than its error is left out.

    Parameters
    ----------
    d
        `damping_like_torkance` and `field_like_torkance` over `layers`, and the errors of either, `torkance_..._error`,
        as drivers/coupling.py saves them.
    """
    figure = blank_figure(5.4, 3.8)
    panel = figure.subplots()
    names = ("damping_like_torkance", "field_like_torkance")
    parts = [d[name].values for name in names]
    factor, prefix = si_prefix(np.concatenate(parts))
    for name, y, label, colour, marker in zip(
        names, parts, ("damping-like", "field-like"), (BLUE, VERMILION), ("o", "s"), strict=True
    ):
        shown = above_error(d, name, "torkance")
        panel.plot(d["layers"][shown], np.abs(y[shown]) / factor, color=colour, linewidth=0.8)
        for sign, face in ((1, colour), (-1, "white")):
            at = shown & (np.sign(y) == sign)
            style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 5}
            panel.plot(d["layers"][at], np.abs(y[at]) / factor, marker, **style)
        if shown.any():
            panel.plot([], [], marker + "-", color=colour, label=label)
    panel.set_yscale("log")
    _thickness_axis(panel, d["layers"])
    panel.set_ylabel(rf"$|d\tau/dV|$ at 90°  ({prefix}eV/V per cell)")
    panel.set_title("torkance on the free magnet (open: negative)", fontsize="medium")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def above_error(d: xr.Dataset, name: str, errors: str) -> np.ndarray:
    """Where a variable is larger than its error: of the energy integrals, `<errors>_energy_error`, and where the sum
    over k was refined that of the sum, `<errors>_k_error`."""
    error = sum(d[f"{errors}_{kind}"].values for kind in ("energy_error", "k_error") if f"{errors}_{kind}" in d)
    return np.abs(d[name].values) > error


def layer_profile(d: xr.Dataset) -> Figure:
    """Transverse spin current and torque per volt through the depth of a stack, magnets shaded, leads included.

    Parameters
    ----------
    d
        `spin_current_response` over (part, bond) and `torque_response` over (part, layer), `magnet` (layer) and
        `lead_magnet` (lead, left and right), empty where there is none, as drivers/layer_profile.py saves them.
    """
    figure = blank_figure(6.4, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    layer = np.arange(1, d.sizes["layer"] + 1)
    left, right = d["lead_magnet"].values
    depths = {"spin_current_response": np.arange(d.sizes["bond"]) + 0.5, "torque_response": layer}
    panels = zip((upper, lower), depths.items(), ("transverse spin current", "torque on a layer"), strict=True)
    for panel, (name, depth), text in panels:
        factor, prefix = si_prefix(d[name])
        for part, colour, marker in (("damping-like", BLUE, "o"), ("field-like", VERMILION, "s")):
            y = d[name].sel(part=part) / factor
            panel.plot(depth, y, marker + "-", color=colour, linewidth=0.8, markersize=3, label=part)
        panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
        panel.set_ylabel(f"{text}\n({prefix}eV/V per cell)")
        for place, role in enumerate([left, *d["magnet"].values, right]):
            if role:
                panel.axvspan(place - 0.5, place + 0.5, color=CLOSED, linewidth=0, zorder=-1)
        panel.set_xlim(0, len(layer) + 1)
    legend_above_data(upper)
    lower.set_xlabel("layer (magnets shaded, those in a lead too)")
    return figure


def transmitted_mixing_versus_thickness(d: xr.Dataset) -> Figure:
    """Transmitted spin-mixing conductance versus the thickness of a magnet: both parts, and its size.

    Parameters
    ----------
    d
        `transmitted_mixing_conductance` (complex) over `layers`, as drivers/transmitted_mixing.py saves it.
    """
    t, layers = d["transmitted_mixing_conductance"], d["layers"]
    figure = blank_figure(9.4, 3.6)
    left, right = figure.subplots(1, 2)
    left.plot(layers, t.real, "o-", color=BLUE, linewidth=0.8, markersize=4, label="real part")
    left.plot(layers, t.imag, "s-", color=VERMILION, linewidth=0.8, markersize=4, label="imaginary part")
    left.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    left.set_ylabel(r"$t_{\uparrow\downarrow}$  ($e^2/h$ per cell)")
    legend_above_data(left)
    right.plot(layers, np.abs(t), "o-", color=GREY, linewidth=0.8, markersize=4)
    right.set_yscale("log")
    right.set_ylabel(r"$|t_{\uparrow\downarrow}|$  ($e^2/h$ per cell)")
    for panel in (left, right):
        _thickness_axis(panel, layers)
    return figure


def lattice(system: Any, **options: Any) -> Figure:
    """Sites and hoppings of a Kwant builder or finalised system, leads included: `kwant.plot` as a Figure.

    Kwant 1.5 hands matplotlib an empty collection of hoppings for a stack whose layers hold one site each, which
    matplotlib 3.9 and later refuse to scale the axes to; here they need not.

    Parameters
    ----------
    system
        A `kwant.Builder` such as those of `Stack.builders()`, or what `Stack.wrapped(k)` returns.
    options
        Of `kwant.plot`.
    """
    import kwant
    from mpl_toolkits.mplot3d import Axes3D

    draw = Axes3D.add_collection3d

    def draw_unscaled_if_empty(axes, collection, *arguments, **named):
        segments = getattr(collection, "_segments3d", None)
        if segments is not None and len(segments) == 0:
            named["autolim"] = False
        return draw(axes, collection, *arguments, **named)

    with mock.patch.object(Axes3D, "add_collection3d", draw_unscaled_if_empty):
        return kwant.plot(system, show=False, **options)


def _zone_panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = blank_figure(1.3 + 3.7 * count, 3.6)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    return figure, panels


def _draw_over_zone(panel: Axes, values: xr.DataArray, mesh: KMesh, **style):
    """Values over k, shown from -pi to pi in both phases; the points of the mesh stand in the middle of their cells."""
    if values.sizes["k"] != mesh.size:
        raise InputError(f"{values.sizes['k']} momenta do not fit {mesh!r}; give the mesh they were computed on")
    steps = [2 / n for n in mesh.shape]
    # The mesh runs from 0 to 2 pi; the zone is shown around its centre.
    turned = np.roll(mesh.unfold(values.values), [n // 2 for n in mesh.shape], axis=(0, 1))
    first = [step * (mesh.shift - n // 2) for step, n in zip(steps, mesh.shape, strict=True)]
    edges = [x + step * (np.arange(n + 1) - 0.5) for x, step, n in zip(first, steps, mesh.shape, strict=True)]
    image = panel.pcolormesh(edges[0], edges[1], turned.T, rasterized=True, **style)
    panel.set_facecolor(CLOSED)
    panel.set_aspect("equal")
    panel.set_xlabel(r"$k\cdot a_1\,/\,\pi$")
    panel.set_ylabel(r"$k\cdot a_2\,/\,\pi$")
    panel.set_xticks([-1, -0.5, 0, 0.5, 1])
    panel.set_yticks([-1, -0.5, 0, 0.5, 1])
    return image


def _thickness_axis(panel: Axes, layers: xr.DataArray) -> None:
    """The label of an axis of thicknesses, and ticks at whole layers only."""
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel(f"{layers.attrs['long_name']} $n$")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _per_area_axis(panel: Axes, factor: float, area: float) -> None:
    """A second axis in J/m^2 beside one of energies per cell (area in nm^2) in units of `factor` eV."""
    unit, prefix = si_prefix(energy_per_area(factor, area) * np.array(panel.get_ylim()))
    scale = energy_per_area(factor, area) / unit
    right = panel.secondary_yaxis("right", functions=(lambda y: y * scale, lambda y: y / scale))
    right.set_ylabel(rf"({prefix}J/m$^2$)")
