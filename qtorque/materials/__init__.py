"""Materials: the tight-binding parameters of a crystal, with the transport direction as third lattice vector."""

from qtorque.materials.material import Material
from qtorque.materials.single_band import single_band

__all__ = ["Material", "single_band"]
