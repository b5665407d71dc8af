"""Sweeps over a thickness, which is an integer parameter of build(): options and systems."""

import argparse

from qtorque import command_line
from qtorque.errors import InputError


def layer_counts(text):
    """The numbers of layers of "3:20" (both ends) or "3,5,8", ascending."""
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            counts = list(range(first, last + 1))
        else:
            counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or counts != sorted(set(counts)) or counts[0] < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of thicknesses; give first:last (3:20) or ascending positive integers (3,5,8)"
        )
    return counts


def add_thickness(parser, *, parameter, layers):
    """The options --parameter and --layers with these defaults."""
    parser.add_argument(
        "--parameter", default=parameter, help=f"of build(): the thickness to vary, in monolayers; default {parameter}"
    )
    parser.add_argument(
        "--layers", type=layer_counts, default=layer_counts(layers), help=f"first:last or a,b,c; default {layers}"
    )


def systems(options):
    """The system at every thickness, as `qtorque.bloch.LayeredSystem`s."""
    from qtorque.bloch import as_layered

    if any(setting.partition("=")[0] == options.parameter for setting in options.set):
        raise InputError(
            f"--set {options.parameter}= is what --layers varies; leave it out, or name another --parameter"
        )
    settings = ([*options.set, f"{options.parameter}={n}"] for n in options.layers)
    return [as_layered(command_line.load_system(options.system, setting)) for setting in settings]


def with_layers(parts, options, area):
    """Datasets at every thickness joined along `layers`; `area` of the in-plane cell in nm^2."""
    import xarray as xr

    text = options.parameter.removesuffix("_layers").replace("_", " ")
    coordinate = ("layers", options.layers, {"units": "monolayers", "long_name": f"thickness of {text} (layers)"})
    joined = xr.concat(parts, "layers", combine_attrs="override").assign_coords(layers=coordinate)
    return joined.assign_attrs(cell_area=area, cell_area_units="nm^2")


def representative(systems):
    """The system of middle thickness, on which a dry run measures."""
    return systems[len(systems) // 2]
