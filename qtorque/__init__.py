"""qtorque."""
