"""From raw counts to a calibrated light: correction, cosmic rays, fringes, artefacts."""
